from __future__ import annotations

import numpy as np
import pytest

from local.demo.diarizer.speakers import FRAME_SAMPLES, Speaker, recording
from local.demo.diarizer.talks import LONG_EVERY, N_SCENES, SCENE_S, all_speech, talk, talks
from local.demo.synthesis.augmentation import SoundBank
from tasks.audio import SAMPLE_RATE_HZ

N_TALKS = 24


@pytest.fixture(scope="module")
def bank() -> SoundBank:
    return SoundBank(rooms=(np.array([1, 0, 0.1], np.float32),), sounds=(np.full(16_000, 1e-4, np.float32),))


@pytest.fixture(scope="module")
def people() -> list[Speaker]:
    """Five "speakers" of white noise, 9 to 25 s each in recordings of 3 to 5 s."""
    rng = np.random.default_rng(1)

    def hiss(seconds: int) -> np.ndarray:
        return rng.standard_normal(seconds * SAMPLE_RATE_HZ).astype(np.float32)

    lengths = [(3, 3, 3), (5, 5), (4, 4, 4), (5, 5, 5, 5, 5), (3, 4, 5)]
    return [Speaker(f"{n}", tuple(recording(hiss(s)) for s in each)) for n, each in enumerate(lengths)]


def test_talks_have_one_to_four_speakers_in_turns(people: list[Speaker], bank: SoundBank) -> None:
    made = talks([people], bank, 1, N_TALKS)
    assert {int(window.activity.any(axis=0).sum()) for window in made} == {1, 2, 3, 4}
    for number, window in enumerate(made):
        longest_s = SCENE_S * (1 if number % LONG_EVERY else N_SCENES)
        assert window.activity.any(axis=0).all(), "everybody speaks"
        assert len(window.samples) == len(window.activity) * FRAME_SAMPLES <= longest_s * SAMPLE_RATE_HZ
        assert np.abs(window.samples).max() <= 1
    overlap = [(window.activity.sum(axis=1) > 1).mean() for window in made]
    assert 0.0 < np.mean(overlap) < 0.1
    assert np.median(overlap) < 0.05


def test_no_speech_is_repeated(people: list[Speaker], bank: SoundBank) -> None:
    """No speaker talks for longer than their recordings are."""
    longest = max(person.speech_s for person in people)
    for number in range(N_TALKS):
        window = talk(people, bank, np.random.default_rng(number))
        assert window.activity.sum(axis=0).max() * FRAME_SAMPLES / SAMPLE_RATE_HZ <= longest
    samples, speech = all_speech(people[0], np.random.default_rng(1))
    assert len(speech) == 900
    assert len(samples) == 900 * FRAME_SAMPLES
    thirds = samples.reshape(3, -1)
    assert not any(np.array_equal(thirds[n], thirds[n - 1]) for n in range(3))


def test_groups_alternate_and_talks_are_deterministic_for_a_seed(people: list[Speaker], bank: SoundBank) -> None:
    """A group of one gives monologues."""
    made = talks([people, people[:1]], bank, 3, 6)
    assert len(made[0].samples) > SCENE_S * SAMPLE_RATE_HZ, "four scenes"
    assert all(window.activity.shape[1] == 1 for window in made[1::2])
    again = talks([people, people[:1]], bank, 3, 6)
    assert all(np.array_equal(one.samples, other.samples) for one, other in zip(made, again, strict=True))
    one, other = (talk(people, bank, np.random.default_rng(seed)) for seed in (1, 2))
    assert not np.array_equal(one.samples[:16_000], other.samples[:16_000])
