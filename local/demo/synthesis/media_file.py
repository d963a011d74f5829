"""Writes audio in the containers of a broadcaster's archive."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soxr

from local.demo.synthesis.espeak import ESPEAK_RATE_HZ

PICTURE_SIZE = (128, 72)  # width and height of the MP4's grey video, one frame a second


@dataclass(frozen=True)
class Encoding:
    """Container suffix, sample rate and channels."""

    suffix: str
    sample_rate_hz: int
    n_channels: int


@dataclass(frozen=True)
class _Codec:
    name: str
    bits_per_second_per_channel: int = 0
    options: tuple[tuple[str, str], ...] = ()


# Fast encoder settings: the defaults take three times as long as everything else together.
_CODECS = {
    ".wav": _Codec("pcm_s16le"),
    ".mp3": _Codec("libmp3lame", 64_000, (("compression_level", "7"),)),
    ".mp4": _Codec("aac", 64_000, (("aac_coder", "fast"),)),
}


def write_media(path: Path, samples: np.ndarray, encoding: Encoding) -> None:
    """Encode stereo samples `(n_samples, 2)` at espeak-ng's rate. An MP4 gets a video stream, like real programmes."""
    if encoding.n_channels == 1:
        samples = samples.mean(axis=1, keepdims=True)
    resampled = soxr.resample(samples, ESPEAK_RATE_HZ, encoding.sample_rate_hz, quality="MQ")  # (n_samples, n_channels)
    pcm = (np.clip(resampled, -1, 1) * 32_767).astype(np.int16)
    layout = "mono" if encoding.n_channels == 1 else "stereo"
    codec = _CODECS[encoding.suffix]
    partial = path.with_name(path.name + ".part")
    with av.open(str(partial), "w", format=encoding.suffix[1:]) as container:
        picture = _picture(container) if encoding.suffix == ".mp4" else None
        sound = container.add_stream(
            codec.name, rate=encoding.sample_rate_hz, layout=layout, options=dict(codec.options)
        )
        assert isinstance(sound, av.AudioStream)
        if codec.bits_per_second_per_channel:
            sound.bit_rate = codec.bits_per_second_per_channel * encoding.n_channels
        step = encoding.sample_rate_hz  # one second at a time, so that audio and video are interleaved
        for second, start in enumerate(range(0, len(pcm), step)):
            block = np.ascontiguousarray(pcm[start : start + step]).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout=layout)
            frame.sample_rate, frame.pts = encoding.sample_rate_hz, start
            frame.time_base = Fraction(1, encoding.sample_rate_hz)
            container.mux(sound.encode(frame))
            if picture is not None:
                container.mux(picture.encode(_grey(second)))
        container.mux(sound.encode(None))
        if picture is not None:
            container.mux(picture.encode(None))
    partial.rename(path)


def _picture(container: av.container.OutputContainer) -> av.VideoStream:
    stream = container.add_stream("mpeg4", rate=1)
    stream.width, stream.height = PICTURE_SIZE
    stream.pix_fmt = "yuv420p"
    return stream


def _grey(second: int) -> av.VideoFrame:
    width, height = PICTURE_SIZE
    frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 90, dtype=np.uint8), format="rgb24")
    frame.pts, frame.time_base = second, Fraction(1, 1)
    return frame
