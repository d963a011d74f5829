from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.media.chunks import Chunk, chunks
from tasks.media.decoding.reader import load_audio
from tasks.media.speech_activity import Pause, SpeechSegment, speech_segments


@st.composite
def segment_lists(draw: st.DrawFn) -> list[SpeechSegment]:
    segments, at_ms = [], 0
    for gap_ms, length_ms in draw(st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 90_000)), max_size=12)):
        start_ms = at_ms + gap_ms
        at_ms = start_ms + length_ms
        places = draw(st.lists(st.integers(start_ms + 1, at_ms), unique=True, max_size=20)) if length_ms > 1 else []
        pauses = tuple(Pause(place, float(draw(st.integers(-90, 0)))) for place in sorted(places) if place < at_ms)
        segments.append(SpeechSegment(start_ms, at_ms, pauses))
    return segments


@given(segment_lists(), st.integers(1000, 30_000), st.integers(0, 2000), st.booleans())
def test_chunks_cover_all_speech_within_the_limit(segments: list[SpeechSegment], max_ms: int, join_ms: int, fill: bool):
    found = list(chunks(segments, max_ms=max_ms, join_ms=join_ms, fill=fill))
    for chunk in found:
        assert 0 < chunk.duration_ms <= max_ms
    for before, after in pairwise(found):
        assert before.end_ms <= after.start_ms
    for segment in segments:
        parts = [c for c in found if c.start_ms < segment.end_ms and c.end_ms > segment.start_ms]
        covered = sum(min(c.end_ms, segment.end_ms) - max(c.start_ms, segment.start_ms) for c in parts)
        assert covered == segment.duration_ms
    # Non-speech is included only where neighbours are joined.
    assert sum(c.duration_ms for c in found) <= sum(s.duration_ms for s in segments) + join_ms * len(segments)


def test_neighbours_are_joined_while_they_fit():
    segments = [
        SpeechSegment(0, 4000),
        SpeechSegment(4300, 9000),
        SpeechSegment(9200, 11_000),
        SpeechSegment(20_000, 21_000),
    ]
    assert list(chunks(segments, max_ms=10_000, join_ms=600)) == [
        Chunk(0, 9000),
        Chunk(9200, 11_000),
        Chunk(20_000, 21_000),
    ]


def test_a_long_segment_is_cut_where_it_is_cheapest():
    pauses = (Pause(3000, -50.0), Pause(7000, -60.0), Pause(9000, -20.0), Pause(14_000, -70.0))
    assert list(chunks([SpeechSegment(0, 15_000, pauses)], max_ms=10_000)) == [Chunk(0, 7000), Chunk(7000, 15_000)]
    # Without a pause it is cut at the limit.
    assert [c.duration_ms for c in chunks([SpeechSegment(0, 25_000)], max_ms=10_000)] == [10_000, 10_000, 5000]


def test_fill_cuts_a_segment_at_a_pause_to_use_the_room():
    pauses = (Pause(7000, -40.0), Pause(9000, -60.0), Pause(9800, -50.0), Pause(12_000, -70.0))
    segments = [SpeechSegment(0, 4000), SpeechSegment(4500, 13_000, pauses)]
    assert list(chunks(segments, max_ms=10_000)) == [Chunk(0, 4000), Chunk(4500, 13_000)]
    assert list(chunks(segments, max_ms=10_000, fill=True)) == [Chunk(0, 9000), Chunk(9000, 13_000)]
    # Not if there is little room, or no pause in it.
    little = [SpeechSegment(0, 8000), SpeechSegment(8100, 13_000, (Pause(9900, -70.0),))]
    assert list(chunks(little, max_ms=10_000, fill=True)) == [Chunk(0, 8000), Chunk(8100, 13_000)]
    assert list(chunks([SpeechSegment(0, 4000), SpeechSegment(4500, 13_000)], max_ms=10_000, fill=True)) == [
        Chunk(0, 4000),
        Chunk(4500, 13_000),
    ]


def test_a_limit_of_zero_is_refused():
    with pytest.raises(ValueError, match="max_ms must be positive"):
        list(chunks([], max_ms=0))


def test_cuts_in_running_speech_fall_between_words(speech: Path):
    """Read sentences without pauses between them, with noise 15 dB below: cuts hit (almost) no speech."""
    parts = []
    for path in sorted((speech / "sentences" / "audiobook").glob("*.flac"))[::4]:
        sentence = load_audio(path)
        loud = np.flatnonzero(np.abs(sentence) > 0.02 * np.abs(sentence).max())
        sentence = sentence[loud[0] : loud[-1]]
        parts.append(sentence / np.sqrt(np.mean(sentence**2)) * 0.05)
    clean = np.concatenate(parts)
    noise = np.random.default_rng(0).standard_normal(len(clean)) * 0.05 * 10 ** (-15 / 20)
    segments = list(speech_segments([(clean + noise).astype(np.float32)]))
    power = np.convolve(clean**2, np.ones(1280) / 1280, "same") / np.mean(clean**2)
    met = []
    for max_ms in (5000, 8000, 12_000):
        found = list(chunks(segments, max_ms=max_ms))
        met += [power[min(a.end_ms * 16, len(power) - 1)] for a, b in pairwise(found) if a.end_ms == b.start_ms]
    assert len(met) >= 10
    assert np.mean(np.array(met) < 0.1) >= 0.95  # against 0.3 at random
    assert np.median(met) < 0.02
