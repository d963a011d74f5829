"""Programme ids and dates, derived from paths in the corpus."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from urllib.parse import unquote_to_bytes

from tasks.media.languages import language_tag, same_language

_EXTENSIONS = """
    .3g2 .3gp .aa3 .aac .ac3 .aif .aifc .aiff .amr .amv .ape .asf .ast .au .avi .bwf .caf .divx .dss .dts .dv .dvr-ms
    .eac3 .f4v .flac .flv .gxf .h264 .hevc .ism .ismv .lxf .m1v .m2a .m2t .m2ts .m2v .m4a .m4b .m4v .mj2 .mka .mkv
    .mlp .mod .mov .mp2 .mp3 .mp4 .mpa .mpc .mpe .mpeg .mpg .mpga .mpv .mts .mxf .nut .oga .ogg .ogm .ogv .oma .opus
    .qt .ra .rf64 .rm .rmvb .sox .sph .spx .tak .tod .tp .trp .ts .tta .vob .voc .w64 .wav .wave .weba .webm .wma .wmv
    .wtv .wv
"""
MEDIA_EXTENSIONS = frozenset(_EXTENSIONS.split())

MAX_READABLE_CHARACTERS = 80
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(?:/[A-Za-z0-9_-]+)*")
# Captions for the hard of hearing. `hi` alone is Hindi, beside another language it is "hearing impaired".
_ACCESSIBLE = frozenset(["sdh", "cc", "hi", "default"])
# Captions of some passages only, as of foreign dialogue.
_PARTIAL = frozenset(["forced", "foreign", "signs", "songs"])
_YEAR, _MONTH, _DAY = r"(?:19|20)\d\d", r"0[1-9]|1[0-2]", r"0[1-9]|[12]\d|3[01]"
_TRAILING_TIME = r"(?:(?<=\d{8})(?:[01]\d|2[0-3])[0-5]\d(?:[0-5]\d)?)?"  # 202603011800
_DATE = re.compile(
    rf"(?<!\d)(?:({_YEAR})([-_./]?)({_MONTH})\2({_DAY}){_TRAILING_TIME}|({_DAY})\.({_MONTH})\.({_YEAR}))(?!\d)"
)


def relative_path(uri: str, root: str) -> str:
    """The path of `uri` below `root` as in the URI: percent-encoded for `file://`, so always plain text."""
    return uri[len(root) :].lstrip("/")


def split_extension(path: str) -> tuple[str, str]:
    """Split a path into stem (with folders) and lower-case extension: `a/b.en.SRT` is `a/b.en` and `.srt`."""
    name = path.rpartition("/")[2].lower()
    stem, dot, last = name.rpartition(".")
    extension = f".{last}" if dot and stem else ""
    if last in ("gz", "xz") and (inner := stem.rpartition("."))[0]:
        extension = f".{inner[2]}{extension}"
    return (path[: -len(extension)] if extension else path), extension


def stems_of_transcript(stem: str, language: str) -> tuple[str, ...]:
    """The media stems that a transcript's stem may belong to, most likely first.

    The stem itself; without a language and marks of captions for the hard of hearing (`news.en.srt`,
    `news.eng.sdh.srt`); without the media's extension (`news.mp4.srt`). Forced captions hold some passages only, so
    `news.en.forced.srt` belongs to no `news.mp4`.
    """
    stems = [stem]
    folder, slash, rest = stem.rpartition("/")
    has_language = is_hindi = False
    while (parts := rest.rpartition("."))[0]:
        rest, _, tag = parts
        primary, *subtags = re.split("[-_]", tag.lower())
        if not has_language and same_language(language_tag(primary) or "", language) and not _PARTIAL & {*subtags}:
            has_language = True
        elif tag.lower() in _ACCESSIBLE:
            is_hindi = is_hindi or tag.lower() == "hi"
        else:
            break
        if has_language or not is_hindi:
            stems.append(f"{folder}{slash}{rest}")
    for named in tuple(stems):
        without, extension = split_extension(named)
        if extension in MEDIA_EXTENSIONS and without not in stems:
            stems.append(without)
    return tuple(stems)


def decoded(path: str, *, is_encoded: bool) -> str:
    """A relative path without percent encoding. Bytes that are not UTF-8 become lone surrogates."""
    return os.fsdecode(unquote_to_bytes(path)) if is_encoded else path


def programme_id(stem: str, *, is_encoded: bool) -> str:
    """A unique id of at most 97 letters, digits, dots, dashes and underscores.

    The path with dots for slashes if it needs no other change; otherwise its allowed characters followed by 16 digits
    of its sha256.
    """
    if _SAFE.fullmatch(stem) and len(stem) <= MAX_READABLE_CHARACTERS:
        return stem.replace("/", ".")
    path = decoded(stem, is_encoded=is_encoded)
    plain = unicodedata.normalize("NFKD", path).encode("ascii", "ignore").decode()
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", plain)[-MAX_READABLE_CHARACTERS:].strip("-")
    digest = hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{readable}-{digest}" if readable else digest


def broadcast_date(stem: str, *, is_encoded: bool) -> str:
    """The last date in a path, as `2026-03-01`; empty if there is none."""
    dates = _DATE.findall(decoded(stem, is_encoded=is_encoded))
    if not dates:
        return ""
    year, _, month, day, day_first, month_second, year_last = dates[-1]
    return f"{year or year_last}-{month or month_second}-{day or day_first}"


def hash64(text: str) -> int:
    """An evenly distributed hash of 63 bits (SQLite's integers are signed)."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1
