"""The sound of a transcript, published beside its formats for people who read it: see `tasks.media.listening`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SOUND_SUFFIX, WAVEFORM_SUFFIX = ".webm", ".waveform.dat"
SOUND_TYPE, WAVEFORM_TYPE = "audio/webm", "application/octet-stream"


@dataclass(frozen=True)
class Sound:
    """Local files of a sound: Opus in WebM, and peaks."""

    webm: Path
    waveform: Path

    def files(self) -> tuple[tuple[str, str, Path], ...]:
        """Suffix, media type and file of each."""
        return (SOUND_SUFFIX, SOUND_TYPE, self.webm), (WAVEFORM_SUFFIX, WAVEFORM_TYPE, self.waveform)

    def delete(self) -> None:
        self.webm.unlink(missing_ok=True)
        self.waveform.unlink(missing_ok=True)
