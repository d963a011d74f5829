# Replaces Apache Kafka's official image where it cannot be pulled: noida-db, which speaks Kafka's protocol and keeps its
# data. It has one listener and advertises the address that it listens on.
ARG BASE=docker.io/library/python:3.11-slim-bookworm
FROM ${BASE}
RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir noida-db==0.2.3 \
    && ln -s /opt/venv/lib/python3*/site-packages/noida_db/noida-db /usr/local/bin/noida-db \
    && useradd --uid 1000 --no-create-home broker \
    && install --directory --owner=broker --group=broker --mode=0755 /var/lib/kafka/data
USER broker
VOLUME /var/lib/kafka/data
CMD ["noida-db", "start", "--data-dir", "/var/lib/kafka/data", "--only", "kafka", "--host", "kafka", "--kafka-port", "9092"]
