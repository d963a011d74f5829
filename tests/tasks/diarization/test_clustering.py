from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import is_valid_linkage

from tasks.diarization.clustering import EvidenceClustering, numbered, speakers_of, tree
from tasks.diarization.embedded import load_embedded
from tasks.diarization.finding import WEIGHTS


def voices(centres: np.ndarray, counts: list[int], noise: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Vectors around centres, `(n, dimension)`, and whose each is."""
    whose = np.repeat(np.arange(len(counts)), counts)
    rng = np.random.default_rng(seed)
    return centres[whose] + noise * rng.standard_normal((len(whose), centres.shape[1])), whose


def same(found: np.ndarray, whose: np.ndarray) -> bool:
    return len(set(zip(found, whose, strict=True))) == len(set(found)) == len(set(whose))


def test_everybody_is_found_however_little_one_says() -> None:
    vectors, whose = voices(np.eye(24)[:4], [60, 25, 12, 8], noise=0.1)
    assert same(speakers_of(vectors, 0.55), whose)


def test_the_more_is_heard_the_nearer_two_voices_may_be() -> None:
    """Voices of one distance are told apart after half a minute each, but not after two seconds."""
    near = np.array([[1.0, 0.0, 0.0, 0.0], [np.cos(0.8), np.sin(0.8), 0.0, 0.0]])
    vectors, whose = voices(near, [60, 60], noise=0.05)
    assert same(speakers_of(vectors, 0.55), whose)
    vectors, _ = voices(near, [4, 4], noise=0.05)
    assert set(speakers_of(vectors, 0.55)) == {0}


@pytest.mark.parametrize("n", [10, 100, 2000])
def test_one_voice_stays_one_however_long_it_talks(n: int) -> None:
    """Also when its room changes half way: Ward's heights grow with length without an end, these do not."""
    rooms = np.array([[1.0] + [0.0] * 31, [1.0, 0.4] + [0.0] * 30])
    vectors, _ = voices(rooms, [n // 2, n - n // 2], noise=0.15)
    assert set(speakers_of(vectors, 0.55)) == {0}


@given(st.integers(1, 40), st.integers(0, 99))
def test_it_is_a_tree_whose_heights_grow(n: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).standard_normal((n, 6))
    joins = tree(vectors)
    assert joins.shape == (n - 1, 4)
    assert n == 1 or is_valid_linkage(joins)
    for row, (one, other, height, _) in enumerate(joins):
        assert all(height >= joins[int(child) - n, 2] for child in (one, other) if child >= n), row
    assert 0 <= joins[:, 2].max(initial=0.0) <= 2
    scaled = vectors * np.random.default_rng(seed).uniform(0.1, 10, (n, 1))
    assert np.array_equal(numbered(joins, 0.3, "distance"), speakers_of(scaled, 0.3)), "only directions count"


def test_in_pyannotes_pipeline_it_has_one_parameter_and_keeps_to_a_number_that_is_asked_for() -> None:
    pipeline = load_embedded(WEIGHTS)
    assert isinstance(pipeline.clustering, EvidenceClustering)
    assert set(pipeline.parameters(instantiated=True)["clustering"]) == {"threshold"}
    vectors, _ = voices(np.eye(8)[:3], [20, 20, 20], noise=0.05)
    asked = {"min_clusters": 1, "max_clusters": 60}
    found = [pipeline.clustering.cluster(vectors, **asked, num_clusters=n) for n in (None, 1, 2)]
    assert [len(set(numbers)) for numbers in found] == [3, 1, 2]
