"""Small figures for the report, as SVG and PNG text: no library, no link, nothing to load."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from html import escape

import numpy as np

BAR_WIDTH, BAR_HEIGHT, LABEL_WIDTH = 420, 18, 190
HISTOGRAM_WIDTH, HISTOGRAM_HEIGHT = 420, 120
# Dark blue to yellow, even in lightness, so that it reads without colour too.
_COLOURS = np.array([[20, 24, 70], [70, 40, 125], [150, 60, 120], [220, 100, 85], [250, 170, 60], [252, 240, 150]])


def bars(rows: Sequence[tuple[str, float, str]]) -> str:
    """Horizontal bars: label, value, and the value as text."""
    largest = max((value for _, value, _ in rows), default=0) or 1
    height = len(rows) * (BAR_HEIGHT + 6)
    parts = []
    for number, (label, value, text) in enumerate(rows):
        y = number * (BAR_HEIGHT + 6)
        width = BAR_WIDTH * value / largest
        parts.append(
            f'<text x="{LABEL_WIDTH - 8}" y="{y + 14}" text-anchor="end">{escape(label[:28])}</text>'
            f'<rect x="{LABEL_WIDTH}" y="{y}" width="{width:.1f}" height="{BAR_HEIGHT}"/>'
            f'<text x="{LABEL_WIDTH + width + 6:.1f}" y="{y + 14}">{escape(text)}</text>'
        )
    return _svg(LABEL_WIDTH + BAR_WIDTH + 110, height, "".join(parts))


def histogram(counts: np.ndarray, edges: np.ndarray, unit: str) -> str:
    """Columns of `counts`, `(n_bins,)`, between `edges`, `(n_bins + 1,)`, three of which are named."""
    largest = max(int(counts.max(initial=0)), 1)
    step = HISTOGRAM_WIDTH / len(counts)
    columns = "".join(
        f'<rect x="{number * step:.1f}" y="{HISTOGRAM_HEIGHT * (1 - count / largest):.1f}" width="{step - 1:.1f}" '
        f'height="{HISTOGRAM_HEIGHT * count / largest:.1f}"><title>{edges[number]:g} to {edges[number + 1]:g} '
        f"{escape(unit)}: {count}</title></rect>"
        for number, count in enumerate(counts.tolist())
    )
    places = ((0, "start"), (len(counts) // 2, "middle"), (len(counts), "end"))
    labels = "".join(
        f'<text x="{at * step:.1f}" y="{HISTOGRAM_HEIGHT + 16}" text-anchor="{anchor}">'
        f"{edges[at]:g} {escape(unit)}</text>"
        for at, anchor in places
    )
    return _svg(HISTOGRAM_WIDTH, HISTOGRAM_HEIGHT + 22, columns + labels)


def spectrogram(features: np.ndarray) -> str:
    """Log-mel features `(n_frames, n_mels)` as a PNG in a data URI, time to the right, low mels at the bottom."""
    image = features.astype(np.float32).T[::-1]
    low, high = np.percentile(image, [2, 99.5])
    level = np.clip((image - low) / max(float(high - low), 1e-6), 0, 1) * (len(_COLOURS) - 1)
    below = np.minimum(level.astype(int), len(_COLOURS) - 2)
    part = (level - below)[..., None]
    pixels = (_COLOURS[below] * (1 - part) + _COLOURS[below + 1] * part).astype(np.uint8)
    return "data:image/png;base64," + base64.b64encode(_png(pixels)).decode()


def _png(pixels: np.ndarray) -> bytes:
    """An RGB image, `(height, width, 3)` uint8, as PNG (ISO/IEC 15948)."""
    height, width, _ = pixels.shape
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)  # filter 0 a line
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _svg(width: float, height: float, body: str) -> str:
    return f'<svg viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" role="img">{body}</svg>'
