"""Loading a pyannote pipeline from a folder. Upstream's loader would download whatever the folder lacks.

`config.yaml` is upstream's. `$model/segmentation` in it is a subfolder of this folder; speaker-diarization-3.1 names
models of the hub instead, which are allowed if they are pyannote's.
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
from tasks.diarization.parts.loading import load_parts
from tasks.diarization.sources import TRUSTED_OWNERS
from tasks.models.hub import gated_error

PIPELINES = (
    "pyannote.audio.pipelines.SpeakerDiarization",
    "pyannote.audio.pipelines.speaker_diarization.SpeakerDiarization",
)
PARTS = ("segmentation", "embedding", "plda")
SUBFOLDER_PREFIX = "$model/"


def load_local_pipeline(folder: Path) -> SpeakerDiarization:
    """Load the pipeline that `config.yaml` describes: pyannote's, or one given in parts.

    Raises:
        InputRejected: the configuration is invalid, or one of its models is not available locally.
        Misconfigured: another kind of pipeline, or a model of an owner that is not trusted.
    """
    config = _read(folder)
    if "pipeline" not in config:
        return load_parts(folder, config)
    pipeline = config["pipeline"]
    if pipeline.get("name") not in PIPELINES:
        raise Misconfigured(
            f"config.yaml names {pipeline.get('name')}, which is not pyannote's speaker diarization",
            reason=Reason.INVALID_ARGUMENT,
            subject=str(folder),
            next_step="give a copy of speaker-diarization-community-1 or 3.1",
        )
    parameters: dict[str, Any] = dict(pipeline.get("params") or {})
    for part in PARTS:
        if part in parameters:
            parameters[part] = _model_source(folder, part, str(parameters[part]))
    if parameters.get("clustering", "VBxClustering") != "VBxClustering":
        parameters["plda"] = NoPLDA()
    try:
        loaded = SpeakerDiarization(**parameters)
        return loaded.instantiate(config.get("params") or loaded.default_parameters())
    except GatedRepoError as error:
        raise gated_error(_hub_models(parameters) or str(error)) from None
    except (LocalEntryNotFoundError, HfHubHTTPError) as error:
        missing = _hub_models(parameters) or "a model of the hub"
        raise InputRejected(
            f"config.yaml names {missing}, which is not available locally ({type(error).__name__})",
            reason=Reason.MODEL_NOT_FOUND,
            subject=str(folder),
            next_step=f"put its files into a folder beside config.yaml and write {SUBFOLDER_PREFIX}<that folder> there",
        ) from None
    except FileNotFoundError as error:
        raise _corrupt_error(folder, f"{error.filename} is missing") from None
    except (KeyError, TypeError, ValueError, RuntimeError, EOFError, UnpicklingError, BadZipFile) as error:
        raise _corrupt_error(folder, f"{type(error).__name__}: {error}") from None


def _read(folder: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load((folder / "config.yaml").read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise _corrupt_error(folder, f"config.yaml: {error}") from None
    is_pipeline = isinstance(config, dict) and isinstance(config.get("pipeline"), dict)
    if not is_pipeline and not (isinstance(config, dict) and "pipeline" not in config and "embedding" in config):
        raise _corrupt_error(folder, "config.yaml describes neither a pipeline nor a segmentation and an embedding")
    return config


def _model_source(folder: Path, part: str, name: str) -> dict[str, str]:
    """Return a model's location, as arguments of upstream's constructors."""
    if name.startswith(SUBFOLDER_PREFIX):
        subfolder = name.removeprefix(SUBFOLDER_PREFIX)
        inside = (folder / subfolder).resolve()
        if not inside.is_relative_to(folder.resolve()) or not inside.is_dir():
            raise _corrupt_error(folder, f"config.yaml names {name}, but there is no such folder")
        return {"checkpoint": str(folder), "subfolder": subfolder}
    if name.partition("/")[0] not in TRUSTED_OWNERS:
        raise Misconfigured(
            f"config.yaml takes its {part} from {name}, whose pickles may run any code",
            reason=Reason.INVALID_ARGUMENT,
            subject=str(folder),
            next_step=f"review it, put it into {part}/ beside config.yaml and write {SUBFOLDER_PREFIX}{part} there",
        )
    return {"checkpoint": name}


def _hub_models(parameters: dict[str, Any]) -> str:
    """Return the names of the pipeline's models on the hub."""
    sources = [parameters[part] for part in PARTS if isinstance(parameters.get(part), dict)]
    return ", ".join(source["checkpoint"] for source in sources if "subfolder" not in source)


def _corrupt_error(folder: Path, message: str) -> InputRejected:
    return InputRejected(
        message, reason=Reason.CORRUPT, subject=str(folder), next_step="copy the pipeline's whole folder again"
    )
