"""The copy for the browser: as long and as loud as the original, with peaks where it is loud."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from tasks.audio import SAMPLE_RATE_HZ
from tasks.media.listening import SAMPLES_PER_PEAK, write_listening_copy

N_SAMPLES = 61 * SAMPLE_RATE_HZ + 123
LOUD = slice(20 * SAMPLE_RATE_HZ, 30 * SAMPLE_RATE_HZ)


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """Silence, and ten seconds of a tone."""
    samples = np.zeros(N_SAMPLES, np.int16)
    times = np.arange(N_SAMPLES) / SAMPLE_RATE_HZ
    samples[LOUD] = (16_000 * np.sin(2 * np.pi * 440 * times)).astype(np.int16)[LOUD]
    return samples


def _write(samples: np.ndarray, folder: Path) -> tuple[bytes, bytes]:
    webm, peaks = folder / "sound.webm", folder / "sound.dat"
    write_listening_copy(np.array_split(samples, 7), webm, peaks)
    return webm.read_bytes(), peaks.read_bytes()


def test_it_sounds_like_the_original(sound: np.ndarray, tmp_path: Path) -> None:
    webm, _ = _write(sound, tmp_path)
    with av.open(io.BytesIO(webm)) as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.name, stream.codec_context.channels) == ("opus", 1)
        heard = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(stream)])
    rate = 48_000
    assert abs(len(heard) / rate - N_SAMPLES / SAMPLE_RATE_HZ) < 0.1
    assert abs(heard[21 * rate : 29 * rate].std() - 16_000 / 2**15 / np.sqrt(2)) < 0.05
    assert heard[: 19 * rate].std() < 0.001
    assert len(webm) < 61 * 4_000


def test_a_browser_finds_the_index_before_the_sound(sound: np.ndarray, tmp_path: Path) -> None:
    webm, _ = _write(sound, tmp_path)
    cues, cluster = bytes.fromhex("1c53bb6b"), bytes.fromhex("1f43b675")
    assert 0 < webm.index(cues) < webm.index(cluster)


def test_the_same_samples_give_the_same_bytes(sound: np.ndarray, tmp_path: Path) -> None:
    assert _write(sound, tmp_path) == _write(sound, tmp_path)


def test_peaks_are_read_as_audiowaveform_describes_them(sound: np.ndarray, tmp_path: Path) -> None:
    _, data = _write(sound, tmp_path)
    version, flags, rate_hz, samples_per_peak, n_peaks = struct.unpack_from("<iIiiI", data)
    assert (version, flags, rate_hz, samples_per_peak) == (1, 1, SAMPLE_RATE_HZ, SAMPLES_PER_PEAK)
    pairs = np.frombuffer(data, np.int8, offset=20).reshape(-1, 2)
    assert len(pairs) == n_peaks == -(-N_SAMPLES // SAMPLES_PER_PEAK)
    assert pairs[500:750].min() == -63
    assert pairs[500:750].max() == 62
    assert not pairs[:499].any()
