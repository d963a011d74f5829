"""Finding a diarizer by its URI and fetching it to a local folder, without importing torch or pyannote."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tasks import models
from tasks.contract import InputRejected, Misconfigured, Reason
from tasks.models import ModelReference
from tasks.models.reference import HUB_NAME, model_not_found

EMBEDDED = "embedded"
WEIGHTS = Path(__file__).parent / "weights"
# Owners whose pickles are loaded from the hub. A pickle can run any code: others must be reviewed and copied first.
TRUSTED_OWNERS = ("pyannote",)
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")


def resolve(uri: str) -> ModelReference:
    """Resolve a diarizer's URI.

    Raises:
        InputRejected: MODEL_NOT_FOUND.
        Misconfigured: `uri` is not a valid model URI.
    """
    if uri != EMBEDDED:
        return models.resolve(uri)
    reference = models.resolve(str(WEIGHTS))
    return replace(reference, uri=EMBEDDED, version=f"{EMBEDDED}-{reference.digest[:12]}")


def fetch(reference: ModelReference, scratch: Path) -> Path:
    """Fetch a diarizer. Returns a local folder, to be read only.

    Raises:
        InputRejected: the model is gated, or not cached while the hub is out of reach.
        Misconfigured: the model has pickles of an owner that is not trusted.
    """
    if reference.uri == EMBEDDED:
        return WEIGHTS
    name = reference.uri.partition("@")[0]
    if not HUB_NAME.fullmatch(name):
        return models.fetch(reference, scratch)
    folder = _from_hub(reference, scratch)
    pickles = sorted(path.name for path in folder.rglob("*") if path.suffix in PICKLES)
    if pickles and name.partition("/")[0] not in TRUSTED_OWNERS:
        raise Misconfigured(
            f"its {pickles[0]} is a pickle, which may run any code when it is loaded",
            reason=Reason.INVALID_ARGUMENT,
            subject=name,
            next_step="review it, copy it to a folder or an s3:// prefix of yours, and give that",
        )
    return folder


def _from_hub(reference: ModelReference, scratch: Path) -> Path:
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

    name = reference.uri.partition("@")[0]
    try:
        return models.fetch(reference, scratch)
    except GatedRepoError:
        raise gated_error(name) from None
    except (LocalEntryNotFoundError, HfHubHTTPError) as error:
        raise model_not_found(
            name,
            f"cannot be downloaded from the hub ({type(error).__name__})",
            "copy it where there is a network, and give the folder or the s3:// prefix",
        ) from None


def gated_error(name: str) -> InputRejected:
    return model_not_found(
        name,
        "gated: the hub requires that its terms are accepted",
        f"accept them on https://hf.co/{name}, set HF_TOKEN, or give a folder with a copy",
    )
