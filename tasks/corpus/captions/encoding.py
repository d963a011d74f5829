"""Decode caption files: byte order marks, UTF-16 without one, UTF-8, and Windows code pages as a last resort."""

from __future__ import annotations

import codecs

from tasks.media.languages import same_language

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is a prefix of this one
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SNIFFED_BYTES = 4096
MIN_VALID_PER_DAMAGED = 4  # non-ASCII letters for each damaged byte
# Concatenated files contain byte order marks in the middle. Song notes are common as mojibake: UTF-8 decoded as
# Windows-1252 and encoded again.
REPLACED = (("\r\n", "\n"), ("\r", "\n"), ("\x1a", ""), ("\ufeff", ""), ("â™ª", "♪"), ("â™«", "♫"))
WHITESPACE_CONTROLS = "\t\n\v\f\r\x1a"  # 0x1A ended text files in MS-DOS and still ends some caption files


def decode_text(data: bytes, language: str = "") -> str:
    """Decode `data`; its `language` (BCP 47) selects the Windows code page.

    Raises ValueError if it is not text in any encoding used for captions.
    """
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return _clean(data.decode(encoding, errors="replace"))
    head = data[:SNIFFED_BYTES]
    if b"\0" in head:  # in UTF-16, every other byte of Western text is zero
        even, odd = head[0::2].count(0), head[1::2].count(0)
        if max(even, odd) < 0.3 * len(head) / 2:
            raise ValueError("contains zero bytes, so it is not text")
        return _clean(data.decode("utf-16-le" if odd > even else "utf-16-be", errors="replace"))
    try:
        return _clean(data.decode("utf-8"))
    except UnicodeDecodeError:
        # UTF-8 with a few damaged bytes: text in other encodings contains hardly any valid multi-byte sequences.
        text = data.decode("utf-8", errors="replace")
        n_damaged = text.count("\ufffd")
        n_letters = len(text) - len(text.encode("ascii", errors="ignore")) - n_damaged
        if n_letters > MIN_VALID_PER_DAMAGED * n_damaged:
            return _clean(text)
        # Windows-1252 is Latin-1 with curly quotes instead of control characters; a few bytes are undefined.
        # Windows-1254 is the same with six Turkish letters.
        return _clean(data.decode("cp1254" if same_language(language, "tr") else "cp1252", errors="replace"))


def _clean(text: str) -> str:
    """Normalise line ends. Raises ValueError if control or replacement characters show that it is not text."""
    n_invalid = sum((c < " " and c not in WHITESPACE_CONTROLS) or c == "\ufffd" for c in text[:SNIFFED_BYTES])
    if n_invalid > 0.02 * min(len(text), SNIFFED_BYTES):
        raise ValueError("contains control characters, so it is not text")
    for wrong, right in REPLACED:
        text = text.replace(wrong, right)
    return text
