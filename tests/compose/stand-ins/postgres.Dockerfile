# Replaces PostgreSQL's official image where it cannot be pulled: Debian's server with the same interface.
ARG BASE=docker.io/library/debian:bookworm-slim
FROM ${BASE}
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends postgresql && rm -rf /var/lib/apt/lists/* \
    && install --directory --owner=postgres --group=postgres --mode=0700 /var/lib/postgresql/data /run/postgresql \
    && ln -s /usr/lib/postgresql/*/bin/* /usr/local/bin/
COPY --chown=postgres postgres.sh /postgres.sh
USER postgres
STOPSIGNAL SIGINT
CMD ["sh", "/postgres.sh"]
