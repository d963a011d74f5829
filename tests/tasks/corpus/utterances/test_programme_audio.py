"""Captioned programmes whose chosen track has no speech: the other tracks are surveyed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tasks import storage
from tasks.contract import Outcome, Reason
from tasks.corpus.records import Supervision
from tasks.corpus.utterances.programme_audio import CHECKED_MS, first_spans
from tasks.media.decoding.isolated import IsolatedDecoder
from tests.tasks.corpus.conftest import captions
from tests.tasks.corpus.utterances.test_programme import outcomes
from tests.tasks.media.making import Track, encode
from tests.tasks.media.speaking import music, silence, speech, tone

SECONDS = 12.0


@pytest.fixture
def n_surveys(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The number of lanes of each survey."""
    calls: list[int] = []
    original = IsolatedDecoder.open_lanes

    def counted(self, path, lanes, limits=None):
        calls.append(len(lanes))
        return original(self, path, lanes, limits)

    monkeypatch.setattr(IsolatedDecoder, "open_lanes", counted)
    return calls


def add(folder, samples: list[np.ndarray], container: str = "mxf", **tags: str) -> None:
    tracks = [Track(one[None], "pcm_s16le", tags=tags) for one in samples]
    storage.write(storage.join(folder.media, f"news.{container}"), encode(container, tracks, video=True))
    storage.write(storage.join(folder.media, "news.srt"), captions(SECONDS))


@pytest.mark.parametrize("first", [silence, tone, music])
def test_speech_under_the_captions_is_found(folder, n_surveys: list[int], first) -> None:
    add(folder, [first(SECONDS)] * 2 + [silence(SECONDS)] * 3 + [speech(duration_s=SECONDS)] + [silence(SECONDS)] * 2)
    (prepared,) = folder.prepare(folder.scan(shards=1))
    (outcome,) = [o for o in outcomes(prepared) if "@" not in o.item]
    assert (outcome.outcome, outcome.reason) == (Outcome.DONE_WITH_WARNINGS, Reason.NO_SPEECH)
    assert "audio track 5 used instead" in outcome.detail
    assert prepared.counts["utterances"] >= 2
    assert len(n_surveys) == 1


def test_a_track_with_speech_is_kept(folder, n_surveys: list[int]) -> None:
    add(folder, [speech(duration_s=SECONDS)] * 2 + [speech("de", duration_s=SECONDS)] * 2)
    (prepared,) = folder.prepare(folder.scan(shards=1))
    (outcome,) = [o for o in outcomes(prepared) if "@" not in o.item]
    assert (outcome.outcome, outcome.detail) == (Outcome.DONE, "")
    assert n_surveys == []


def test_a_single_track_is_decoded_once(folder, n_surveys: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    original = IsolatedDecoder.open_audio

    def counted(self, path, *arguments, **options):
        opened.append(path)
        return original(self, path, *arguments, **options)

    monkeypatch.setattr(IsolatedDecoder, "open_audio", counted)
    folder.add("news")  # tones only
    folder.prepare(folder.scan(shards=1))
    assert (len(opened), n_surveys) == (1, [])


def test_captions_over_silence_in_all_tracks_are_dropped(folder, n_surveys: list[int]) -> None:
    add(folder, [silence(SECONDS)] * 4)
    (prepared,) = folder.prepare(folder.scan(shards=1))
    assert all(o.reason is Reason.SILENCE for o in outcomes(prepared))
    assert n_surveys == [2]


def test_the_first_minute_of_captions_is_checked() -> None:
    cues = [Supervision(start_s=s, end_s=s + 4, text="x") for s in (30, 10, 12, -3, *range(100, 400, 5))]
    spans = first_spans(cues)
    assert spans[:3] == [(0, 1000), (10_000, 14_000), (14_000, 16_000)]
    assert sum(end - start for start, end in spans) == CHECKED_MS
    assert first_spans([Supervision(start_s=0, end_s=None, text="x")]) == []
