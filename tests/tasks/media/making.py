"""Media for the tests, made with PyAV or byte by byte."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

import av
import numpy as np
from av.audio.plane import AudioPlane

RATE_HZ = 48_000
MARK_EVERY_S, MARK_S, MARK_HZ = 1.0, 0.05, 1000.0


def marked(duration_s: float, rate_hz: int = RATE_HZ, seed: int = 0) -> np.ndarray:
    """Faint noise with a loud beep at every full second, so that lost or shifted seconds show."""
    n_samples = round(duration_s * rate_hz)
    time_s = np.arange(n_samples) / rate_hz
    noise = np.random.default_rng(seed).standard_normal(n_samples) * 1e-3
    beep = np.sin(2 * np.pi * MARK_HZ * time_s) * 0.4 * (time_s % MARK_EVERY_S < MARK_S)
    return (noise + beep).astype(np.float32)


def marks_s(samples: np.ndarray, rate_hz: int = 16_000) -> list[float]:
    """Start times of the beeps."""
    n_step = rate_hz // 200
    level = np.abs(samples[: len(samples) // n_step * n_step]).reshape(-1, n_step).max(axis=1)
    loud = level > 0.1
    return [float(i) / 200 for i in np.flatnonzero(loud & ~np.concatenate([[False], loud[:-1]]))]


@dataclass
class Track:
    """An audio track to encode. `samples` is `(n_channels, n_samples)`, float32."""

    samples: np.ndarray
    codec: str = "pcm_s16le"
    rate_hz: int = RATE_HZ
    layout: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    dispositions: tuple[str, ...] = ()
    bit_rate: int = 0
    starts_at_s: float = 0.0


# 64 by 64: the luma, and below it both chromas at half the width and height.
BLACK = np.concatenate([np.full((64, 64), 16, np.uint8), np.full((32, 64), 128, np.uint8)])
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}


def encode(
    container: str,
    tracks: Iterable[Track] | Track,
    *,
    tags: dict[str, str] | None = None,
    video: bool = False,
    frame_rate: Fraction = Fraction(25),
    options: dict[str, str] | None = None,
) -> bytes:
    """Encode these tracks; with `video`, also a small black picture at 25 frames a second. `options`: the muxer's."""
    tracks = [tracks] if isinstance(tracks, Track) else list(tracks)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options=options or {}) as output:
        output.metadata.update(tags or {})
        picture = _add_video(output, container, tags or {}, frame_rate) if video else None
        streams = []
        for track in tracks:
            layout = track.layout or LAYOUTS.get(len(track.samples), f"{len(track.samples)} channels")
            stream = output.add_stream(track.codec, rate=track.rate_hz, layout=layout)
            stream.format = stream.codec_context.codec.audio_formats[0].name
            stream.metadata.update(track.tags)
            stream.disposition = sum(
                (av.stream.Disposition[name] for name in track.dispositions), av.stream.Disposition(0)
            )
            if track.bit_rate:
                stream.bit_rate = track.bit_rate
            streams.append(stream)
        output.start_encoding()
        n_seconds = max(int(np.ceil(track.starts_at_s + track.samples.shape[1] / track.rate_hz)) for track in tracks)
        for second in range(n_seconds):
            if picture is not None:
                n_frames = round(frame_rate)
                for i in range(n_frames):
                    frame = av.VideoFrame.from_ndarray(BLACK, "yuv420p")  # a new frame is noise, slow to encode
                    frame.pts, frame.time_base = second * n_frames + i, 1 / frame_rate
                    output.mux(picture.encode(frame))
            for stream, track in zip(streams, tracks, strict=True):
                for frame in _frames(stream, track, second):
                    output.mux(stream.encode(frame))
        for stream in [*streams, *([picture] if picture is not None else [])]:
            output.mux(stream.encode(None))
    return buffer.getvalue()


def _add_video(output, container: str, tags: dict[str, str], frame_rate: Fraction):
    stream = output.add_stream("mpeg2video" if container in ("mxf", "mpegts") else "mpeg4", rate=frame_rate)
    stream.width, stream.height = BLACK.shape[1], BLACK.shape[0] * 2 // 3
    stream.pix_fmt, stream.bit_rate = "yuv420p", 400_000
    if "timecode" in tags:
        stream.metadata["timecode"] = tags["timecode"]
    return stream


