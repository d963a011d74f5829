"""A model's folder as an MLflow model that carries everything needed to use it offline."""

from __future__ import annotations

import os
import shutil
import warnings
from importlib import metadata
from pathlib import Path

import tasks

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


def pack(model: Path, texts: dict[str, str], facts: dict[str, str], scratch: Path) -> Path:
    """The folder of a pyfunc around the weights in `model`: code, requirements, signature and facts, and files of
    text beside them, by name."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    folder = scratch / "pyfunc"
    weights = scratch / MODEL_FOLDER  # the folder's name is its name in the package
    if weights != model:
        shutil.copytree(model, weights, copy_function=_linked)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*type hints")  # the signature is given: none is inferred
        mlflow.pyfunc.save_model(
            folder,
            python_model=str(Path(__file__).with_name("transcriber.py")),
            artifacts={MODEL_FOLDER: str(weights)},
            code_paths=[tasks.__path__[0]],
            pip_requirements=requirements(),
            signature=ModelSignature(Schema([ColSpec("string", "audio")]), Schema([ColSpec("string", "text")])),
            metadata=facts,
        )
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder


def _linked(source: str, target: str) -> None:
    """The file under a second name, for weights may be as large as half the disk; a copy where disks differ."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def requirements() -> list[str]:
    """What the packed code imports, in the versions that it was evaluated with (build tags like `+cpu` left out)."""
    return [f"{name}=={metadata.version(name).partition('+')[0]}" for name in _REQUIRED]
