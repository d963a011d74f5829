"""Models as MLflow stores them: our own pyfunc, and what `mlflow.transformers` logs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

from tasks.contract import InputRejected, Reason
from tasks.models.conversion import convert_once

DESCRIPTION = "MLmodel"
ARTIFACT = "model"  # name of the artifact in our pyfunc


def unpacked_names(names: Collection[str], read: Callable[[str], bytes], subject: str) -> dict[str, str]:
    """Return the names of a packaged model's files, by the names that they have in a model's folder. The files of any
    other folder keep their names.

    Raises:
        InputRejected: a package without a speech recogniser.
    """
    if DESCRIPTION not in names:
        return {name: name for name in names}
    prefixes = _prefixes(read(DESCRIPTION), subject)
    unpacked: dict[str, str] = {}
    for prefix in prefixes:
        unpacked |= {name.removeprefix(prefix): name for name in names if name.startswith(prefix)}
    if not unpacked:
        raise _no_model(subject, f"no files under {' or '.join(prefixes)}")
    return unpacked


def _prefixes(description: bytes, subject: str) -> list[str]:
    """The folders in a package that hold the model; of files with the same name, the last one's counts."""
    import yaml

    try:
        flavors = yaml.safe_load(description)["flavors"]
        if flavor := flavors.get("transformers"):
            if "model_binary" not in flavor:
                name = flavor.get("source_model_name", "a model of the hub")
                raise _no_model(subject, f"only a reference to {name}: it was logged with save_pretrained=False")
            components = [f"components/{name}/" for name in flavor.get("components", ())]
            return [*components, f"{flavor['model_binary']}/"]
        artifacts = flavors["python_function"].get("artifacts") or {ARTIFACT: {"path": f"artifacts/{ARTIFACT}"}}
        return [f"{artifacts[ARTIFACT]['path']}/"]
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        raise _no_model(subject, f"no artifact called {ARTIFACT} and no flavour of transformers") from None


def unpack(folder: Path, subject: str) -> Path:
    """Return the folder with the model in a package: one inside of it, or one that links its parts together. Any other
    folder is returned as it is."""
    if not (folder / DESCRIPTION).is_file():
        return folder
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    files = unpacked_names(names, lambda name: (folder / name).read_bytes(), subject)
    inner = {folder / origin.removesuffix(name) for name, origin in files.items()}
    if len(inner) == 1:
        return inner.pop()

    def link(target: Path) -> None:
        for name, origin in files.items():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).symlink_to((folder / origin).absolute())

    return convert_once("unpacked", folder, link)


def _no_model(subject: str, message: str) -> InputRejected:
    return InputRejected(
        f"an MLflow model with {message}",
        reason=Reason.MODEL_NOT_FOUND,
        subject=subject,
        next_step="import it with import-model, or log a pipeline with its weights: mlflow.transformers.log_model",
    )
