"""What determines a transcript, and so its key: media bytes, track, step versions, model and schema."""

from __future__ import annotations

from tasks.contract import Frozen, digest_of
from tasks.contract.arguments import AUTO_LANGUAGE, CueProfileName
from tasks.transcripts.document import SCHEMA_VERSION

# Incremented when a step's output changes. Together they are the pipeline's version.
PREPARE_VERSION = 6
RECOGNISE_VERSION = 11
DIARIZE_VERSION = 2
PUBLISH_VERSION = 10


class Pipeline(Frozen):
    """Everything but the media. A programme is transcribed once by each pipeline."""

    model: str
    """`models:/name/version` or another URI without an alias."""
    model_version: str
    model_digest: str
    diarizer: str = "embedded"
    diarizer_digest: str = ""
    language: str = AUTO_LANGUAGE
    cues: CueProfileName = CueProfileName.BBC
    versions: tuple[int, int, int, int] = (PREPARE_VERSION, RECOGNISE_VERSION, DIARIZE_VERSION, PUBLISH_VERSION)
    schema_version: int = SCHEMA_VERSION

    @property
    def digest(self) -> str:
        """Models count by content, not by where they come from."""
        return digest_of(self.model_dump(mode="json", exclude={"model", "model_version", "diarizer"}))

    def transcript_key(self, content: str, track: int, diarized: bool = True) -> str:
        """A transcript's key, 64 hexadecimal digits. Without diarization it is a different one, so that the transcript
        with speakers can still be published later."""
        identity = {"media": content, "track": track, "pipeline": self.digest}
        return digest_of(identity if diarized else identity | {"speakers": "none"})
