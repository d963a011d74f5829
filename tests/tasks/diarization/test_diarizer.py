from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pyannote.core import Annotation, Segment

from tasks.contract import InputRejected, Reason
from tasks.diarization.diarizer import BLOCK_MS, MARGIN_MS, Diarization, Diarizer, load_diarizer
from tasks.diarization.embedded import CONFIG_NAME
from tasks.diarization.sources import WEIGHTS
from tasks.transcripts.spans import Span, Turn
from tests.tasks.diarization.conftest import Talk
from training.scoring.speakers import annotation_of, speaker_errors


@pytest.fixture(scope="module")
def embedded() -> Diarizer:
    return load_diarizer(WEIGHTS, "embedded", "cpu")


@pytest.fixture(scope="module")
def unlearned(random_weights: Path) -> Diarizer:
    return load_diarizer(random_weights, "random", "cpu")


def check(found: Diarization, speech: list[Span]) -> None:
    """Invariants for any weights."""
    for turns in (found.turns, found.exclusive):
        assert list(turns) == sorted(turns, key=lambda turn: (turn.start_ms, turn.end_ms, turn.speaker))
        assert all(turn.end_ms > turn.start_ms for turn in turns)
        assert all(any(s.start_ms <= t.start_ms and t.end_ms <= s.end_ms for s in speech) for t in turns)
    assert all(a.end_ms <= b.start_ms for a, b in pairwise(found.exclusive))
    assert found.speakers == tuple(f"S{n}" for n in range(1, len(found.speakers) + 1))
    assert {turn.speaker for turn in found.exclusive} <= set(found.speakers)
    firsts = [next(turn.start_ms for turn in found.turns if turn.speaker == name) for name in found.speakers]
    assert firsts == sorted(firsts)


def test_two_voices_unseen_in_training(embedded: Diarizer, talk: Talk) -> None:
    found = embedded.diarize(talk.read, [Span(0, len(talk.samples) // 16)])
    check(found, [Span(0, len(talk.samples) // 16)])
    assert found.speakers == ("S1", "S2")
    assert speaker_errors(annotation_of(talk.turns), annotation_of(found.turns), collar_s=0.25).rate < 0.15
    assert speaker_errors(annotation_of(talk.turns), annotation_of(found.exclusive), collar_s=0.25).rate < 0.15


def test_a_long_programme_in_blocks_has_the_same_speakers(embedded: Diarizer, talk: Talk) -> None:
    """Four times the talk, in blocks of half a minute: a speaker keeps the label across blocks."""
    long = np.concatenate([talk.samples] * 4)
    length_ms = len(talk.samples) // 16
    turns = [
        Turn(n * length_ms + t.start_ms, n * length_ms + t.end_ms, t.speaker) for n in range(4) for t in talk.turns
    ]
    asked: list[tuple[int, int]] = []

    def read(start_ms: int, end_ms: int) -> np.ndarray:
        asked.append((start_ms, end_ms))
        return long[start_ms * 16 : end_ms * 16]

    speech = [Span(turn.start_ms, turn.end_ms) for turn in turns]
    found = embedded.diarize(read, speech, max_block_ms=30_000)
    check(found, speech)
    assert len(asked) > 4
    assert max(end - start for start, end in asked) <= 30_000 + 2 * MARGIN_MS
    assert len(found.speakers) == 2
    assert speaker_errors(annotation_of(turns), annotation_of(found.turns), collar_s=0.25).rate < 0.2


def test_a_block_fits_into_memory(unlearned: Diarizer) -> None:
    """Six hours are read in blocks: 20 minutes of samples are 77 MB."""
    longest = 0

    def read(start_ms: int, end_ms: int) -> np.ndarray:
        nonlocal longest
        longest = max(longest, end_ms - start_ms)
        return np.zeros(16_000, np.float32)  # as if the programme ended there

    unlearned.diarize(read, [Span(0, 6 * 3_600_000)])
    assert longest <= BLOCK_MS + 2 * MARGIN_MS


def test_speakers_without_embeddings_are_not_linked(unlearned: Diarizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some pipelines return no embeddings: speakers of one block are not those of another."""
    turns = Annotation()
    turns[Segment(1, 3)], turns[Segment(3, 5)] = "a", "b"
    answer = SimpleNamespace(speaker_diarization=turns, exclusive_speaker_diarization=turns, speaker_embeddings=None)
    monkeypatch.setattr(unlearned, "_pipeline", lambda *_, **__: answer)
    monkeypatch.setattr(Diarizer, "threshold", 0.7)
    speech = [Span(0, 6_000), Span(9_000, 15_000)]
    found = unlearned.diarize(lambda start_ms, end_ms: np.zeros(16, np.float32), speech, max_block_ms=8_000)
    assert found.speakers == ("S1", "S2", "S3", "S4")


@pytest.mark.parametrize("n_samples", [0, 1, 160, 8_000, 40_000])
def test_short_programmes(unlearned: Diarizer, n_samples: int) -> None:
    samples = 0.1 * np.random.default_rng(1).standard_normal(n_samples).astype(np.float32)
    speech = [Span(0, max(1, n_samples // 16))]
    check(unlearned.diarize(lambda start_ms, end_ms: samples[start_ms * 16 : end_ms * 16], speech), speech)


def test_without_speech_nothing_is_read(unlearned: Diarizer) -> None:
    def read(start_ms: int, end_ms: int) -> np.ndarray:
        raise AssertionError("nothing to read")

    assert unlearned.diarize(read, []) == Diarization()


def test_progress_never_decreases_and_reaches_the_end(unlearned: Diarizer, talk: Talk) -> None:
    shares: list[float] = []
    unlearned.diarize(talk.read, talk.speech, shares.append, max_block_ms=20_000)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert len(shares) > 6


def test_results_are_reproducible(unlearned: Diarizer, talk: Talk) -> None:
    assert unlearned.diarize(talk.read, talk.speech) == unlearned.diarize(talk.read, talk.speech)


def test_several_windows_go_through_the_networks_at_once(unlearned: Diarizer) -> None:
    """Upstream's defaults are 1."""
    pipeline = unlearned._pipeline
    assert pipeline.segmentation_batch_size > 1
    assert pipeline.embedding_batch_size % 3 == 0, "a window's three speakers share its frames"


def test_the_weights_that_come_with_the_package_are_small() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) < 4e6
    assert {path.suffix for path in WEIGHTS.iterdir()} <= {".json", ".safetensors", ".md"}


def test_no_diarizer_in_a_folder(tmp_path: Path, random_weights: Path) -> None:
    with pytest.raises(InputRejected, match=r"neither config\.yaml nor"):
        load_diarizer(tmp_path, "x")
    with pytest.raises(InputRejected) as caught:
        load_diarizer(tmp_path / "gone", "x")
    assert caught.value.reason is Reason.MODEL_NOT_FOUND
    (tmp_path / CONFIG_NAME).write_bytes((random_weights / CONFIG_NAME).read_bytes())
    for name in ("embedding", "segmentation"):
        (tmp_path / f"{name}.safetensors").write_bytes((random_weights / f"{name}.safetensors").read_bytes()[:-9])
    with pytest.raises(InputRejected, match="can be loaded") as caught:
        load_diarizer(tmp_path, "x")
    assert caught.value.reason is Reason.CORRUPT
