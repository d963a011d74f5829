"""Media for benchmarks: a synthetic voice over noise, in stereo, in the usual archive formats."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

RATE_HZ = 48_000
# File name: FFmpeg's encoder and bit rate.
FORMATS = {
    "programme.flac": ("flac", 0),
    "programme.mp3": ("libmp3lame", 192_000),
    "programme.m4a": ("aac", 192_000),
    "programme.wav": ("pcm_s16le", 0),
}


def voice_over_noise(seconds: int, seed: int = 0) -> np.ndarray:
    """Harmonics of a gliding pitch, in syllables and phrases, over noise that differs left and right: `(2, n_samples)`
    int16 at 48 kHz. The voice repeats every ten seconds."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(10 * RATE_HZ) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(140 + 40 * np.sin(2 * np.pi * 0.7 * time_s)) / RATE_HZ
    voice = sum(np.sin(k * phase) / k for k in range(1, 25))
    syllables = np.maximum(0, np.sin(2 * np.pi * 3.3 * time_s)) * (np.sin(2 * np.pi * 0.1 * time_s) > -0.7)
    noise = rng.standard_normal((2, seconds * RATE_HZ), dtype=np.float32) * 0.01
    speech = np.resize((0.12 * voice * syllables).astype(np.float32), seconds * RATE_HZ)  # (n_samples,)
    return (np.clip(speech + noise, -1, 1) * 32767).astype(np.int16)  # (2, n_samples)


def write_media(folder: Path, seconds: int) -> dict[str, Path]:
    """Write one file for each of `FORMATS`; returns their paths by suffix."""
    import av
    from av.audio.stream import AudioStream

    samples = voice_over_noise(seconds)
    paths = {}
    for name, (codec, bit_rate) in FORMATS.items():
        path = folder / name
        with av.open(path, "w") as container:
            stream = container.add_stream(codec, rate=RATE_HZ, layout="stereo")
            assert isinstance(stream, AudioStream)
            if bit_rate:
                stream.bit_rate = bit_rate
            for at in range(0, samples.shape[1], RATE_HZ):
                packed = np.ascontiguousarray(samples[:, at : at + RATE_HZ].T).reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(packed, format="s16", layout="stereo")
                frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, at, Fraction(1, RATE_HZ)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        paths[path.suffix[1:]] = path
    return paths
