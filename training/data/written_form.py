"""Gives a text without capitals the written form of a transcript of the same speech.

Corpora are normalised to lower case, and a Whisper tuned on them writes as they do: the first token of an utterance
without capital has a loss of 3 nats instead of 0.9 with Whisper base, which is soon unlearned, and with it the marks.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from tasks.transcripts.normaliser import normalise

_MARKS_AT_END = re.compile(r"[^\w']+$")
_QUOTES_AT_START = re.compile(r"^[\"“”„«»(\[]+")
_SENTENCE_MARKS = frozenset(".,?!;:…")
_ENDS_SENTENCE = re.compile(r"[.?!…]$")


def restore(text: str, heard: str) -> str:
    """Return the words of `text`, written as in `heard` where that has them: `he met ann` as `He met Ann.`.

    Words, their number and their order are those of `text`, and so are its marks if it has any. A text with capitals
    is returned as it is; one in capitals throughout has none.
    """
    is_written = text != text.lower() and text != text.upper()
    if is_written or not heard.strip():
        return text
    words, said = text.lower().split(), heard.split()
    has_marks = any(_MARKS_AT_END.search(word) for word in words)
    matcher = SequenceMatcher(None, [normalise(w) for w in words], [normalise(w) for w in said], autojunk=False)
    for change, start, end, said_start, said_end in matcher.get_opcodes():
        if change in ("insert", "delete"):
            continue
        # The same words, or as many others: a name that was misheard is usually heard as a name.
        if end - start == said_end - said_start:
            words[start:end] = [
                _like(w, s, has_marks, change == "equal")
                for w, s in zip(words[start:end], said[said_start:said_end], strict=True)
            ]
        elif end == len(words) and not has_marks:
            words[-1] += _marks(said[said_end - 1])
    if any(word != word.lower() for word in said):
        words = [_capitalised(w) if not i or _ENDS_SENTENCE.search(words[i - 1]) else w for i, w in enumerate(words)]
    return " ".join(words)


def _like(word: str, said: str, has_marks: bool, is_same: bool) -> str:
    bare, marks = _MARKS_AT_END.sub("", word), _marks(word) if has_marks else _marks(said)
    if is_same:
        return _MARKS_AT_END.sub("", _QUOTES_AT_START.sub("", said)) + marks
    return (_capitalised(bare) if said[:1].isupper() and not said.isupper() else bare) + marks


def _marks(word: str) -> str:
    """The marks at a word's end without quotation marks and brackets, whose other half may be missing."""
    found = _MARKS_AT_END.search(word)
    return "".join(c for c in found.group() if c in _SENTENCE_MARKS) if found else ""


def _capitalised(word: str) -> str:
    return word[:1].upper() + word[1:]
