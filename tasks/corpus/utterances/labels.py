"""Remove speaker labels and marks of speaker changes: `ANNA (laughing):`, `>>`, dialogue dashes.

A label is in capitals of any script. A capitalised word is not a label: "Tomorrow: rain".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Set

MAX_WORDS = 4
MIN_INNER_LETTERS = 3  # of a label inside a line
MAX_READ = 200  # characters after a label that are checked for lower case

_REMARK = r"(?:\([^()\n]{0,80}\)|\[[^\[\]\n]{0,80}\])"
_LABEL = re.compile(rf"\s*(?:{_REMARK}\s{{0,3}})?([^\W\d_][^:()\[\]\n]{{0,60}}?)\s{{0,3}}({_REMARK}\s{{0,3}})?:(?!//)")
# Where a label may occur inside a line: after a sentence or a dash.
_INNER = re.compile(r"(?:[.?!…][\"”»')\]]?\s{1,3}(?:[-–—]\s?)?|\s[-–—]\s)(?=[^\W\d_])")
# Speaker change in roll-up captions, anywhere in a line. `<<` also closes typewritten quotes.
_CHEVRONS = re.compile(r"(?:>\s?){2,}|<{2,}")
_CHEVRON_LABEL = re.compile(rf"\s{{0,3}}[^\W\d_][\w .'’-]{{0,40}}(?:{_REMARK}\s{{0,3}})?:")
_DASH = re.compile(r"^\s*+[-–—]\s*+")
_NAME_PREFIX = re.compile(r"(?:Mc|Mac|De|Di|Du|La|Le|Van|Von|Fitz)(?=[^\W\d_]{2})")
_TITLES = frozenset(
    [
        "mr.",
        "mrs.",
        "ms.",
        "dr.",
        "prof.",
        "mme",
        "mlle",
        "m.",
        "sr.",
        "sra.",
        "herr",
        "frau",
        "hr.",
        "fr.",
        "sig.",
        "bay",
        "bayan",
    ]
)
_PARTICLES = frozenset(
    [
        "von",
        "van",
        "der",
        "den",
        "de",
        "del",
        "della",
        "da",
        "di",
        "du",
        "la",
        "le",
        "el",
        "al",
        "zu",
        "y",
        "e",
        "et",
        "und",
        "and",
        "en",
        "ve",
    ]
)
_NAME_SIGNS = ".'’-/&#+"
_ABBREVIATIONS = frozenset(["OK"])  # spoken words in capitals, not names


def without_labels(text: str) -> str:
    """Return the text without dashes, labels and chevrons, line by line."""
    is_shouted = text.isupper()  # then "THE ANSWER IS:" is not a name
    return "\n".join(_remove_label(line, is_shouted=is_shouted) for line in text.split("\n"))


def names_in_capitals(texts: Iterable[str]) -> frozenset[str]:
    """Names before a colon at more than one line of captions that are in capitals throughout.

    There, one "THE ANSWER IS:" is no label, but a name that returns is.
    """
    found: Counter[str] = Counter()
    for text in texts:
        if ":" in text and text.isupper():
            labels = (_LABEL.match(_DASH.sub("", line, count=1)) for line in text.split("\n"))
            found.update(label.group(1) for label in labels if label and _is_name(label.group(1)))
    return frozenset(name for name, count in found.items() if count > 1)


def without_names(text: str, names: Set[str]) -> str:
    """Return the text of a caption without `names` before a colon at its lines' begin."""
    if not names or ":" not in text:
        return text
    lines = text.split("\n")
    for number, line in enumerate(lines):
        dash = _DASH.match(line)
        label = _LABEL.match(line, dash.end() if dash else 0)
        if label and label.group(1) in names:
            lines[number] = line[: dash.end() if dash else 0] + line[label.end() :]
    return "\n".join(lines)


def begins_new_speaker(line: str) -> bool:
    """Whether a line begins with a dash, chevrons or a label."""
    if _DASH.match(line) or _CHEVRONS.match(line.lstrip()):
        return True
    return ":" in line and _find_label_end(line, 0, is_shouted=False) is not None


def _remove_label(line: str, *, is_shouted: bool) -> str:
    if dash := _DASH.match(line):
        line = line[dash.end() :]
    if ":" in line:
        # Check the start of the line first: in "DR. MÜLLER:", the full stop does not end a sentence.
        if (end := _find_label_end(line, 0, is_shouted=is_shouted)) is not None:
            line = line[end:]
        line = _remove_inner_labels(line, is_shouted=is_shouted)
    if ">" not in line and "<" not in line:
        return line
    parts: list[str] = []
    at = 0
    for chevrons in _CHEVRONS.finditer(line):
        if chevrons.start() < at:
            continue
        parts.append(line[at : chevrons.start()])
        at = chevrons.end()
        label = _CHEVRON_LABEL.match(line, at) if ">" in chevrons.group() else None
        if label and label.group().lstrip()[0].isupper():
            at = label.end()
    parts.append(line[at:])
    return " ".join(parts)


def _remove_inner_labels(line: str, *, is_shouted: bool) -> str:
    parts: list[str] = []
    at = 0
    for boundary in _INNER.finditer(line):
        if boundary.start() < at:
            continue
        end = _find_label_end(line, boundary.end(), is_shouted=is_shouted)
        if end is not None and sum(map(str.isalpha, line[boundary.end() : end])) >= MIN_INNER_LETTERS:
            parts.append(line[at : boundary.end()])
            at = end
    return "".join([*parts, line[at:]])


def _find_label_end(line: str, at: int, *, is_shouted: bool) -> int | None:
    """Return the end of the label at a position, None if there is none."""
    label = _LABEL.match(line, at)
    if not label:
        return None
    if label.group(2):  # a remark before the colon occurs in labels only
        return label.end() if _is_name(label.group(1)) or _is_capitalised(label.group(1)) else None
    rest = line[label.end() : label.end() + MAX_READ]
    is_label = not is_shouted and _is_name(label.group(1)) and (not rest.strip() or _has_lower_case(rest))
    return label.end() if is_label else None


def _is_name(text: str) -> bool:
    words = text.split()
    if not 1 <= sum(word.lower() not in _PARTICLES for word in words) <= MAX_WORDS or text in _ABBREVIATIONS:
        return False
    if words[0].lower() in _TITLES and not words[0].isupper():
        words = words[1:]
    names = [word for word in words if not (word.islower() and word in _PARTICLES)]
    n_capitals = max((sum(map(str.isupper, name)) for name in names), default=0)
    return n_capitals > 0 and len(names[0]) > 1 and all(map(_is_in_capitals, names))


def _is_capitalised(text: str) -> bool:
    words = [word for word in text.split() if word not in _PARTICLES]
    return 0 < len(words) <= MAX_WORDS and all(word[0].isupper() or word[0].isdecimal() for word in words)


def _is_in_capitals(word: str) -> bool:
    word = _NAME_PREFIX.sub("", word)
    # ß has a capital that is hardly used: GROßMANN.
    return all(c.isupper() or c == "ß" or c.isdecimal() or c in _NAME_SIGNS for c in word)


def _has_lower_case(text: str) -> bool:
    """Whether a text is in lower case, as opposed to capitals with a few exceptions (ß, McDONALD)."""
    n_lower = sum(c.islower() and c != "ß" for c in text)
    return n_lower > 0 and 3 * n_lower >= sum(map(str.isupper, text))
