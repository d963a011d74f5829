# What the official image puts before the flags of `server`.
set -eu
[ "$1" = server ]
shift
exec /opt/venv/bin/weed -logtostderr=true server -dir=/data -volume.max=0 -master.volumePreallocate \
  -master.volumeSizeLimitMB=1024 "$@"
