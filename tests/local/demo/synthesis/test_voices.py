"""The sets of voices share no variant, and every voice produces speech."""

from __future__ import annotations

import random
from itertools import combinations

import numpy as np
import pytest

from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, SynthesisError, Voice, speak
from local.demo.synthesis.voices import ACCENTS, VoiceSet, random_voice, variants


def test_no_two_sets_share_a_variant() -> None:
    for one, other in combinations(VoiceSet, 2):
        assert not set(variants(one)) & set(variants(other)), (one, other)


def test_base_training_has_most_of_them() -> None:
    assert len(variants(VoiceSet.BASE_TRAINING)) > 50


@pytest.mark.parametrize("accent", ACCENTS)
def test_every_accent_produces_speech(accent: str) -> None:
    speech = speak("good evening", Voice(accent, "m3"))
    assert speech.dtype == np.float32
    assert 0.4 < len(speech) / ESPEAK_RATE_HZ < 2.5
    assert 0.02 < np.abs(speech).max() <= 1.0


@pytest.mark.parametrize("voice_set", [VoiceSet.BASE_VALIDATION, VoiceSet.CHANNEL_ARCHIVE, VoiceSet.CHANNEL_INBOX])
def test_every_variant_is_installed(voice_set: VoiceSet) -> None:
    for variant in variants(voice_set):
        assert np.abs(speak("rain", Voice("en-us", variant))).max() > 0.02, variant


def test_voices_differ_in_pace_and_pitch() -> None:
    text = "the harbour was quiet"
    slow, fast = (speak(text, Voice("en-us", "m3", words_per_minute=rate)) for rate in (120, 190))
    assert len(slow) > 1.2 * len(fast)
    low, high = (_centroid_hz(speak(text, Voice("en-us", variant))) for variant in ("david", "Alicia"))
    assert high > 1.3 * low


def test_a_missing_voice_is_named() -> None:
    with pytest.raises(SynthesisError, match=r"en-us\+nobody"):
        speak("hello", Voice("en-us", "nobody"))


def test_random_voices_stay_in_their_set() -> None:
    rng = random.Random(3)
    drawn = [random_voice(VoiceSet.CHANNEL_INBOX, rng) for _ in range(50)]
    assert {voice.variant for voice in drawn} <= set(variants(VoiceSet.CHANNEL_INBOX))
    assert len({voice.name for voice in drawn}) > 20


def _centroid_hz(speech: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(speech)) ** 2
    return float((power * np.fft.rfftfreq(len(speech), 1 / ESPEAK_RATE_HZ)).sum() / power.sum())
