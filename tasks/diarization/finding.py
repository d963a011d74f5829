"""Finding a diarizer by its URI, and bringing it to this machine. Neither torch nor pyannote is imported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tasks import models
from tasks.contract import InputRejected, Misconfigured, Reason
from tasks.models import ModelReference
from tasks.models.reference import HUB_NAME, model_not_found

EMBEDDED = "embedded"
WEIGHTS = Path(__file__).parent / "weights"
# Whose pickles are loaded from the hub. A pickle runs code: anybody else's must be mirrored first, by a decision.
TRUSTED_OWNERS = ("pyannote",)
PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")


def resolve(uri: str) -> ModelReference:
    """The diarizer that `uri` means.

    Raises:
        InputRejected: MODEL_NOT_FOUND.
        Misconfigured: `uri` could name no model.
    """
    if uri != EMBEDDED:
        return models.resolve(uri)
    found = models.resolve(str(WEIGHTS))
    return replace(found, uri=EMBEDDED, version=f"{EMBEDDED}-{found.digest[:12]}")


def fetch(reference: ModelReference, scratch: Path) -> Path:
    """A local folder with the diarizer, to be read only.

    Raises:
        InputRejected: it is gated, or not here while the hub is out of reach.
        Misconfigured: pickles of somebody whom nobody here has vouched for.
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
            next_step="look at it, copy it to a folder or an s3:// prefix of yours, and give that",
        )
    return folder


def _from_hub(reference: ModelReference, scratch: Path) -> Path:
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, LocalEntryNotFoundError

    name = reference.uri.partition("@")[0]
    try:
        return models.fetch(reference, scratch)
    except GatedRepoError:
        raise gated(name) from None
    except (LocalEntryNotFoundError, HfHubHTTPError) as error:
        raise model_not_found(
            name,
            f"the hub does not give it ({type(error).__name__})",
            "mirror it where there is a network, and give the folder or the s3:// prefix",
        ) from None


def gated(name: str) -> InputRejected:
    return model_not_found(
        name,
        "gated: the hub gives it only to those who accepted its terms",
        f"accept them on https://hf.co/{name}, set HF_TOKEN, or give a folder with a copy",
    )
