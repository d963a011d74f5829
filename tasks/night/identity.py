"""What decides a transcript, and so its place: media bytes, track, steps, model and schema."""

from __future__ import annotations

from tasks.contract import Frozen, digest_of
from tasks.transcripts.document import SCHEMA_VERSION

# Raised when a step's output would change. The three together are the pipeline's version.
PREPARE_VERSION = 1
RECOGNISE_VERSION = 1
PUBLISH_VERSION = 1


class Pipeline(Frozen):
    """Everything but the media: programmes are transcribed once by each pipeline."""

    model: str
    """`models:/name/version` or another URI without an alias."""
    model_version: str
    model_digest: str
    versions: tuple[int, int, int] = (PREPARE_VERSION, RECOGNISE_VERSION, PUBLISH_VERSION)
    schema_version: int = SCHEMA_VERSION

    @property
    def digest(self) -> str:
        """Where a model came from does not count, only which it is."""
        return digest_of(self.model_dump(mode="json", exclude={"model", "model_version"}))

    def transcript_key(self, media_sha256: str, track: int) -> str:
        """A transcript's identity, 64 hexadecimal digits."""
        return digest_of({"media": media_sha256, "track": track, "pipeline": self.digest})
