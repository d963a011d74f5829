# One environment for the orchestrator, the worker and the tools. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# uv does not read PIP_FIND_LINKS.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export HF_HUB_OFFLINE := 1
export HF_DATASETS_OFFLINE := 1
export MLFLOW_DISABLE_TELEMETRY := true
export PYANNOTE_METRICS_ENABLED := 0

.PHONY: help setup demo up down status captions screenshots test test-cluster test-compose test-kafka test-s3 images lint format bench clean

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(READY) ## Install everything into .venv (done by the targets that need it)

$(READY): pyproject.toml constraints.txt local/weights/requirements.txt local/weights/catalogue.py
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else \
	  f"Python {v.major}.{v.minor} is too old or too new: airscript needs 3.11 to 3.13. Run: make PYTHON=/path/to/python3.11 …")'
	@test -x $(BIN)/python || $(PYTHON) -c 'import os, subprocess, sys; \
	  subprocess.check_call([os.path.realpath(sys.executable), "-m", "venv", "$(VENV)"])'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9'
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[dev]' --constraint constraints.txt
	@$(BIN)/python .ci/repair_torchaudio.py
	@$(BIN)/python -m local.weights
	@touch $@

demo: $(READY) ## Run everything on this machine: corpus → dataset → model → a night's transcripts
	@$(BIN)/python -m local demo

up: $(READY) ## Start Airflow and MLflow here and leave them running; WITH="s3 kafka" adds these
	@$(BIN)/python -m local up $(if $(WITH),--with $(WITH))

captions: $(READY) ## Broadcast a demo programme and show its live captions (after make up WITH=kafka)
	@$(BIN)/python -m local captions

down: $(READY) ## Stop what `make up` started
	@$(BIN)/python -m local down

status: $(READY) ## Show which services run, and their addresses
	@$(BIN)/python -m local status

screenshots: $(READY) ## Take the pictures in docs/images from what `make up` runs, after `make demo`
	@$(BIN)/python -m local screenshots

test: $(READY) ## Run linters, type checks, import layers and all tests
	$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder

test-cluster: $(READY) ## Test runs and faults with pods on the cluster of KUBECONFIG
	@test -n "$(KUBECONFIG)" || { echo "KUBECONFIG names no cluster: make test-cluster KUBECONFIG=/path/to/kubeconfig" >&2; exit 2; }
	AIRSCRIPT_TEST_CLUSTER=1 KUBECONFIG=$(KUBECONFIG) $(BIN)/python -m pytest tests/cluster

test-compose: $(READY) ## Test docker-compose.yaml on the Docker engine of DOCKER_HOST: nights, an arrival, live captions
	AIRSCRIPT_TEST_COMPOSE=1 $(BIN)/python -m pytest tests/compose

test-kafka: $(READY) ## Test arrivals and live captions on the brokers of KAFKA_BOOTSTRAP
	@test -n "$(KAFKA_BOOTSTRAP)" || { echo "KAFKA_BOOTSTRAP names no broker: make test-kafka KAFKA_BOOTSTRAP=host:port" >&2; exit 2; }
	KAFKA_BOOTSTRAP=$(KAFKA_BOOTSTRAP) $(BIN)/python -m pytest tests/tasks/streaming tests/dags/test_arrivals.py

test-s3: $(READY) ## Test storage, steps and a night on the S3 of S3_ENDPOINT
	@test -n "$(S3_ENDPOINT)" || { echo "S3_ENDPOINT names no server: make test-s3 S3_ENDPOINT=http://host:port" \
	  "S3_ACCESS_KEY=… S3_SECRET_KEY=… S3_BUCKET=…" >&2; exit 2; }
	$(BIN)/python -m pytest -m s3 tests/tasks tests/faults

images: ## Build the images of docker-compose.yaml (IMAGES=default: also the one with CUDA)
	REVISION=$$(git rev-parse --short HEAD) docker buildx bake --file images/docker-bake.hcl --load $(or $(IMAGES),compose)

lint: $(READY) ## Run ruff, mypy and import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(READY) ## Format the code and apply ruff's fixes
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## Run every benchmark (each also alone: python -m benchmarks.<name>)
	$(BIN)/python -m benchmarks

clean: ## Stop the services; remove the environment and the demo's data
	-@test -x $(BIN)/python && $(BIN)/python -m local down
	rm -rf $(VENV) .airscript
