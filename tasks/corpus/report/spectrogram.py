"""Log-mel features as an image."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from tasks.pages.formatting import data_uri

# Dark blue to yellow, even in lightness, so that it reads without colour too.
_COLOURS = np.array([[20, 24, 70], [70, 40, 125], [150, 60, 120], [220, 100, 85], [250, 170, 60], [252, 240, 150]])


def spectrogram(features: np.ndarray) -> str:
    """Log-mel features `(n_frames, n_mels)` as a PNG in a data URI, time to the right, low mels at the bottom."""
    image = features.astype(np.float32).T[::-1]  # (n_mels, n_frames)
    low, high = np.percentile(image, [2, 99.5])
    level = np.clip((image - low) / max(float(high - low), 1e-6), 0, 1) * (len(_COLOURS) - 1)
    below = np.minimum(level.astype(int), len(_COLOURS) - 2)
    part = (level - below)[..., None]  # (n_mels, n_frames, 1)
    pixels = (_COLOURS[below] * (1 - part) + _COLOURS[below + 1] * part).astype(np.uint8)  # (n_mels, n_frames, 3)
    return data_uri(_png(pixels), "image/png")


def _png(pixels: np.ndarray) -> bytes:
    """An RGB image, `(height, width, 3)` uint8, as PNG (ISO/IEC 15948)."""
    height, width, _ = pixels.shape
    # A filter byte, 0 for none, before each line of pixels.
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)  # (h, 1 + 3 w)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
