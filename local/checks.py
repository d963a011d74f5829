"""What must be true before a demo starts, asked at once so that nobody waits ten minutes for an error."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import psutil

from local.settings import Laptop, LaptopError, path_of

MIN_FREE_DISK_BYTES = 3 * 1024**3
MIN_FREE_MEMORY_BYTES = 3 * 1024**3
"""Airflow and MLflow take 1.6 GB, training and recognition 1 GB."""


def check(laptop: Laptop) -> list[str]:
    """Remarks that do not stop the demo.

    Raises:
        LaptopError: something is missing; says what and how to get it.
    """
    _require_packages()
    _require_disk(laptop.home)
    _require_base_model(laptop.places.base_model)
    for name, place in (("AIRSCRIPT_CORPUS", laptop.places.corpus), ("AIRSCRIPT_INBOX", laptop.places.inbox)):
        _require_files(laptop, name, place)
    available = psutil.virtual_memory().available
    if available < MIN_FREE_MEMORY_BYTES:
        return [
            f"only {_gib(available)} of memory are free; with less than {_gib(MIN_FREE_MEMORY_BYTES)} it may get slow"
        ]
    return []


def _require_packages() -> None:
    missing = [name for name in ("torch", "transformers", "mlflow", "av") if importlib.util.find_spec(name) is None]
    if missing:
        raise LaptopError(f"{', '.join(missing)} not installed. `make setup` installs everything the demo needs.")


def _require_disk(home: Path) -> None:
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    if free < MIN_FREE_DISK_BYTES:
        raise LaptopError(
            f"{existing}: {_gib(free)} free, the demo needs {_gib(MIN_FREE_DISK_BYTES)}. "
            "Free some space, or set AIRSCRIPT_HOME to a folder on another disk."
        )


def _require_base_model(base: str) -> None:
    """A base that looks like a folder must be there; hub names and registry URIs are the worker's to find."""
    path = path_of(base) if base.startswith("file://") else Path(base)
    is_folder = base.startswith("file://") or path.is_absolute() or base.startswith(".")
    if is_folder and not (path / "config.json").exists():
        raise LaptopError(
            f"base model not found: {path} has no config.json. Set AIRSCRIPT_BASE_MODEL to a model's folder "
            "(as transformers saves it), or unset it for the one that comes with the repository."
        )


def _require_files(laptop: Laptop, variable: str, place: str) -> None:
    """A place that the person chose must hold something; the default ones are filled by the demo."""
    if place.startswith(f"{laptop.places.storage}/") or not place.startswith("file://"):
        return
    folder = path_of(place)
    if not folder.is_dir():
        raise LaptopError(f"{variable}={folder}: no such folder")
    if not any(path.is_file() for path in folder.rglob("*")):
        raise LaptopError(
            f"{variable}={folder}: the folder is empty. Put media there, or unset {variable} for the demo's."
        )


def _gib(n_bytes: float) -> str:
    return f"{n_bytes / 1024**3:.1f} GB"
