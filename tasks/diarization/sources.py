"""Finding a diarizer by its URI and fetching it to a local folder, without importing torch or pyannote."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tasks import models
from tasks.contract import Misconfigured, Reason
from tasks.models import ModelReference
from tasks.models.reference import HUB_NAME

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
    folder = models.fetch(reference, scratch)
    if not HUB_NAME.fullmatch(name):
        return folder
    pickles = sorted(path.name for path in folder.rglob("*") if path.suffix in PICKLES)
    if pickles and name.partition("/")[0] not in TRUSTED_OWNERS:
        raise Misconfigured(
            f"its {pickles[0]} is a pickle, which may run any code when it is loaded",
            reason=Reason.INVALID_ARGUMENT,
            subject=name,
            next_step="review it, copy it to a folder or an s3:// prefix of yours, and give that",
        )
    return folder
