"""Reading the chunks of a batch, in groups that the engine takes in one call, ahead of the engine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import storage
from tasks.audio import SAMPLES_PER_MS
from tasks.contract import StepResult
from tasks.night.decoding import AudioChunk, ProgrammeDecoding
from tasks.night.records import Preparation
from tasks.step import output_uri
from tasks.transcripts.coverage import speech_within
from tasks.transcripts.spans import Span

if TYPE_CHECKING:
    import numpy as np


@dataclass
class BatchAudio:
    """The prepared audio of a batch, one programme open at a time."""

    prepared_uri: str
    prepared: StepResult
    scratch: Path

    @contextmanager
    def open_programme(self, preparation: Preparation) -> Iterator[Callable[[int, int], np.ndarray]]:
        """Yield a function that reads a programme's samples from one millisecond to another, `(n_samples,)` float32;
        fewer where the programme ends."""
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


def read_chunks(
    decodings: Iterable[ProgrammeDecoding], audio: BatchAudio, detect_languages: bool
) -> Iterator[AudioChunk]:
    """Yield every chunk of every programme, in order. With `detect_languages`, the audio for language detection is read
    before a programme's first chunk."""
    for decoding in decodings:
        if not decoding.chunks:
            continue
        speech_by_chunk = speech_within(decoding.preparation.speech, decoding.chunks)
        with decoding.isolate_errors(), audio.open_programme(decoding.preparation) as read:
            if detect_languages:
                language_speech = speech_within(decoding.preparation.speech, decoding.language_chunks)
                decoding.language_samples = [
                    _read_levelled(read, c, speech)
                    for c, speech in zip(decoding.language_chunks, language_speech, strict=True)
                ]
            for span, speech in zip(decoding.chunks, speech_by_chunk, strict=True):
                yield AudioChunk(decoding, span, speech, _read_levelled(read, span, speech))


def _read_levelled(read: Callable[[int, int], np.ndarray], span: Span, speech: Sequence[Span]) -> np.ndarray:
    """Read the samples of a chunk, with its quiet speech raised."""
    from tasks.media.levelling import level_speech

    inside = [Span(stretch.start_ms - span.start_ms, stretch.end_ms - span.start_ms) for stretch in speech]
    return level_speech(read(span.start_ms, span.end_ms), inside)


def group_chunks(
    chunks: Iterator[AudioChunk], group_s: float, max_chunks: int = sys.maxsize
) -> Iterator[list[AudioChunk]]:
    """Yield chunks in lists of about `group_s` of audio, and of at most `max_chunks`."""
    while group := list(islice(chunks, 1)):
        length_ms = group[0].span.duration_ms
        while length_ms < group_s * 1000 and len(group) < max_chunks and (more := list(islice(chunks, 1))):
            group += more
            length_ms += more[0].span.duration_ms
        yield group


def prefetch(groups: Iterator[list[AudioChunk]]) -> Iterator[list[AudioChunk]]:
    """Read the next group while the current one is recognised: an accelerator must not wait for FLAC."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        upcoming = reader.submit(next, groups, None)
        while (group := upcoming.result()) is not None:
            upcoming = reader.submit(next, groups, None)
            yield group
