"""Normalise caption text to the form a model learns to write: named, versioned, the same for every corpus.

Lower case, no digits, no punctuation but . , ? and the apostrophe; nothing that was not spoken ([music], speaker names,
songs between notes). Numbers are not spelled out, since their spoken form is unknown: text with digits is dropped for
characters outside the alphabet.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from string import ascii_lowercase

MARKS = " '.,?"

# Letters besides a-z in the language's own spelling; other accents are removed (café becomes cafe in English).
LETTERS = {
    "de": "äöüß",
    "en": "",
    "es": "áéíñóúü",
    "fr": "àâæçèéêëîïôœùûüÿ",
    "it": "àèéìíîòóùú",
    "nl": "áèéêëíïóöúü",
    "pt": "àáâãçéêíóôõúü",
    "tr": "çğıöşü",
}
AND = {"de": "und", "en": "and", "es": "y", "fr": "et", "it": "e", "nl": "en", "pt": "e", "tr": "ve"}

# Bounded, so that an unclosed bracket does not cause a search through the rest of the text.
_NOT_SPOKEN = re.compile(
    r"\[[^\]]{0,300}\]|\([^)]{0,300}\)|\{[^}]{0,300}\}|<[^>]{0,300}>"  # [music], (applause), markup
    # Songs; for # only with white space on its inner side: #news and #sport are words.
    r"|(?:[♪♫♩♬]+|(?<![\w#])#+(?=\s))[^♪♫#♩♬]*(?:[♪♫♩♬]+|(?<=\s)#+(?![\w#]))|[♪♫♩♬]"
)
# ">> ANNA:" at the start of a line.
_CHEVRONS = re.compile(r"^\s*>{2,}(?:\s*[A-Z][\w .'’-]{0,40}:)?")
# "JOHN SMITH:" before lower case or the end of a line. A capitalised word alone is not a label: "Tomorrow: rain".
_LABEL = re.compile(rf"{_CHEVRONS.pattern}|^\s*[A-Z][A-Z0-9.'’-]+(?:\s+[A-Z0-9.'’-]+){{0,3}}\s*:(?=\s*$|.*[a-z])")
_DIALOGUE_DASH = re.compile(r"^\s*[-–—]\s*")
_QUOTES = str.maketrans({**dict.fromkeys("’‘ʼ`´", "'"), **dict.fromkeys('“”"«»„', None)})
_FULL_STOPS = re.compile(r"[!…]|\.{2,}")
_COMMAS = re.compile(r"[;:]")
# Applied to single spaces only: `\s+` would search a long run again from each position.
_DASHES = re.compile(r" [-–—]+ |[–—]+|--+")
_MARKS = re.compile(r" ?([.,?])(?: ?[.,?])*")
_SOFT = re.compile(r"[\u00ad\u200b-\u200f\u2028-\u202e\u2060\ufeff]")


@dataclass(frozen=True)
class Normaliser:
    """The normaliser of one language. Its name changes whenever its output does."""

    language: str

    @property
    def name(self) -> str:
        return f"captions-{self.language}-3"

    @property
    def alphabet(self) -> frozenset[str]:
        return frozenset(ascii_lowercase + LETTERS[self.language] + MARKS)

    def __call__(self, text: str) -> str:
        """Normalise `text`. The result may contain characters outside the alphabet: see `unknown_characters`."""
        text = _SOFT.sub("", unicodedata.normalize("NFKC", text))
        label = _CHEVRONS if text.isupper() else _LABEL  # if all is in capitals, "THE ANSWER IS:" is not a name
        lines = (label.sub("", _DIALOGUE_DASH.sub("", line)) for line in text.split("\n"))
        text = _NOT_SPOKEN.sub(" ", "\n".join(lines)).translate(_QUOTES)
        text = text.replace("&", f" {AND[self.language]} ")
        text = _COMMAS.sub(",", _FULL_STOPS.sub(".", text))
        text = _DASHES.sub(", ", _spaced(text)).replace("-", " ").replace("¿", "").replace("¡", "")
        text = self._without_accents(_lower(text, self.language))
        text = re.sub(r"(?<!\w)'|'(?!\w)", "", text)  # quotation marks; between letters it is an apostrophe
        text = _MARKS.sub(r"\1 ", _spaced(text))  # keep the first of several marks
        return _spaced(text).strip(" ,.?") + _last_mark(text)

    def unknown_characters(self, text: str) -> str:
        """The characters of `text` outside the alphabet, each once."""
        return "".join(sorted(set(text) - self.alphabet))

    def _without_accents(self, text: str) -> str:
        return text.translate({ord(c): _base(c) for c in set(text) - self.alphabet})


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _lower(text: str, language: str) -> str:
    if language == "tr":  # I is the capital of ı, İ that of i
        text = text.replace("I", "ı").replace("İ", "i")
    return text.lower()


def _base(character: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))


def _last_mark(text: str) -> str:
    marks = re.search(r"([.?])\s*$", text)
    return marks.group(1) if marks and re.search(r"\w", text) else ""


def normaliser_for(language: str) -> Normaliser:
    """The normaliser for a BCP 47 tag. Raises KeyError for a language without an alphabet."""
    primary = re.split(r"[-_]", language.lower())[0]
    LETTERS[primary]
    return Normaliser(primary)
