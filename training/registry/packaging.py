"""Packages a model as an MLflow pyfunc that carries everything needed to use it offline."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import warnings
from pathlib import Path

import tasks
from tasks.contract import canonical_json
from tasks.models.content import FILES, file_digests

MODEL_FOLDER = "model"
CARD = "model-card.md"

_REQUIRED = (
    "av",
    "ctranslate2",
    "faster-whisper",
    "mlflow",
    "numpy",
    "obstore",
    "pandas",
    "pydantic",
    "soxr",
    "structlog",
    "torch",
    "transformers",
)


def pack(model: Path, texts: dict[str, str], metadata: dict[str, str], scratch: Path) -> Path:
    """Write a pyfunc around the weights in `model`: code, requirements, signature and metadata, and the given text
    files by name. Return the package's folder."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    folder = scratch / "pyfunc"
    weights = scratch / MODEL_FOLDER  # MLflow keeps the folder's name in the package
    if weights != model:
        shutil.copytree(model, weights, copy_function=_link_or_copy)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*type hints")  # none are inferred: the signature is given
        mlflow.pyfunc.save_model(
            folder,
            python_model=str(Path(__file__).with_name("transcriber.py")),
            artifacts={MODEL_FOLDER: str(weights)},
            code_paths=[tasks.__path__[0]],
            pip_requirements=pinned_requirements(),
            signature=ModelSignature(Schema([ColSpec("string", "audio")]), Schema([ColSpec("string", "text")])),
            metadata=metadata,
        )
    (folder / FILES).write_bytes(canonical_json(file_digests(weights)))
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder


def _link_or_copy(source: str, target: str) -> None:
    """Hard-link the file, as weights may take half the disk; copy it across file systems."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def pinned_requirements() -> list[str]:
    """Return the packages that the packaged code imports, pinned to the installed versions without `+cpu` tags."""
    return [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in _REQUIRED]
