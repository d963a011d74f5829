"""Small figures for the report, as SVG and PNG text: no library, no link, nothing to load."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from html import escape

import numpy as np

BAR_WIDTH, BAR_HEIGHT, LABEL_WIDTH = 420, 18, 190
HISTOGRAM_WIDTH, HISTOGRAM_HEIGHT = 320, 110
FLOW_WIDTH, FLOW_HEIGHT = 920, 30
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


def stacked_bar(parts: Sequence[tuple[str, float, str]], unit: str) -> str:
    """One bar of labelled parts side by side: label, value, and the class that colours it. Below, what is what."""
    whole = sum(value for _, value, _ in parts) or 1
    x = 0.0
    rects: list[str] = []
    labels: list[str] = []
    for label, value, kind in parts:
        width = FLOW_WIDTH * value / whole
        told = f"{escape(label)} {value:,.2f} {escape(unit)}, {100 * value / whole:.1f} %"
        y = FLOW_HEIGHT + 20 + 18 * len(labels)
        rects.append(
            f'<rect class="{kind}" x="{x:.1f}" y="0" width="{max(width - 1, 0.5):.1f}" height="{FLOW_HEIGHT}">'
            f"<title>{told}</title></rect>"
        )
        x += width
        labels.append(
            f'<rect class="{kind}" x="0" y="{y - 9}" width="10" height="10"/><text x="16" y="{y}">{told}</text>'
        )
    return _svg(FLOW_WIDTH, FLOW_HEIGHT + 12 + 18 * len(labels), "".join(rects + labels))


def histogram(counts: np.ndarray, edges: np.ndarray, unit: str, bounds: Sequence[float] = ()) -> str:
    """Columns of `counts`, `(n_bins,)`, between `edges`, `(n_bins + 1,)`, with `bounds` as dashed lines.

    Empty bins at the end are left out.
    """
    reached = max([int(np.flatnonzero(counts).max(initial=0)) + 1, *(int(np.searchsorted(edges, b)) for b in bounds)])
    n_bins = min(len(counts), reached + 1)
    counts, edges = counts[:n_bins], edges[: n_bins + 1]
    largest = max(int(counts.max(initial=0)), 1)
    step = HISTOGRAM_WIDTH / n_bins
    columns = "".join(
        f'<rect x="{number * step:.1f}" y="{HISTOGRAM_HEIGHT * (1 - count / largest):.1f}" width="{step - 1:.1f}" '
        f'height="{HISTOGRAM_HEIGHT * count / largest:.1f}"><title>{edges[number]:g} to {edges[number + 1]:g} '
        f"{escape(unit)}: {count:,}</title></rect>"
        for number, count in enumerate(counts.tolist())
    )
    scale = HISTOGRAM_WIDTH / float(edges[-1] - edges[0])
    lines = "".join(
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{HISTOGRAM_HEIGHT}"/>'
        for x in ((bound - float(edges[0])) * scale for bound in bounds)
        if 0 <= x <= HISTOGRAM_WIDTH
    )
    axis = f'<path d="M0 {HISTOGRAM_HEIGHT}H{HISTOGRAM_WIDTH}"/>'
    labels = "".join(
        f'<text x="{at * step:.1f}" y="{HISTOGRAM_HEIGHT + 16}" text-anchor="{anchor}">'
        f"{edges[at]:g} {escape(unit)}</text>"
        for at, anchor in ((0, "start"), (n_bins // 2, "middle"), (n_bins, "end"))
    )
    told = f"half are below {_median(counts, edges):.3g} {escape(unit)}"
    top = f'<text x="{HISTOGRAM_WIDTH}" y="-4" text-anchor="end">{told}</text>'
    return _svg(HISTOGRAM_WIDTH, HISTOGRAM_HEIGHT + 22, columns + axis + lines + labels + top)


def _median(counts: np.ndarray, edges: np.ndarray) -> float:
    """Where half of what the histogram counts lies below, even inside a bin."""
    below = np.concatenate([[0], np.cumsum(counts)])
    return float(np.interp(below[-1] / 2, below, edges)) if below[-1] else 0.0


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
