"""The chunks of a batch in windows that an engine packs well, read ahead of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import storage
from tasks.audio import SAMPLES_PER_MS
from tasks.contract import StepResult
from tasks.night.hearing import Hearing, Piece
from tasks.night.records import Preparation
from tasks.step import output_uri
from tasks.transcripts.coverage import speech_within

if TYPE_CHECKING:
    import numpy as np


@dataclass
class AudioSource:
    """The prepared audio of a batch, one programme open at a time."""

    prepared_uri: str
    prepared: StepResult
    scratch: Path

    @contextmanager
    def opened(self, preparation: Preparation) -> Iterator[Callable[[int, int], np.ndarray]]:
        """A programme's samples from one millisecond to another, `(n_samples,)` float32; fewer at its end."""
        import soundfile

        uri = output_uri(self.prepared_uri, self.prepared, preparation.audio)
        path = storage.local_copy(uri, self.scratch)
        try:
            with soundfile.SoundFile(path) as audio:

                def read(start_ms: int, end_ms: int) -> np.ndarray:
                    audio.seek(min(start_ms * SAMPLES_PER_MS, audio.frames))
                    samples: np.ndarray = audio.read((end_ms - start_ms) * SAMPLES_PER_MS, dtype="float32")
                    return samples

                yield read
        finally:
            if not uri.startswith("file://"):
                path.unlink()


def listen(hearings: Iterable[Hearing], audio: AudioSource, with_ballots: bool) -> Iterator[Piece]:
    """Every chunk of every programme, in order; before a programme's first, its ballots are filled in, if asked for."""
    for hearing in hearings:
        if not hearing.chunks:
            continue
        within = speech_within(hearing.preparation.speech, hearing.chunks)
        with hearing.answering(), audio.opened(hearing.preparation) as read:
            if with_ballots:
                hearing.ballot_samples = [read(ballot.start_ms, ballot.end_ms) for ballot in hearing.ballots]
            for span, speech in zip(hearing.chunks, within, strict=True):
                yield Piece(hearing, span, speech, read(span.start_ms, span.end_ms))


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
