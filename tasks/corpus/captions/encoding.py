"""Bytes of a caption file as text: byte order marks, UTF-16 without one, UTF-8, and as last resort Windows' own."""

from __future__ import annotations

import codecs

from tasks.media.languages import same_language

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SNIFFED_BYTES = 4096
WHITESPACE_CONTROLS = "\t\n\v\f\r\x1a"  # 0x1A closed text files in MS-DOS and still ends some captions


def decode_text(data: bytes, language: str = "") -> str:
    """The text in `data`; its `language` (BCP 47) decides between the code pages of Windows.

    Raises ValueError when it is no text in any encoding that captions come in.
    """
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return _clean(data.decode(encoding))
    head = data[:SNIFFED_BYTES]
    if b"\0" in head:  # Western text in UTF-16 has a zero in every other byte
        even, odd = head[0::2].count(0), head[1::2].count(0)
        if max(even, odd) < 0.3 * len(head) / 2:
            raise ValueError("holds zero bytes, so it is no text")
        return _clean(data.decode("utf-16-le" if odd > even else "utf-16-be"))
    try:
        return _clean(data.decode("utf-8"))
    except UnicodeDecodeError:
        # Windows-1252 is Latin-1 with curly quotes; its few holes are Latin-1's control characters. Windows-1254 is the
        # same with six Turkish letters.
        return _clean(data.decode("cp1254" if same_language(language, "tr") else "cp1252", errors="replace"))


def _clean(text: str) -> str:
    """`text` with one kind of line end. Raises ValueError when control characters or holes say that it is no text."""
    strange = sum((c < " " and c not in WHITESPACE_CONTROLS) or c == "\ufffd" for c in text[:SNIFFED_BYTES])
    if strange > 0.02 * min(len(text), SNIFFED_BYTES):
        raise ValueError("holds control characters, so it is no text")
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x1a", "")
