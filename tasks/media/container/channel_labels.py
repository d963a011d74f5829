"""Map channel labels in headers and titles to positions in a surround mix.

FFmpeg names positions from channel masks, MOV's `chan` atom and MXF's MCA labels. Other tools write them into titles:
"5.1 Left", "C", or all of a track's channels in order, "L C R Ls Rs LFE".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# Labels in titles, lower case, to FFmpeg's names. "dialogue" is the voice stem of a separated mix.
POSITIONS = {
    "l": "FL", "left": "FL", "fl": "FL", "front left": "FL", "left front": "FL", "lf": "FL",
    "r": "FR", "right": "FR", "fr": "FR", "front right": "FR", "right front": "FR", "rf": "FR",
    "c": "FC", "center": "FC", "centre": "FC", "fc": "FC", "front center": "FC", "front centre": "FC", "cf": "FC",
    "dialogue": "FC", "dialog": "FC", "dx": "FC", "dia": "FC",
    "lfe": "LFE", "sub": "LFE", "subwoofer": "LFE", "low frequency effects": "LFE", "low frequency": "LFE",
    "ls": "SL", "lss": "SL", "sl": "SL", "left surround": "SL", "surround left": "SL", "side left": "SL",
    "left side": "SL", "rs": "SR", "rss": "SR", "sr": "SR", "right surround": "SR", "surround right": "SR",
    "side right": "SR", "right side": "SR",
    "lb": "BL", "bl": "BL", "lrs": "BL", "lr": "BL", "lsr": "BL", "left rear": "BL", "rear left": "BL",
    "back left": "BL", "left back": "BL", "rb": "BR", "br": "BR", "rrs": "BR", "rr": "BR", "rsr": "BR",
    "right rear": "BR", "rear right": "BR", "back right": "BR", "right back": "BR",
    "cs": "BC", "bc": "BC", "s": "BC", "center surround": "BC", "centre surround": "BC",
    "lt": "DL", "left total": "DL", "stereo left": "DL", "rt": "DR", "right total": "DR", "stereo right": "DR",
    "music": "", "mx": "", "effects": "", "fx": "", "sfx": "",
}  # fmt: skip

# Words beside a label without meaning for its position: "Audio Ch 3 (C)", "5.1 Left".
FILLERS = frozenset(
    ("audio", "track", "channel", "chan", "ch", "mix", "main", "mono", "discrete", "pcm", "stem", "full", "speaker")
)
SURROUND = frozenset(("LFE", "SL", "SR", "BL", "BR", "BC"))
MAX_TITLE_WORDS = 32
WORD = re.compile(r"[A-Za-z]+")


def position_in_title(title: str) -> str | None:
    """Return FFmpeg's name of the position in a mono track's title, "" for a stem without voices, None for neither."""
    words = [word for word in _words(title) if word not in FILLERS]
    return POSITIONS.get(" ".join(words)) if words else None


def order_in_title(title: str, n_channels: int) -> tuple[str, ...]:
    """Return the positions of a track's channels if its title lists them all in order, else nothing."""
    if n_channels < 3:
        return ()
    names = [POSITIONS.get(word, "") for word in _words(title)]
    for start in range(len(names) - n_channels + 1):
        run = tuple(names[start : start + n_channels])
        if all(run) and len(set(run)) == n_channels and {"FL", "FR"} <= set(run):
            return run
    return ()


def centre_of(positions: Sequence[str | None]) -> int | None:
    """Return the index of the centre among labelled mono tracks; None if they are no surround mix with a centre.

    FFmpeg also names an unlabelled mono track "FC". So left and right must be labelled beside it, with a single centre
    before the positions repeat.
    """
    seen: dict[str, int] = {}
    for index, position in enumerate(positions):
        if position and position in seen:
            if position == "FC" and not SURROUND & seen.keys():
                return None  # a stereo pair and mono tracks beside it
            break  # the next mix: another language, or a stereo pair
        if position:
            seen[position] = index
    return seen["FC"] if {"FL", "FR", "FC"} <= seen.keys() else None


def _words(title: str) -> list[str]:
    return [word.lower() for word in WORD.findall(title)[:MAX_TITLE_WORDS]]
