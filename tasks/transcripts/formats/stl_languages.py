"""The language codes of EBU STL (Tech 3264, appendix 3), by ISO 639 code."""
# ruff: noqa: SIM905 - word lists read better as text

from __future__ import annotations

from tasks.transcripts.text import primary_language

_UNKNOWN = "00"
# Languages in Latin script are numbered upwards from 01h, others downwards from 7Fh.
_LATIN = (
    "sq br ca hr cy cs da de en es eo et eu fo fr fy ga gd gl is it se la lv lb lt hu mt nl no oc pl pt ro "
    "rm sr sk sl fi sv tr vls wa"
).split()
_OTHER = (
    "am ar hy as az bm be bn bg my zh cv prs ff ka el gu gn ha he hi id ja kn kk km ko lo mk mg ms mo mr nd "
    "ne or pap fa pa ps qu ru rue sh sn si so srn sw tg ta tt te th uk ur uz vi zu"
).split()
_CODES = {language: f"{code:02X}" for code, language in enumerate(_LATIN, start=0x01)} | {
    language: f"{0x7F - index:02X}" for index, language in enumerate(_OTHER)
}


def language_code(language: str) -> str:
    """Return two hexadecimal digits. Bokmål and Nynorsk share a code."""
    primary = primary_language(language)
    return _CODES.get("no" if primary in ("nb", "nn") else primary, _UNKNOWN)


def language_of(code: str) -> str:
    """Return the ISO 639 code of two hexadecimal digits; empty if it stands for none."""
    return next((language for language, known in _CODES.items() if known == code.strip().upper()), "")
