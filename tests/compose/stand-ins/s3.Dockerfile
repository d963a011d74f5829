# Stands in for SeaweedFS where it cannot be pulled: moto's server. It keeps conditional puts, nothing else of it counts:
# objects lie in memory, and signatures are not looked at.
ARG BASE=docker.io/library/python:3.11-slim-bookworm
FROM ${BASE}
RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir 'moto[server]==5.2.5'
CMD ["/opt/venv/bin/moto_server", "--host=0.0.0.0", "--port=8333"]
