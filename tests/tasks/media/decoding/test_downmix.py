from __future__ import annotations

import numpy as np
import pytest

from tasks.media.decoding.downmix import CEILING, Downmixer
from tasks.media.loudness import decibel

RATE_HZ = 48_000


def voice(seed: int = 0, duration_s: float = 4.0, level: float = 0.1) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(round(duration_s * RATE_HZ)) * level).astype(np.float32)


def mix(*blocks: np.ndarray, **options) -> np.ndarray:
    mixer = Downmixer(len(blocks[0]), RATE_HZ, **options)
    return np.concatenate([mixer.mix(block.copy()).copy() for block in blocks])


def power_db(samples: np.ndarray) -> float:
    return decibel(float(np.mean(samples.astype(np.float64) ** 2)))


def test_mono_is_untouched():
    block = voice()[None]
    np.testing.assert_array_equal(mix(block), block[0])


def test_equal_channels_give_that_channel():
    np.testing.assert_allclose(mix(np.stack([voice(), voice()])), voice(), atol=1e-6)


@pytest.mark.parametrize("dead", [0, 1])
@pytest.mark.parametrize("hum", [0.0, 3e-4])
def test_a_dead_channel_does_not_weaken_the_live_one(dead: int, hum: float):
    """Digital silence, or a hum 50 dB below."""
    channels = [voice(), voice()]
    channels[dead] = (np.sin(np.arange(len(channels[0])) / 100) * hum).astype(np.float32)
    np.testing.assert_allclose(mix(np.stack(channels)), voice(), atol=1e-6)


@pytest.mark.parametrize("gain", [-1.0, -0.8])
def test_opposite_phases_do_not_cancel(gain: float):
    block = np.stack([voice(), gain * voice()])
    mixer = Downmixer(2, RATE_HZ)
    mixed = mixer.mix(block)
    assert power_db(mixed) == pytest.approx(power_db(voice()), abs=0.1)
    assert mixer.cancelling_s == pytest.approx(4.0)


def test_voices_on_two_channels_are_both_in_the_mix():
    left, right = voice(1), voice(2)
    mixed = mix(np.stack([left, right]))
    np.testing.assert_allclose(mixed, (left + right) / 2, atol=1e-6)


def test_the_phase_may_invert_inside_a_programme():
    straight, turned = np.stack([voice(1), voice(1)]), np.stack([voice(2), -voice(2)])
    mixed = mix(straight, turned, straight)
    for part, expected in zip(np.split(mixed, 3), (voice(1), voice(2), voice(1)), strict=True):
        assert np.corrcoef(part, expected)[0, 1] > 0.99


def test_a_change_of_weights_makes_no_click():
    """A steady tone in both channels, then in one: the waveform has no larger steps than the tone."""
    tone = (0.3 * np.sin(2 * np.pi * 100 * np.arange(4 * RATE_HZ) / RATE_HZ)).astype(np.float32)
    both, left = np.stack([tone, tone]), np.stack([tone, np.zeros_like(tone)])
    mixed = mix(*[both] * 3, *[left] * 30)
    assert np.abs(np.diff(mixed)).max() < 1.5 * np.abs(np.diff(tone)).max()
    assert power_db(mixed[-RATE_HZ:]) == pytest.approx(
        power_db(tone), abs=0.1
    )  # the other channel is left out in the end


def test_surround_keeps_the_dialogue_in_the_centre():
    names = ("FL", "FR", "FC", "LFE", "BL", "BR")
    effects = [voice(seed, level=0.05) for seed in range(1, 7)]
    effects[2], effects[3] = voice(0, level=0.1), voice(9, level=0.5)  # dialogue, and a loud LFE channel
    mixed = mix(np.stack(effects), names=names)
    assert np.corrcoef(mixed, effects[2])[0, 1] > 0.8
    assert abs(np.corrcoef(mixed, effects[3])[0, 1]) < 0.02


def test_stereo_in_a_surround_track():
    silent = np.zeros_like(voice())
    block = np.stack([voice(1), voice(1), silent, silent, silent, silent])
    mixed = mix(block, names=("FL", "FR", "FC", "LFE", "BL", "BR"))
    np.testing.assert_allclose(mixed, voice(1), atol=1e-6)


@pytest.mark.parametrize("names", [(), ("FL", "FC", "FR", "SL", "SR", "LFE")])
def test_six_channels_are_surround(names: tuple[str, ...]):
    """Without positions, FFmpeg's default: a WAV without a channel mask, L R C LFE Ls Rs."""
    centre, low = (1, 5) if names else (2, 3)
    channels = [voice(seed, level=0.03) for seed in range(1, 7)]
    channels[centre], channels[low] = voice(0, level=0.1), voice(9, level=0.5)
    mixed = mix(np.stack(channels), names=names)
    assert np.corrcoef(mixed, channels[centre])[0, 1] > 0.9
    assert abs(np.corrcoef(mixed, channels[low])[0, 1]) < 0.02


@pytest.mark.parametrize("first", [0, 2, 4])
def test_channels_without_positions_are_pairs(first: int):
    """Eight channels of a recorder: only the first live pair is used."""
    block = np.zeros((8, 4 * RATE_HZ), np.float32)
    block[first], block[first + 1] = voice(1), voice(1)
    block[6] = voice(5)
    np.testing.assert_allclose(mix(block), voice(1), atol=1e-6)


def test_one_channel_when_asked():
    block = np.stack([voice(1), voice(2)])
    np.testing.assert_array_equal(mix(block, channels=(1,)), block[1])


def test_some_channels_when_asked():
    block = np.stack([voice(n) for n in range(8)])
    np.testing.assert_allclose(mix(block, channels=(6, 7)), (block[6] + block[7]) / 2, atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_invalid_samples_are_replaced(bad: float):
    block = np.stack([voice(1), voice(2)])
    block[0, 100:200] = bad
    mixer = Downmixer(2, RATE_HZ)
    mixed = mixer.mix(block)
    assert np.isfinite(mixed).all()
    assert np.abs(mixed).max() <= CEILING
    np.testing.assert_allclose(mixed[200:], (voice(1) + voice(2))[200:] / 2, atol=1e-6)
    assert np.isfinite([level.rms_dbfs for level in mixer.levels()]).all()


def test_levels_of_the_channels():
    clipped = np.clip(voice(1, level=0.5), -1.0, 1.0)
    mixer = Downmixer(3, RATE_HZ)
    mixer.mix(np.stack([clipped, voice(2), np.zeros_like(clipped)]))
    loud, quiet, dead = mixer.levels()
    assert loud.rms_dbfs == pytest.approx(power_db(clipped), abs=0.01)
    assert loud.clipped_share == pytest.approx(np.mean(np.abs(clipped) >= 0.999))
    assert (quiet.clipped_share, quiet.is_dead, dead.is_dead, dead.rms_dbfs) == (0.0, False, True, -120.0)
