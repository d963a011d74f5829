"""Join words that are parted at a line's end, in languages that do so.

Teletext rows have 37 columns, and German or Dutch words many letters: "Verkehrs-" and "minister" are one word.
A hyphen that belongs to the spelling stays, which the normaliser makes a space: "Nord-" and "Süd", "Bundes-" and "und
Landesregierung". English captions part no words: "well-" and "known" are two.
"""

from __future__ import annotations

import itertools
import re

MAX_WORD = 60

# Words behind a hyphen that stands for the second half of a compound: "Bundes- und Landesregierung".
_SUSPENDED = {
    "da": "og eller samt til men",
    "de": "und oder bzw beziehungsweise bis sowie wie noch als auch aber statt plus u o",
    "nl": "en of tot dan als noch maar",
    "fi": "ja tai sekä eli",
    "fr": "et ou ni puis",
    "es": "y e o u ni",
    "it": "e ed o od né",
    "no": "og eller samt til men",
    "pt": "e ou nem",
    "sv": "och eller samt till men",
    "tr": "ve veya ya",
}
# Parts of words that are spelled with a hyphen, behind and before it.
_HYPHENATED_TAILS = {
    "fr": """
        il elle on ils elles je tu nous vous ce t moi toi lui leur le la les y en là ci même mêmes dessus dessous delà
        devant dehors joint contre être
    """,
    "pt": "me te se lhe lhes o a os as lo la los las no na nos nas vos feira feiras mim",
}
_HYPHENATED_HEADS = {
    "fr": """
        grand grands grande petit petite petits petites demi semi non ex vice peut là celui celle ceux celles quelques
        rendez week chef porte après avant arrière sous quatre dix vingt trente quarante cinquante soixante cent vis
        nord sud ouest franco anglo
    """,
    "pt": "ex vice pré pós recém bem guarda segunda terça quarta quinta sexta luso",
}
_SUSPENDED_WORDS = {language: frozenset(words.split()) for language, words in _SUSPENDED.items()}
_TAILS = {language: frozenset(words.split()) for language, words in _HYPHENATED_TAILS.items()}
_HEADS = {language: frozenset(words.split()) for language, words in _HYPHENATED_HEADS.items()}

# Bounded and begun only at a word's start: an unbounded search starts anew at each letter.
_HEAD = re.compile(r"(?<![^\W\d_])[^\W\d_]{1,100}(?:['’][^\W\d_]{1,100}){0,4}-$")
_TAIL = re.compile(r"[^\W\d_]+")
_VOWELS = "aeiou"
_FINNISH_VOWELS = "aeiouyäö"
_SOFT_HYPHEN_AT_END = re.compile(r"\u00ad[ \t]?\n[ \t]?")


def without_parted_words(text: str, language: str) -> str:
    """Return the text with words joined that its line ends part."""
    if "\u00ad" in text:
        text = _SOFT_HYPHEN_AT_END.sub("", text)
    if "-" not in text:
        return text
    lines = text.split("\n")
    parts = lines[:1]
    for before, line in itertools.pairwise(lines):
        if is_parted(before, line, language):
            parts[-1] = parts[-1].rstrip()[:-1]
            parts.append(line.lstrip())
        else:
            parts += ["\n", line]
    return "".join(parts)


def is_parted(before: str, after: str, language: str) -> bool:
    """Whether a word begins at the end of `before` and ends at the begin of `after`."""
    before, tail = before.rstrip()[-MAX_WORD:], _TAIL.match(after.lstrip()[:MAX_WORD])
    if not tail or not tail.group()[0].islower():
        return False
    if before.endswith("\u00ad"):  # a soft hyphen is there to part words
        return True
    head = _HEAD.search(before)
    if not head or language not in _SUSPENDED_WORDS:
        return False
    first, second = head.group()[:-1], tail.group()
    if second in _SUSPENDED_WORDS[language] or second in _TAILS.get(language, ()):
        return False
    is_abbreviation = len(first) == 1 or first.isupper()  # E-Mail, US-amerikanisch
    return not is_abbreviation and not _is_compound(first.lower(), first, second, language)


def _is_compound(lower: str, first: str, second: str, language: str) -> bool:
    """Whether two words are spelled with a hyphen between them."""
    if lower in _HEADS.get(language, ()):
        return True
    if language == "de":  # israelisch-palästinensisch
        return len(first) > 5 and first.islower() and lower.endswith("isch") and "isch" in second
    if language == "fi":  # linja-auto
        return lower[-1] == second[0] and second[0] in _FINNISH_VOWELS
    if language == "nl":  # zee-eend, but ge-ërgerd
        return lower[-1] in _VOWELS and second[0] in _VOWELS and lower not in ("ge", "be")
    return False