def _frames(stream, track: Track, second: int):
    """The frames of one second of the medium."""
    size = stream.codec_context.frame_size or 1024
    offset = round(track.starts_at_s * track.rate_hz)
    first = max(0, -(-(second * track.rate_hz - offset) // size))
    last = max(0, -(-((second + 1) * track.rate_hz - offset) // size))
    for number in range(first, last):
        part = track.samples[:, number * size : (number + 1) * size]
        if part.shape[1]:
            yield frame_of(part, stream.format.name, stream.layout.name, track.rate_hz, offset + number * size)


def frame_of(samples: np.ndarray, sample_format: str, layout: str, rate_hz: int, pts: int) -> av.AudioFrame:
    """An audio frame. (`AudioFrame.from_ndarray` fails for eight planes, as `to_ndarray` does.)"""
    kind = sample_format.removesuffix("p")
    scale = {"u8": 127, "s16": 2**15 - 1, "s32": 2**31 - 1, "flt": 1, "dbl": 1}[kind]
    dtype = {"u8": "u1", "s16": "i2", "s32": "i4", "flt": "f4", "dbl": "f8"}[kind]
    coded = (samples.astype(np.float64).clip(-1, 1) * scale + (128 if kind == "u8" else 0)).astype(dtype)
    frame = av.AudioFrame(format=sample_format, layout=layout, samples=samples.shape[1])
    planes = coded if sample_format.endswith("p") else [coded.T.reshape(-1)]
    for number, plane in enumerate(planes):
        target = AudioPlane(frame, number)
        target.update(np.ascontiguousarray(plane).tobytes().ljust(target.buffer_size, b"\0"))
    frame.sample_rate, frame.pts, frame.time_base = rate_hz, pts, Fraction(1, rate_hz)
    return frame


def wav(
    samples: np.ndarray, rate_hz: int = 16_000, *, claimed_bytes: int | None = None, bits: int = 16, channels: int = 0
) -> bytes:
    """A RIFF WAVE file written by hand; `claimed_bytes`: the length in its data chunk. `(n_channels, n_samples)`."""
    n_channels = channels or len(samples)
    data = (samples.T * 32767).astype("<i2").tobytes()
    claimed = len(data) if claimed_bytes is None else claimed_bytes
    block = n_channels * bits // 8
    header = struct.pack("<HHIIHH", 1, n_channels, rate_hz, min(rate_hz * block, 2**32 - 1), block % 2**16, bits)
    return (
        b"RIFF" + struct.pack("<I", min(claimed + 36, 2**32 - 1)) + b"WAVE"
        + b"fmt " + struct.pack("<I", 16) + header
        + b"data" + struct.pack("<I", min(claimed, 2**32 - 1)) + data
    )  # fmt: skip


def rf64(samples: np.ndarray, rate_hz: int, claimed_samples: int) -> bytes:
    """A WAV with 64-bit lengths, which declares more than 4 GB."""
    data = (samples.T * 32767).astype("<i2").tobytes()
    claimed_bytes = min(claimed_samples * 2 * len(samples), 2**64 - 1)
    ds64 = struct.pack("<QQQI", 2**63, claimed_bytes, min(claimed_samples, 2**64 - 1), 0)
    header = struct.pack("<HHIIHH", 1, len(samples), rate_hz, rate_hz * 2 * len(samples), 2 * len(samples), 16)
    return (
        b"RF64" + b"\xff" * 4 + b"WAVE" + b"ds64" + struct.pack("<I", len(ds64)) + ds64
        + b"fmt " + struct.pack("<I", 16) + header + b"data" + b"\xff" * 4 + data
    )  # fmt: skip


def caf(samples: np.ndarray, labels: tuple[int, ...], rate_hz: int = RATE_HZ) -> bytes:
    """A Core Audio file whose channels are labelled one by one: 1 is left, 2 right, 3 centre, 4 LFE."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return kind + struct.pack(">q", len(content)) + content

    n_channels = len(samples)
    described = struct.pack(">d4sIIIII", rate_hz, b"lpcm", 0, 2 * n_channels, 1, n_channels, 16)
    layout = struct.pack(">III", 0, 0, n_channels) + b"".join(struct.pack(">IIfff", n, 0, 0, 0, 0) for n in labels)
    data = struct.pack(">I", 0) + (samples.T * 32767).astype(">i2").tobytes()
    return (
        b"caff" + struct.pack(">HH", 1, 0) + chunk(b"desc", described) + chunk(b"chan", layout) + chunk(b"data", data)
    )


def with_total_samples(flac: bytes, n_samples: int) -> bytes:
    """A FLAC file whose header declares `n_samples` (36 bits)."""
    patched = bytearray(flac)
    patched[21] = (patched[21] & 0xF0) | (n_samples >> 32 & 0xF)
    patched[22:26] = (n_samples & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(patched)


def flipped(data: bytes, n_bits: int, seed: int, *, keep: int = 0) -> bytes:
    """`data` with `n_bits` flipped, none of them in the first `keep` bytes."""
    random = np.random.default_rng(seed)
    damaged = bytearray(data)
    for at in random.integers(keep, len(data), n_bits):
        damaged[at] ^= 1 << int(random.integers(8))
    return bytes(damaged)
