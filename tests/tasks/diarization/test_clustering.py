from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import is_valid_linkage

from tasks.diarization.clustering import EvidenceClustering, cluster_speakers, cut_tree, evidence_tree
from tasks.diarization.embedded import load_embedded
from tasks.diarization.sources import WEIGHTS


def voices(centres: np.ndarray, counts: list[int], noise: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings around centres, `(n, dimension)`, and the speaker of each, `(n,)`."""
    whose = np.repeat(np.arange(len(counts)), counts)
    rng = np.random.default_rng(seed)
    return centres[whose] + noise * rng.standard_normal((len(whose), centres.shape[1])), whose


def same(found: np.ndarray, whose: np.ndarray) -> bool:
    return len(set(zip(found, whose, strict=True))) == len(set(found)) == len(set(whose))


def test_speakers_with_little_speech_are_found() -> None:
    vectors, whose = voices(np.eye(24)[:4], [60, 25, 12, 8], noise=0.1)
    assert same(cluster_speakers(vectors, 0.55), whose)


def test_with_more_speech_nearer_voices_are_separated() -> None:
    """At the same distance they are separated after half a minute each, but not after two seconds."""
    near = np.array([[1.0, 0.0, 0.0, 0.0], [np.cos(0.8), np.sin(0.8), 0.0, 0.0]])
    vectors, whose = voices(near, [60, 60], noise=0.05)
    assert same(cluster_speakers(vectors, 0.55), whose)
    vectors, _ = voices(near, [4, 4], noise=0.05)
    assert set(cluster_speakers(vectors, 0.55)) == {0}


@pytest.mark.parametrize("n", [10, 100, 2000])
def test_one_voice_is_one_speaker_at_any_length(n: int) -> None:
    """Even if the room changes half way: Ward's heights grow with length without limit, these do not."""
    rooms = np.array([[1.0] + [0.0] * 31, [1.0, 0.4] + [0.0] * 30])
    vectors, _ = voices(rooms, [n // 2, n - n // 2], noise=0.15)
    assert set(cluster_speakers(vectors, 0.55)) == {0}


@given(st.integers(1, 40), st.integers(0, 99))
def test_heights_never_decrease_towards_the_root(n: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).standard_normal((n, 6))
    joins = evidence_tree(vectors)
    assert joins.shape == (n - 1, 4)
    assert n == 1 or is_valid_linkage(joins)
    for row, (one, other, height, _) in enumerate(joins):
        assert all(height >= joins[int(child) - n, 2] for child in (one, other) if child >= n), row
    assert 0 <= joins[:, 2].max(initial=0.0) <= 2
    scaled = vectors * np.random.default_rng(seed).uniform(0.1, 10, (n, 1))
    assert np.array_equal(cut_tree(joins, 0.3, "distance"), cluster_speakers(scaled, 0.3)), "norms have no effect"


def test_in_pyannotes_pipeline_it_has_one_parameter_and_honours_a_given_number_of_speakers() -> None:
    pipeline = load_embedded(WEIGHTS)
    assert isinstance(pipeline.clustering, EvidenceClustering)
    assert set(pipeline.parameters(instantiated=True)["clustering"]) == {"threshold"}
    vectors, _ = voices(np.eye(8)[:3], [20, 20, 20], noise=0.05)
    asked = {"min_clusters": 1, "max_clusters": 60}
    found = [pipeline.clustering.cluster(vectors, **asked, num_clusters=n) for n in (None, 1, 2)]
    assert [len(set(numbers)) for numbers in found] == [3, 1, 2]
