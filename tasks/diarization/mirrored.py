"""A pyannote pipeline from a folder, without upstream's loader: that one downloads whatever the folder lacks.

`config.yaml` is upstream's. `$model/segmentation` in it means the folder's own; speaker-diarization-3.1 names models of
the hub instead, which count if they are pyannote's.
"""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

import yaml
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError
from pyannote.audio.pipelines import SpeakerDiarization

from tasks.contract import InputRejected, Misconfigured, Reason
from tasks.diarization.embedded import NoPLDA
from tasks.diarization.finding import TRUSTED_OWNERS, gated

PIPELINES = (
    "pyannote.audio.pipelines.SpeakerDiarization",
    "pyannote.audio.pipelines.speaker_diarization.SpeakerDiarization",
)
PARTS = ("segmentation", "embedding", "plda")
OWN = "$model/"


def load_mirrored(folder: Path) -> SpeakerDiarization:
    """The pipeline that `config.yaml` describes.

    Raises:
        InputRejected: the configuration cannot be read, or a model of it is not here.
        Misconfigured: it is another kind of pipeline, or names a model that nobody here has vouched for.
    """
    config = _read(folder)
    pipeline = config["pipeline"]
    if pipeline.get("name") not in PIPELINES:
        raise Misconfigured(
            f"config.yaml asks for {pipeline.get('name')}, which is no speaker diarization of pyannote's",
            reason=Reason.INVALID_ARGUMENT,
            subject=str(folder),
            next_step="give a copy of speaker-diarization-community-1 or 3.1",
        )
    parameters: dict[str, Any] = dict(pipeline.get("params") or {})
    for part in PARTS:
        if part in parameters:
            parameters[part] = _place(folder, part, str(parameters[part]))
    if parameters.get("clustering", "VBxClustering") != "VBxClustering":
        parameters["plda"] = NoPLDA()
    try:
        loaded = SpeakerDiarization(**parameters)
        return loaded.instantiate(config.get("params") or loaded.default_parameters())
    except GatedRepoError as error:
        raise gated(_elsewhere(parameters) or str(error)) from None
    except (LocalEntryNotFoundError, HfHubHTTPError) as error:
        missing = _elsewhere(parameters) or "a model of the hub"
        raise InputRejected(
            f"config.yaml asks for {missing}, which is not here ({type(error).__name__})",
            reason=Reason.MODEL_NOT_FOUND,
            subject=str(folder),
            next_step=f"put its files into a folder beside config.yaml and write {OWN}<that folder> there",
        ) from None
    except FileNotFoundError as error:
        raise _corrupt(folder, f"{error.filename} is missing") from None
    except (KeyError, TypeError, ValueError, RuntimeError, EOFError, UnpicklingError, BadZipFile) as error:
        raise _corrupt(folder, f"{type(error).__name__}: {error}") from None


def _read(folder: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load((folder / "config.yaml").read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise _corrupt(folder, f"config.yaml: {error}") from None
    if not isinstance(config, dict) or not isinstance(config.get("pipeline"), dict):
        raise _corrupt(folder, "config.yaml describes no pipeline")
    return config


def _place(folder: Path, part: str, name: str) -> dict[str, str]:
    """Where a model of the pipeline lies, in the words of upstream's constructors."""
    if name.startswith(OWN):
        subfolder = name.removeprefix(OWN)
        inside = (folder / subfolder).resolve()
        if not inside.is_relative_to(folder.resolve()) or not inside.is_dir():
            raise _corrupt(folder, f"config.yaml asks for {name}, and there is no such folder")
        return {"checkpoint": str(folder), "subfolder": subfolder}
    if name.partition("/")[0] not in TRUSTED_OWNERS:
        raise Misconfigured(
            f"config.yaml takes its {part} from {name}: a pickle from there may run any code",
            reason=Reason.INVALID_ARGUMENT,
            subject=str(folder),
            next_step=f"look at it, put it into {part}/ beside config.yaml and write {OWN}{part} there",
        )
    return {"checkpoint": name}


def _elsewhere(parameters: dict[str, Any]) -> str:
    """Models of the hub that the pipeline asks for."""
    places = [parameters[part] for part in PARTS if isinstance(parameters.get(part), dict)]
    return ", ".join(place["checkpoint"] for place in places if "subfolder" not in place)


def _corrupt(folder: Path, message: str) -> InputRejected:
    return InputRejected(
        message, reason=Reason.CORRUPT, subject=str(folder), next_step="copy the pipeline's whole folder again"
    )
