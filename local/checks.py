"""Prerequisites of the demo, checked first: otherwise an error might appear only after ten minutes."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import psutil

from local.settings import Installation, UserError, path_of

MIN_FREE_DISK_BYTES = 3 * 1024**3
MIN_FREE_MEMORY_BYTES = 3 * 1024**3
"""Airflow and MLflow take 1.6 GB, training and recognition 1 GB."""


def check_prerequisites(installation: Installation) -> list[str]:
    """Check what the demo needs. Return warnings, which do not stop the demo.

    Raises:
        UserError: something is missing; the message says how to get it.
    """
    _require_packages()
    _require_disk(installation.home)
    _require_base_model(installation.settings.base_model)
    for variable, uri in (
        ("AIRSCRIPT_CORPUS", installation.settings.corpus),
        ("AIRSCRIPT_INBOX", installation.settings.inbox),
    ):
        _require_files(installation, variable, uri)
    available = psutil.virtual_memory().available
    if available < MIN_FREE_MEMORY_BYTES:
        return [f"only {_gib(available)} of memory are free; below {_gib(MIN_FREE_MEMORY_BYTES)} the demo may be slow"]
    return []


def _require_packages() -> None:
    missing = [name for name in ("torch", "transformers", "mlflow", "av") if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"{', '.join(missing)} not installed. `make setup` installs everything the demo needs.")


def _require_disk(home: Path) -> None:
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if free < MIN_FREE_DISK_BYTES:
        raise UserError(
            f"{existing}: {_gib(free)} free, the demo needs {_gib(MIN_FREE_DISK_BYTES)}. "
            "Free some space, or set AIRSCRIPT_HOME to a folder on another disk."
        )


def _require_base_model(base: str) -> None:
    """A base model given as a folder must exist; hub names and registry URIs are resolved by the worker."""
    path = path_of(base) if base.startswith("file://") else Path(base)
    is_folder = base.startswith("file://") or path.is_absolute() or base.startswith(".")
    if is_folder and not (path / "config.json").exists():
        raise UserError(
            f"base model not found: {path} has no config.json. Set AIRSCRIPT_BASE_MODEL to a model's folder "
            "(as transformers saves it), or unset it for the one that comes with the repository."
        )


def _require_files(installation: Installation, variable: str, uri: str) -> None:
    """A folder chosen by the user must contain files; the demo fills the default ones."""
    if uri.startswith(f"{installation.settings.storage}/") or not uri.startswith("file://"):
        return
    folder = path_of(uri)
    if not folder.is_dir():
        raise UserError(f"{variable}={folder}: no such folder")
    if not any(path.is_file() for path in folder.rglob("*")):
        raise UserError(
            f"{variable}={folder}: the folder is empty. Put media there, or unset {variable} for the demo's."
        )


def _gib(n_bytes: float) -> str:
    return f"{n_bytes / 1024**3:.1f} GB"
