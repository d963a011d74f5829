# Replaces SeaweedFS where it cannot be pulled: moto's server, which supports conditional puts. Objects are in memory, and
# signatures are not checked.
ARG BASE=docker.io/library/python:3.11-slim-bookworm
FROM ${BASE}
RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir 'moto[server]==5.2.5'
CMD ["/opt/venv/bin/moto_server", "--host=0.0.0.0", "--port=8333"]
