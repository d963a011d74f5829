"""Settings of an installation, from the environment at DAG parse time: no network, no Airflow Variables."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Literal, cast, get_args

CHECKOUT = Path(__file__).resolve().parents[2]

CHAMPION_MODEL = "models:/acoustic-model@champion"
Runtime = Literal["local", "kubernetes"]

POD_SETTINGS = (
    "AIRSCRIPT_KAFKA",
    "AIRSCRIPT_MLFLOW_URL",
    "AIRSCRIPT_SANDBOX",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
)
"""Variables that pods inherit from the scheduler. No secrets: credentials come from the service account."""


@dataclass(frozen=True)
class Settings:
    """Locations and names that differ between installations."""

    runtime: Runtime
    storage: str
    corpus: str
    inbox: str
    transcripts: str
    index: str
    """Folder of the desk's search index, on a local disk."""
    model: str
    """What nights transcribe with, unless their form says otherwise."""
    base_model: str
    diarizer: str
    """Diarization pipeline: `embedded`, a folder, an `s3://` prefix or a hub name."""
    cpu_hour_price: float
    gpu_hour_price: float
    """Price of an hour of a pod, for the night's report; 0: no costs in the report."""
    kafka: str
    """Bootstrap servers, host:port; empty: no Kafka."""
    worker_python: str
    """Interpreter of the worker environment (local runtime)."""
    namespace: str
    """Namespace of the step pods (Kubernetes runtime)."""
    cpu_image: str
    gpu_image: str
    profiles: str
    """YAML file that overrides fields of the pod profiles in `profiles.py`; empty: none."""
    pod_secret: str
    """Kubernetes secret whose keys become the pods' environment; empty if the service account's role is enough."""
    mlflow: str
    """MLflow's address, for pods of the roles that reach it."""
    mlflow_secret: str
    """Kubernetes secret with the password of each of MLflow's accounts; empty if MLflow has no login."""
    team: str
    """Cost centre: a label on every pod."""
    pod_environment: tuple[tuple[str, str], ...]

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings.

        Raises:
            ValueError: an unknown runtime, or an image without a version.
        """
        home = Path(environ.get("AIRSCRIPT_HOME") or CHECKOUT / ".airscript")
        storage = as_uri(environ.get("AIRSCRIPT_STORAGE") or str(home / "storage"))
        return cls(
            runtime=_runtime(environ.get("AIRSCRIPT_RUNTIME") or "local"),
            storage=storage,
            corpus=as_uri(environ.get("AIRSCRIPT_CORPUS") or f"{storage}/corpus"),
            inbox=as_uri(environ.get("AIRSCRIPT_INBOX") or f"{storage}/inbox"),
            transcripts=as_uri(environ.get("AIRSCRIPT_TRANSCRIPTS") or f"{storage}/transcripts"),
            index=environ.get("AIRSCRIPT_INDEX") or str(home / "index"),
            model=environ.get("AIRSCRIPT_MODEL") or CHAMPION_MODEL,
            base_model=environ.get("AIRSCRIPT_BASE_MODEL")
            or str(CHECKOUT / "local" / "demo" / "base_model" / "weights"),
            diarizer=environ.get("AIRSCRIPT_DIARIZER") or "embedded",
            cpu_hour_price=float(environ.get("AIRSCRIPT_CPU_HOUR_PRICE") or 0),
            gpu_hour_price=float(environ.get("AIRSCRIPT_GPU_HOUR_PRICE") or 0),
            kafka=environ.get("AIRSCRIPT_KAFKA", ""),
            worker_python=environ.get("AIRSCRIPT_WORKER_PYTHON") or sys.executable,
            namespace=environ.get("AIRSCRIPT_NAMESPACE") or "airscript-jobs",
            cpu_image=_image(environ, "AIRSCRIPT_CPU_IMAGE", "worker-cpu"),
            gpu_image=_image(environ, "AIRSCRIPT_GPU_IMAGE", "worker-gpu"),
            profiles=environ.get("AIRSCRIPT_PROFILES", ""),
            pod_secret=environ.get("AIRSCRIPT_POD_SECRET", ""),
            mlflow=environ.get("MLFLOW_TRACKING_URI", ""),
            mlflow_secret=environ.get("AIRSCRIPT_MLFLOW_SECRET", ""),
            team=environ.get("AIRSCRIPT_TEAM") or "speech",
            pod_environment=tuple((name, environ[name]) for name in POD_SETTINGS if environ.get(name)),
        )


@cache
def settings() -> Settings:
    """The settings of this process."""
    return Settings.from_environment()


def as_uri(location: str) -> str:
    """Return `location` as a URI without a trailing slash; a folder's path becomes a `file://` URI."""
    return location.rstrip("/") if "://" in location else Path(location).expanduser().absolute().as_uri()


def _runtime(name: str) -> Runtime:
    if name not in get_args(Runtime):
        raise ValueError(f"AIRSCRIPT_RUNTIME={name}: unknown runtime. Set it to {' or '.join(get_args(Runtime))}.")
    return cast(Runtime, name)


def _image(environ: Mapping[str, str], variable: str, name: str) -> str:
    """Return a worker image. A version or a digest is required, so that a pod's code can be identified later."""
    image = environ.get(variable) or f"airscript/{name}:{version('airscript')}"
    tag = image.rsplit("/", 1)[-1].partition(":")[2]
    if not tag or tag == "latest":
        raise ValueError(f"{variable}={image}: name a version (image:1.2.3) or a digest (image@sha256:…).")
    return image
