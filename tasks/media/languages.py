"""Language tags as broadcast files carry them."""

from __future__ import annotations

import re

# ISO 639-2, both its codes, to 639-1.
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


def same_language(a: str, b: str) -> bool:
    """Are two tags the same language? "eng", "en" and "en-GB" are."""
    return _primary(a) == _primary(b)


def _primary(tag: str) -> str:
    primary = re.split("[-_]", tag.strip().lower())[0]
    return ISO_639_1.get(primary, primary)
