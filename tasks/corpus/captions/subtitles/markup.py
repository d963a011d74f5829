"""Markup in the texts of SubRip and WebVTT: HTML-like tags, tags of SubStation Alpha, and entities."""

from __future__ import annotations

import html
import re

# Bounded, so that an unclosed tag does not cause a search through the rest of the line.
_TAG = re.compile(
    r"(?<!<)<\s?/?\s?([a-zA-Z][\w-]{0,20})[^<>\n]{0,300}>|</?[\d:.]{1,30}>|\{\\[^}\n]{0,300}\}|\{/?[a-zA-Z]\}"
)
_VOICE = re.compile(r"<v(?:\.[^\s>]{0,100})?\s{1,3}([^>]{0,100})>")
_PLACE = re.compile(r"\{\\(?:an?\d{1,2}|pos\([^)}\n]{0,30}\))")
_LINE_BREAKS = frozenset(["br", "p", "div", "li", "tr", "td", "hr"])
_ANNOTATIONS = frozenset(["rt", "rp"])  # ruby annotations repeat the base as pronunciation
_ESCAPES = (("{\\N}", "\n"), ("{\\n}", "\n"), ("\\N", "\n"), ("\\n", "\n"), ("\\h", " "))


def plain_text(text: str) -> str:
    """Return the words of a cue, its lines stripped and none empty.

    A `<br>` or `\\N` is a line break and separates words. Other tags do not: `<b>w</b>ord`.
    """
    text = _strip_tags(text)
    if "&" in text:
        unescaped = _unescape(text)
        text = _strip_tags(unescaped) if "&lt;" in text else unescaped
    return "\n".join(stripped for line in text.split("\n") if (stripped := line.strip()))


def _unescape(text: str) -> str:
    try:
        return html.unescape(text)
    except ValueError:  # a numeric entity with more digits than Python converts
        return text


def speaker_of(text: str) -> str:
    """Return the name in a cue's `<v Name>`, empty if there is none or more than one."""
    names = {name.strip() for name in _VOICE.findall(text)} if "<v" in text else set()
    return names.pop() if len(names) == 1 else ""


def place_of(text: str, settings: str) -> str:
    """Return a cue's screen position as declared. Simultaneous speakers have different positions."""
    places = _PLACE.findall(text) if "{\\" in text else []
    return " ".join([settings, *places])


def _strip_tags(text: str) -> str:
    if not any(mark in text for mark in "<{\\"):
        return text
    for escape, replacement in _ESCAPES:
        text = text.replace(escape, replacement)
    parts: list[str] = []
    is_annotation = False
    at = 0
    for tag in _TAG.finditer(text):
        if not is_annotation:
            parts.append(text[at : tag.start()])
        at = tag.end()
        name = (tag.group(1) or "").lower()
        is_closing = "/" in tag.group()[:3]
        if name in _LINE_BREAKS:
            parts.append("\n")
        elif name in _ANNOTATIONS:
            is_annotation = not is_closing
        elif name == "ruby":
            is_annotation = False
    if not is_annotation:
        parts.append(text[at:])
    return "".join(parts)
