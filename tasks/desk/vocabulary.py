"""Words that people typed and the recogniser did not know, offered as the channel's vocabulary.

<inbox>/_vocabulary.txt     one word or name a line: expected in every programme of the inbox, from the next night on
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from tasks import storage
from tasks.contract import InputRejected, Reason
from tasks.transcripts.document import Transcript
from tasks.transcripts.normaliser import normalise
from tasks.transcripts.reviews.draft import DraftRejected
from tasks.transcripts.sentences import ends_sentence
from tasks.transcripts.text import UNSAFE

CHANNEL_VOCABULARY = "_vocabulary.txt"
MAX_PHRASE_CHARACTERS = 60  # longer lines of a list are ignored by the recogniser
MAX_PLACES = 20
_MARKS = re.compile(r"^[\W_]+|[\W_]+$")


@dataclass(frozen=True)
class SpokenAt:
    """Where a word was said."""

    key: str
    """The programme, for `load_programme`."""
    start_ms: int
    machine: str
    """What the recogniser wrote there; empty if nothing."""


@dataclass(frozen=True)
class Suggestion:
    """A word for the vocabulary."""

    phrase: str
    """As people wrote it most often."""
    count: int
    n_programmes: int
    places: tuple[SpokenAt, ...]
    """The first of them."""


@dataclass(frozen=True)
class Typed:
    """What a person wrote in the place of other words."""

    phrase: str
    at: SpokenAt


def suggestion(typed: Sequence[Typed]) -> Suggestion:
    """Count what was typed of one name, in the order of its places."""
    spellings = Counter(one.phrase for one in typed)
    return Suggestion(
        phrase=max(sorted(spellings), key=spellings.__getitem__),
        count=len(typed),
        n_programmes=len({one.at.key for one in typed}),
        places=tuple(one.at for one in typed[:MAX_PLACES]),
    )


def words_of(machine: Transcript) -> frozenset[str]:
    """The words of a transcript, normalised."""
    return frozenset(word for spoken in machine.words for word in normalise(spoken.text).split())


def typed_in(key: str, machine: Transcript, person: Transcript) -> Iterator[Typed]:
    """Yield what the person wrote where the machine wrote something else. Neighbours that were typed together, both
    with capitals, are one name."""
    theirs, ours = list(machine.words), list(person.words)
    heard_as, typed_as = ([normalise(word.text) for word in words] for words in (theirs, ours))
    for tag, first, end, our_first, our_end in SequenceMatcher(None, heard_as, typed_as).get_opcodes():
        if tag in ("equal", "delete"):
            continue
        heard = " ".join(word.text for word in theirs[first:end])
        for phrase, index in _phrases([word.text for word in ours[our_first:our_end]]):
            yield Typed(phrase, SpokenAt(key, ours[our_first + index].start_ms, heard))


def read_channel_vocabulary(inbox: str) -> tuple[str, ...]:
    """Return the phrases of the inbox's list, in its order; none if there is no list."""
    try:
        lines = storage.read_bytes(_uri(inbox)).decode(errors="replace").splitlines()
    except InputRejected:
        return ()
    phrases = (" ".join(line.lstrip("\ufeff").partition("#")[0].split()) for line in lines)
    return tuple(dict.fromkeys(filter(None, phrases)))


def accept(inbox: str, phrase: str) -> tuple[str, ...]:
    """Add a phrase to the inbox's list, and return the list. The lines that are there stay as they are.

    Two people at once: whoever finds his phrase missing afterwards writes again.

    Raises:
        DraftRejected: it is no phrase: empty, too long, with a mark of comments or a control character.
    """
    phrase = " ".join(phrase.split())
    if not any(map(str.isalnum, phrase)) or len(phrase) > MAX_PHRASE_CHARACTERS or "#" in phrase:
        raise DraftRejected(f"a vocabulary has words of 1 to {MAX_PHRASE_CHARACTERS} characters, without #")
    if UNSAFE.search(phrase):
        raise DraftRejected("the word has a control character or a lone surrogate")
    for _ in range(5):
        phrases = read_channel_vocabulary(inbox)
        if phrase in phrases:
            return phrases
        before = storage.read_bytes(_uri(inbox)) if storage.exists(_uri(inbox)) else b""
        separator = b"" if not before or before.endswith(b"\n") else b"\n"
        storage.write(_uri(inbox), before + separator + phrase.encode() + b"\n")
    raise InputRejected(
        "others write it all the time",
        reason=Reason.CHANGED_WHILE_READ,
        subject=_uri(inbox),
        next_step="try again",
    )


def _uri(inbox: str) -> str:
    root = storage.canonical(inbox.rstrip("/"))
    uri = storage.join(root, CHANNEL_VOCABULARY)
    if not storage.is_inside(uri, root):
        raise InputRejected(
            "is a symbolic link out of the inbox",
            reason=Reason.REMOTE_REFERENCE,
            subject=uri,
            next_step="put the list itself there",
        )
    return uri


def _phrases(texts: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Yield words without the marks around them, and where they stand; capitalised neighbours together."""
    group: list[str] = []
    start = 0
    for index, text in enumerate(texts):
        bare = _MARKS.sub("", text)
        is_name = bare[:1].isupper()
        if group and not (is_name and group[-1][:1].isupper()):
            yield " ".join(group), start
            group = []
        if bare:
            start = start if group else index
            group.append(bare)
        if group and (ends_sentence(text) or text.endswith((",", ";", ":"))):
            yield " ".join(group), start
            group = []
    if group:
        yield " ".join(group), start
