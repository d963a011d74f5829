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

from tasks.corpus.utterances.hyphens import without_parted_words
from tasks.corpus.utterances.labels import without_labels
from tasks.corpus.utterances.songs import NOTE, without_songs
from tasks.media.languages import NORWEGIAN

MARKS = " '.,?"

# Letters besides a-z in the language's own spelling; other accents are removed (café becomes cafe in English).
LETTERS = {
    "da": "åæéø",
    "de": "äöüß",
    "en": "",
    "es": "áéíñóúü",
    "fi": "åäöšž",
    "fr": "àâæçèéêëîïôœùûüÿ",
    "it": "àèéìíîòóùú",
    "nl": "áèéêëíïóöúü",
    "no": "åæéòóôø",
    "pt": "àáâãçéêíóôõúü",
    "sv": "åäéö",
    "tr": "çğıöşü",
}
AND = {
    "da": "og", "de": "und", "en": "and", "es": "y", "fi": "ja", "fr": "et", "it": "e", "nl": "en", "no": "og",
    "pt": "e", "sv": "och", "tr": "ve",
}  # fmt: skip

# Bounded, so that an unclosed bracket does not cause a search through the rest of the text.
_TAG = re.compile(r"(?<!<)</?[A-Za-z][^<>\n]{0,300}>")
# [music], (applause), markup.
_NOT_SPOKEN = re.compile(r"\[[^\]]{0,300}\]|\([^)]{0,300}\)|\{[^}]{0,300}\}|<[^>]{0,300}>")
_QUOTES = str.maketrans({**dict.fromkeys("’‘ʼ`´", "'"), **dict.fromkeys('“”"«»„', None)})
_FULL_STOPS = re.compile(r"[!…]|\.{2,}")
_COMMAS = re.compile(r"[;:]")
# Applied to single spaces only: `\s+` would search a long run again from each position.
_DASHES = re.compile(r" [-–—]+ |[–—]+|--+")
_HYPHENS = str.maketrans(dict.fromkeys("\u2010\u2011\u2012\u2043\u2212", "-"))
_ARROWS = re.compile(r"[-–—=]{1,3}>|<[-–—=]{1,3}|[←→⇐⇒►▶]")
_LINE_SEPARATORS = re.compile(r"[\u2028\u2029]")
_MARKS = re.compile(r" ?([.,?])(?: ?[.,?])*")
_SOFT = re.compile(r"[\u00ad\u200b-\u200f\u2028-\u202e\u2060\ufeff]")


@dataclass(frozen=True)
class Normaliser:
    """The normaliser of one language. Its name changes whenever its output does."""

    language: str

    @property
    def name(self) -> str:
        return f"captions-{self.language}-4"

    @property
    def alphabet(self) -> frozenset[str]:
        return frozenset(ascii_lowercase + LETTERS[self.language] + MARKS)

    def __call__(self, text: str) -> str:
        """Normalise `text`. The result may contain characters outside the alphabet: see `unknown_characters`."""
        text = _LINE_SEPARATORS.sub("\n", unicodedata.normalize("NFKC", text)).translate(_HYPHENS)
        text = without_parted_words(without_songs(_TAG.sub(" ", text)), self.language)
        text = without_labels(_SOFT.sub("", text))
        text = NOTE.sub(" ", _NOT_SPOKEN.sub(" ", _ARROWS.sub(" ", text))).translate(_QUOTES)
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
    primary = "no" if primary in NORWEGIAN else primary
    LETTERS[primary]
    return Normaliser(primary)
