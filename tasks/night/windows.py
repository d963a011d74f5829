"""The chunks of a batch in windows that an engine packs well, read ahead of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import storage
from tasks.contract import StepResult
from tasks.night.coverage import speech_within
from tasks.night.hearing import Hearing, Piece
from tasks.night.records import Preparation, Span
from tasks.step import output_uri

if TYPE_CHECKING:
    import numpy as np

SAMPLES_PER_MS = 16


@dataclass
class AudioSource:
    """The prepared audio of a batch, one programme open at a time."""

    prepared_uri: str
    prepared: StepResult
    scratch: Path

    def read(self, preparation: Preparation, chunks: Iterable[Span]) -> Iterator[np.ndarray]:
        """Chunks of a programme, `(n_samples,)` float32 each."""
        import soundfile

        uri = output_uri(self.prepared_uri, self.prepared, preparation.audio)
        path = storage.local_copy(uri, self.scratch)
        with soundfile.SoundFile(path) as audio:
            for chunk in chunks:
                audio.seek(chunk.start_ms * SAMPLES_PER_MS)
                yield audio.read(chunk.duration_ms * SAMPLES_PER_MS, dtype="float32")
        if not uri.startswith("file://"):
            path.unlink()


def listen(hearings: Iterable[Hearing], audio: AudioSource) -> Iterator[Piece]:
    """Every chunk of every programme, in order."""
    for hearing in hearings:
        if not hearing.chunks:
            continue
        speech = speech_within(hearing.preparation.speech, hearing.chunks)
        samples = audio.read(hearing.preparation, hearing.chunks)
        for span, speech_ms, chunk in zip(hearing.chunks, speech, samples, strict=True):
            yield Piece(hearing, span, speech_ms, chunk)


def windows(pieces: Iterator[Piece], window_s: float) -> Iterator[list[Piece]]:
    """Pieces in lists of at most about `window_s`."""
    while window := list(islice(pieces, 1)):
        length_ms = window[0].span.duration_ms
        while length_ms < window_s * 1000 and (more := list(islice(pieces, 1))):
            window += more
            length_ms += more[0].span.duration_ms
        yield window


def ahead(found: Iterator[list[Piece]]) -> Iterator[list[Piece]]:
    """The next window is read and decoded while this one is recognised: an accelerator must not wait for FLAC."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        coming = reader.submit(next, found, None)
        while (window := coming.result()) is not None:
            coming = reader.submit(next, found, None)
            yield window
