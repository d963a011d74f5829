"""Joined neighbours: which ones, their features, texts and times."""

from __future__ import annotations

import itertools
from contextlib import closing
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.audio import SAMPLE_RATE_HZ
from tasks.dataset.manifest import load_manifest
from tasks.features.config import whisper
from tasks.features.logmel import LogMel
from tests.training.tones import write_dataset
from training.data.joining import SHORT_S, WINDOW_S, Joining, join
from training.data.loader import BatchLoader
from training.data.order import EpochOrder, Position
from training.data.shards import ShardReader, TrainingUtterance, UtteranceRow


def utterance(samples: np.ndarray, text: str) -> TrainingUtterance:
    features = LogMel(whisper(80))([samples.astype(np.float32)])[0].numpy()
    return TrainingUtterance(text, features.astype(np.float16), text, len(samples) / SAMPLE_RATE_HZ, (b"flac",), "p")


def noise(n_samples: int, level: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, level, n_samples)


def test_joined_features_are_those_of_the_joined_audio() -> None:
    """A quiet utterance beside a loud one is clamped again; frames around the joints straddle both."""
    pieces = [noise(16_000, 0.3, 0), noise(24_160, 1e-5, 1), np.zeros(4_800), noise(32_000, 0.01, 2)]
    found = join([utterance(samples, str(n)) for n, samples in enumerate(pieces)])
    expected = utterance(np.concatenate(pieces), "").features
    joints = np.cumsum([len(samples) // 160 for samples in pieces])
    clear = np.setdiff1d(np.arange(3000), [joint + k for joint in joints for k in (-2, -1, 0, 1)])
    np.testing.assert_allclose(found.features[clear], expected[clear], atol=2e-3)
    assert found.features.shape == (3000, 80)
    assert found.features.dtype == np.float16


def test_segments_follow_one_another_on_the_frames_of_the_features() -> None:
    lengths = [16_000, 16_001, 8_077]
    found = join([utterance(noise(n, 0.1, n), f"text {n}") for n in lengths])
    assert found.text == "text 16000 text 16001 text 8077"
    assert [(s.start_s, s.end_s) for s in found.segments] == [(0.0, 1.0), (1.0, 2.01), (2.01, 2.52)]
    assert found.duration_s == pytest.approx(2.52)
    assert len(found.audio) == 3
    assert found.segments == found.spans


def test_a_full_window_is_not_exceeded_by_rounding() -> None:
    found = join([utterance(noise(int(WINDOW_S / 7 * SAMPLE_RATE_HZ), 0.1, n), "x") for n in range(7)])
    assert found.duration_s == found.segments[-1].end_s == WINDOW_S
    assert len(found.features) == 3000


def test_one_utterance_stays_as_it_is() -> None:
    alone = utterance(noise(16_000, 0.1, 0), "alone")
    assert join([alone]) is alone
    assert [(s.text, s.start_s, s.end_s) for s in alone.spans] == [("alone", 0.0, 1.0)]


ROWS = st.lists(st.tuples(st.floats(0.1, 30), st.sampled_from("abc"), st.booleans()), max_size=40)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.floats(1, 30), st.integers(0, 9))
def test_windows_are_neighbours_of_one_programme_within_the_limits(
    drawn: list[tuple[float, str, bool]], max_s: float, seed: int
) -> None:
    numbers = itertools.accumulate(1 + skipped for _, _, skipped in drawn)  # unusable rows leave gaps
    rows = [UtteranceRow(n, f"t{n}", s, p) for n, (s, p, _) in zip(numbers, drawn, strict=True)]
    joining = Joining(max_s, seed, lambda text, _: len(text.split()) <= 6)
    windows = list(joining.windows(rows, group=3))
    assert [row for window in windows for row in window] == rows
    assert windows == list(joining.windows(rows, group=3)), "the same in every epoch and after a resume"
    for window in windows:
        assert len({row.programme_id for row in window}) == 1
        assert [row.row for row in window] == list(range(window[0].row, window[0].row + len(window)))
        assert len(window) == 1 or sum(row.duration_s for row in window) <= max_s
        assert len(window) <= 6


def test_some_windows_stay_short() -> None:
    rows = [UtteranceRow(n, "text", 1.0, "p") for n in range(4000)]
    lengths = [len(window) for window in Joining(30.0, 0, lambda *_: True).windows(rows, 0)]
    full = sum(n == 30 for n in lengths)
    assert 0.4 < full / len(lengths) < 0.6
    assert all(n <= SHORT_S[1] for n in lengths[:-1] if n < 30)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> ShardReader:
    folder: Path = tmp_path_factory.mktemp("joining")
    uri = write_dataset(folder, n_train=24, n_test=1, features="whisper-80")
    return ShardReader(load_manifest(uri)[0].uris("train"), with_audio=True)


def test_a_loader_draws_joined_utterances_with_what_was_said_before(reader: ShardReader) -> None:
    joining = Joining(5.0, 0, lambda *_: True)
    index = reader.index(whisper(80), lambda *_: True, joining.windows)
    assert int(index.n_rows.sum()) == 24
    assert index.n_rows.max() > 1
    assert set(index.n_frames) == {3000}
    rows = [u for group in range(len(reader.groups)) for u in reader.read(group)]
    order = EpochOrder(index, batch_frames=6000, pool_frames=10**6, seed=0)
    loader = BatchLoader(reader, index, order, Position(), lambda draw: draw.utterances)
    with closing(loader):
        drawn = [u for loaded in islice(loader, 40) if not loaded.position.epoch for u in loaded.batch]
    assert sorted(s.text for u in drawn for s in u.spans) == sorted(u.text for u in rows)
    firsts = {u.utterance_id: n for n, u in enumerate(rows)}
    for window in drawn:
        n = firsts[window.utterance_id]
        assert window.text == " ".join(u.text for u in rows[n : n + len(window.spans)])
        before = [u for u in rows[max(0, n - 8) : n] if u.programme_id == window.programme_id]
        if n % 16 >= 8:  # well inside its row group
            assert window.previous_text == " ".join(u.text for u in before)


def test_a_pool_counts_every_row_that_it_reads(reader: ShardReader) -> None:
    joined = reader.index(whisper(80), lambda *_: True, Joining(30.0, 0, lambda *_: True).windows)
    alone = reader.index(whisper(80), lambda *_: True)
    pools = [list(EpochOrder(index, 3000, 16 * 3000, 0).pools(0)) for index in (joined, alone)]
    assert [pool.groups for pool in pools[0]] == [pool.groups for pool in pools[1]]
