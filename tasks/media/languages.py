"""Language tags as broadcast files carry them."""

from __future__ import annotations

import re

# ISO 639-2 codes, bibliographic and terminological, to ISO 639-1.
ISO_639_1 = {
    "ara": "ar", "alb": "sq", "sqi": "sq", "baq": "eu", "eus": "eu", "bul": "bg", "cat": "ca", "ces": "cs",
    "cze": "cs", "chi": "zh", "zho": "zh", "cym": "cy", "wel": "cy", "dan": "da", "deu": "de", "ger": "de",
    "dut": "nl", "nld": "nl", "ell": "el", "gre": "el", "eng": "en", "est": "et", "fin": "fi", "fra": "fr",
    "fre": "fr", "gle": "ga", "heb": "he", "hin": "hi", "hrv": "hr", "hun": "hu", "ice": "is", "isl": "is",
    "ita": "it", "jpn": "ja", "kor": "ko", "lav": "lv", "lit": "lt", "mac": "mk", "mkd": "mk", "may": "ms",
    "msa": "ms", "mlt": "mt", "nno": "nn", "nob": "nb", "nor": "no", "per": "fa", "fas": "fa", "pol": "pl",
    "por": "pt", "ron": "ro", "rum": "ro", "rus": "ru", "slk": "sk", "slo": "sk", "slv": "sl", "spa": "es",
    "srp": "sr", "swe": "sv", "tha": "th", "tur": "tr", "ukr": "uk", "vie": "vi",
}  # fmt: skip

NORWEGIAN = ("nb", "nn")  # its two written forms: what is spoken is one language

LANGUAGE_NAMES = {
    "arabic": "ar", "chinese": "zh", "dutch": "nl", "english": "en", "french": "fr", "german": "de", "italian": "it",
    "japanese": "ja", "korean": "ko", "mandarin": "zh", "polish": "pl", "portuguese": "pt", "russian": "ru",
    "spanish": "es", "turkish": "tr",
}  # fmt: skip
TAG = re.compile(r"[a-z]{2,3}(?:[-_][a-z0-9]+)*")
# Undetermined, unknown, uncoded, multiple, none, and the range for local use (qaa to qtz).
NO_LANGUAGE = re.compile(r"(?:und|unk|mis|mul|zxx|q[a-t][a-z])(?![a-z])")


def language_tag(value: str) -> str | None:
    """The lower-case language tag for a tag or an English name. None if it names no single language."""
    value = value.strip().lower()
    tag = LANGUAGE_NAMES.get(value, value)
    return tag if TAG.fullmatch(tag) and not NO_LANGUAGE.match(tag) else None


def same_language(a: str, b: str) -> bool:
    """Whether two tags have the same primary language, as "eng", "en" and "en-GB" do."""
    return _primary(a) == _primary(b)


def _primary(tag: str) -> str:
    primary = re.split("[-_]", tag.strip().lower())[0]
    primary = ISO_639_1.get(primary, primary)
    return "no" if primary in NORWEGIAN else primary
