"""Two channels with different speech: two languages side by side, or two readers at once.

Mixed, one of them is lost. They are transcribed apart: the prepared audio holds one channel after the other, and the
words of both are merged by time when the transcript is built.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import numpy as np

from tasks.audio import SAMPLE_RATE_HZ, SAMPLES_PER_MS
from tasks.media.loudness import decibel
from tasks.media.speech_activity import SpeechSegment
from tasks.night.records import LanguagePassage, SpeechSpan, SuspectChunk
from tasks.transcripts.document import Word
from tasks.transcripts.merging import with_monotonic_times
from tasks.transcripts.spans import Span

RecordType = TypeVar("RecordType", LanguagePassage, SuspectChunk)

# Channels of a stereo recording are as loud at the same times, whatever their phase; two speakers are not. Where they
# take turns, the mix loses nothing.
MAX_LEVEL_CORRELATION = 0.5
MIN_SIMULTANEOUS_SHARE = 0.3  # of the speech of the channel with less
MIN_SIMULTANEOUS_MS = 2_000
MIN_SPEECH_SHARE = 0.1  # of the channel with less, of the speech of the other
LEVEL_MS = 100
LEVEL_SAMPLES = LEVEL_MS * SAMPLES_PER_MS
MIN_LEVEL_DB = -60.0
GAP_MS = 5_000  # between the channels in the prepared audio: no chunk and no turn reaches over it


class LevelTrace:
    """The level of a stream of mono blocks every 100 ms, in dBFS."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.float32)
        self._levels_db = array("d")

    def push(self, block: np.ndarray) -> None:
        """`block`: `(n_samples,)` float32."""
        joined = np.concatenate([self._rest, block])
        n_whole = len(joined) // LEVEL_SAMPLES
        windows = joined[: n_whole * LEVEL_SAMPLES].reshape(n_whole, LEVEL_SAMPLES)
        powers = np.einsum("ij,ij->i", windows, windows) / LEVEL_SAMPLES  # (n_whole,)
        self._levels_db.extend(max(MIN_LEVEL_DB, decibel(power)) for power in powers.tolist())
        self._rest = joined[n_whole * LEVEL_SAMPLES :].copy()

    @property
    def levels_db(self) -> np.ndarray:
        """`(n_levels,)`."""
        return np.array(self._levels_db)


@dataclass(frozen=True)
class ChannelSpeech:
    """What one channel carries."""

    segments: Sequence[SpeechSegment]
    confident_speech_ms: int
    levels_db: np.ndarray
    """`(n_levels,)`, every 100 ms."""


def is_unlike(first: ChannelSpeech, second: ChannelSpeech) -> bool:
    """Whether the channels carry different speech at the same time."""
    less, more = sorted((first.confident_speech_ms, second.confident_speech_ms))
    n_levels = min(len(first.levels_db), len(second.levels_db))
    both = _mask(first.segments, n_levels) & _mask(second.segments, n_levels)  # (n_levels,)
    simultaneous_ms = LEVEL_MS * int(both.sum())
    min_simultaneous_ms = max(MIN_SIMULTANEOUS_MS, MIN_SIMULTANEOUS_SHARE * less)
    if less < MIN_SPEECH_SHARE * more or simultaneous_ms < min_simultaneous_ms:
        return False
    a, b = first.levels_db[:n_levels][both], second.levels_db[:n_levels][both]
    is_steady = not a.std() or not b.std()
    return not is_steady and float(np.corrcoef(a, b)[0, 1]) < MAX_LEVEL_CORRELATION


def _mask(segments: Iterable[SpeechSegment], n_levels: int) -> np.ndarray:
    mask = np.zeros(n_levels, bool)
    for segment in segments:
        mask[segment.start_ms // LEVEL_MS : segment.end_ms // LEVEL_MS] = True
    return mask


def join_audio(channels: Sequence[Path], starts_ms: Sequence[int], joined: Path) -> None:
    """Write 16 kHz mono FLACs one after another, each from its start on."""
    import soundfile

    n_written = 0
    with soundfile.SoundFile(joined, "w", SAMPLE_RATE_HZ, 1, subtype="PCM_16", format="FLAC") as sink:
        for path, start_ms in zip(channels, starts_ms, strict=True):
            silence = np.zeros(SAMPLE_RATE_HZ, np.int16)
            while n_missing := max(0, start_ms * SAMPLES_PER_MS - n_written):
                sink.write(silence[:n_missing])
                n_written += min(n_missing, len(silence))
            with soundfile.SoundFile(path) as source:
                for block in source.blocks(SAMPLE_RATE_HZ, dtype="int16"):
                    sink.write(block)
                n_written += source.frames


def shift(speech: Iterable[SpeechSpan], start_ms: int) -> Iterable[SpeechSpan]:
    """Yield the speech of a channel in times of the prepared audio."""
    for span in speech:
        pauses = tuple((at_ms + start_ms, cost) for at_ms, cost in span.pauses)
        yield SpeechSpan(span.start_ms + start_ms, span.end_ms + start_ms, pauses)


@dataclass(frozen=True)
class ChannelTimes:
    """Times of the prepared audio as times of the programme."""

    starts_ms: tuple[int, ...]
    """Where each channel begins in the prepared audio; empty if all channels were mixed."""
    duration_ms: int
    """Of the programme."""

    @property
    def audio_ms(self) -> int:
        """Duration of the prepared audio."""
        return self.duration_ms + (self.starts_ms[-1] if self.starts_ms else 0)

    def channel_at(self, at_ms: int) -> int:
        return max(0, bisect_right(self.starts_ms, at_ms) - 1)

    def programme_span(self, span: Span) -> Span:
        """Return a span of the prepared audio in times of the programme, within the programme."""
        offset_ms = self.starts_ms[self.channel_at(span.start_ms)] if self.starts_ms else 0
        start_ms, end_ms = (min(max(0, at - offset_ms), self.duration_ms) for at in (span.start_ms, span.end_ms))
        return Span(start_ms, end_ms)

    def moved(self, records: Iterable[RecordType]) -> tuple[RecordType, ...]:
        """Return records in times of the programme, by their start."""
        moved = []
        for record in records:
            span = self.programme_span(Span(record.start_ms, record.end_ms))
            moved.append(record.model_copy(update={"start_ms": span.start_ms, "end_ms": span.end_ms}))
        return tuple(sorted(moved, key=lambda record: record.start_ms))

    def merge(self, words: Sequence[Word]) -> tuple[Word, ...]:
        """Return the words of all channels by time, with speakers S1, S2, … that are distinct in each channel.

        A word without a speaker gets the one before it in its channel, or else the first one after it: voices of two
        channels are never the same. A channel without speakers is one speaker.
        """
        if not self.starts_ms:
            return tuple(words)
        moved = []
        for channel, spoken in groupby(words, key=lambda word: self.channel_at(word.start_ms)):
            in_channel = [*spoken]
            speaker = next((word.speaker for word in in_channel if word.speaker is not None), None)
            for word in in_channel:
                speaker = word.speaker or speaker
                span = self.programme_span(Span(word.start_ms, word.end_ms))
                moved.append((span, channel, speaker, word))
        moved.sort(key=lambda item: (item[0].start_ms, item[1]))
        names: dict[tuple[int, str | None], str] = {}
        merged = []
        for span, channel, speaker, word in moved:
            name = names.setdefault((channel, speaker), f"S{len(names) + 1}")
            merged.append(word.model_copy(update={"start_ms": span.start_ms, "end_ms": span.end_ms, "speaker": name}))
        return with_monotonic_times(merged, self.duration_ms)
