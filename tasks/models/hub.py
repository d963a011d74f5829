"""Models of the Hugging Face hub: resolved to a revision, and only the files that are read are downloaded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tasks.contract import InputRejected, Reason
from tasks.models.folder import weights_name

PARTS = re.compile(r"(model|pytorch_model)-\d+-of-\d+\.(safetensors|bin)")
SETTINGS = frozenset({".json", ".txt", ".md", ".tiktoken", ".jinja"})
"""Suffixes of configurations, vocabularies and cards."""
WEIGHTS = frozenset({".safetensors", ".bin", ".pt"})


def needed_files(names: Sequence[str]) -> list[str]:
    """Return the files of a speech recogniser's repository that are read: of its weights, one format.

    whisper-large-v3's repository has the same weights in float32 and float16, safetensors, PyTorch's format and Flax's:
    25 GB for a model of 3. Other repositories, such as a diarizer's, are needed whole.
    """
    top = [name for name in names if "/" not in name]
    weights = _weights(top)
    if not weights or "config.yaml" in top:
        return list(names)
    licences = {name for name in top if name.upper().startswith(("LICENSE", "LICENCE"))}
    return [name for name in top if name in weights | licences or PurePosixPath(name).suffix in SETTINGS]


def _weights(top: Sequence[str]) -> set[str]:
    found = weights_name(top)
    if found is None:
        return {name for name in top if name == "model.bin" or name.endswith(".pt")}
    if not found.endswith(".index.json"):
        return {found}
    stem, suffix = found.partition(".")[0], found.removesuffix(".index.json").rpartition(".")[2]
    return {found, *(n for n in top if PARTS.fullmatch(n) and n.startswith(stem) and n.endswith(suffix))}


def download(name: str, revision: str | None) -> Path:
    """Download a model, or what is missing of its local copy. Without a network the local copy is returned as it is.

    Raises:
        InputRejected: MODEL_NOT_FOUND: it is gated, or the hub does not answer and the local copy has no weights.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError

    try:
        names = list(file_sizes(name, revision))
        return Path(snapshot_download(name, revision=revision, allow_patterns=needed_files(names)))
    except GatedRepoError:
        raise gated_error(name) from None
    except Exception as error:  # the client does not wrap its transport's errors
        folder = local_copy(name, revision)
        if folder is None or not any(path.suffix in WEIGHTS for path in folder.rglob("*")):
            raise InputRejected(
                f"its weights are not here, and the hub does not answer ({type(error).__name__})",
                reason=Reason.MODEL_NOT_FOUND,
                subject=name,
                next_step="download it where there is a network and give the folder",
            ) from None
        return folder


def gated_error(name: str) -> InputRejected:
    return InputRejected(
        "gated: the hub requires that its terms are accepted",
        reason=Reason.MODEL_NOT_FOUND,
        subject=name,
        next_step=f"accept them on https://hf.co/{name}, set HF_TOKEN, or give a folder with a copy",
    )


def local_copy(name: str, revision: str | None) -> Path | None:
    """Return the local copy of a model, complete or not; None without one.

    `snapshot_download` refuses a copy without the files that are not needed.
    """
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(name, file, revision=revision) for file in ("config.json", "config.yaml"))
    return next((Path(path).parent for path in found if isinstance(path, str)), None)


def file_sizes(name: str, revision: str | None) -> dict[str, int | None]:
    """Ask the hub for the files of a repository. Raises whatever the client's transport raises."""
    from huggingface_hub import HfApi

    siblings = HfApi().model_info(name, revision=revision, files_metadata=True).siblings or []
    return {sibling.rfilename: sibling.size for sibling in siblings}
