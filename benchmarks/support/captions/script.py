"""Scripts: what is said in a programme, when, and how its captions show it, for every format alike.

A script knows for each word whether it should be taught. Words that are sung, described or name a speaker are not in it
at all; words of cues that cannot be used are in it, as said and not kept: no utterance may span them without their
text.
"""

from __future__ import annotations

import random
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from benchmarks.support.captions import sentences

# Within a displayed text: what is shown and not said, a word with its reading, what is said and not shown.
UNSAID_BEGIN, UNSAID_END, UNBROKEN = "\ue000", "\ue001", "\ue002"
RUBY_BEGIN, RUBY_READING, RUBY_END = "\ue003", "\ue004", "\ue005"
SAID_BEGIN, SAID_END = "\ue006", "\ue007"
_UNSAID = re.compile(f"{UNSAID_BEGIN}[^{UNSAID_END}]*{UNSAID_END}")
_SAID = re.compile(f"{SAID_BEGIN}([^{SAID_END}]*){SAID_END}")
_RUBY = re.compile(f"{RUBY_BEGIN}([^{RUBY_READING}]*){RUBY_READING}([^{RUBY_END}]*){RUBY_END}")

CHARACTERS_PER_S = 13


class Style(StrEnum):
    """How a cue appears."""

    POP_ON = "pop-on"
    ROLL_UP = "roll-up"
    AUTOMATIC = "automatic"
    """It stays until the next but one begins."""
    REVEAL = "reveal"
    """Word by word."""


class Fault(StrEnum):
    """What makes a cue unusable."""

    NO_LENGTH = "no length"
    BACKWARDS = "ends before it begins"
    BAD_TIME = "bad time"
    LOST_TIMES = "lost times"
    FOREIGN = "another language"


@dataclass(frozen=True)
class Word:
    """A word that is said."""

    text: str
    start_ms: int
    end_ms: int
    is_kept: bool
    condition: str


@dataclass(frozen=True)
class Cue:
    """A caption. Of roll-up and automatic captions: one line, until the next is said."""

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]
    """May contain the private characters of `script`."""
    words: tuple[Word, ...] = ()
    style: Style = Style.POP_ON
    fault: Fault | None = None
    speaker: int = 0
    """For formats with colours or names of speakers."""
    is_song: bool = False


@dataclass(frozen=True)
class Profile:
    """What a file's format, encoding and time base allow."""

    language: str
    width: int = 37
    grid_ms: int = 40
    is_capitals: bool = False
    can_write: Callable[[str], bool] = lambda text: True  # noqa: ARG005
    begin_ms: int = 1000
    min_cue_ms: int = 900
    sending_ms: int = 0
    """What it takes to send a caption behind words that are sent when they are said."""
    is_sequence: bool = True
    """Whether a mark may count for the captions that follow."""


@dataclass
class ScriptWriter:
    """Writes a script, one condition after another."""

    profile: Profile
    rng: random.Random
    cues: list[Cue] = field(default_factory=list)
    at_ms: int = 0
    _last_answer: str = ""

    def __post_init__(self) -> None:
        self.at_ms = self._on_grid(self.profile.begin_ms)

    @property
    def language(self) -> str:
        return self.profile.language

    def sentence(self) -> str:
        return self._writable(sentences.sentence)

    def answer(self) -> str:
        """A short sentence, another than the last one: without a pause it could not be told from a repeated display."""
        while (answer := self._writable(sentences.answer))[:-1] == self._last_answer:
            pass
        self._last_answer = answer[:-1]
        return answer

    def answers(self, n: int) -> list[str]:
        """Different answers."""
        texts: dict[str, str] = {}
        while len(texts) < n:
            answer = self.answer()
            texts.setdefault(answer[:-1], answer)
        return list(texts.values())

    def remark(self) -> str:
        return self._writable(sentences.remark)

    def parted_sentence(self) -> str:
        return self._writable(sentences.parted_sentence)

    def choose(self, *texts: str) -> str:
        """One of the texts that the file's encoding has."""
        return self.rng.choice([text for text in texts if self.profile.can_write(text)])

    def _writable(self, draw: Callable[[str, random.Random], str]) -> str:
        while not self.profile.can_write((text := draw(self.language, self.rng)).replace("|", "")):
            pass
        return text

    def pause(self, *ms: int) -> None:
        """Be silent for one of these times."""
        self.at_ms += self._on_grid(self.rng.choice(ms or (320, 480, 600, 1000, 2400)))

    def speak(
        self,
        text: str,
        condition: str,
        *,
        marked: Callable[[list[str]], list[str]] | None = None,
        is_kept: bool = True,
        fault: Fault | None = None,
        is_song: bool = False,
        max_lines: int = 2,
    ) -> None:
        """Add the cues of a text, of one or two lines each. `marked` adds to the lines what is not said."""
        lines = textwrap.wrap(text, self.profile.width - 2, break_long_words=False, break_on_hyphens=False)
        speaker = self.rng.randrange(4)
        for at in range(0, len(lines), max_lines):
            if at:
                self.pause(0, 40, 120, 200)
            part = lines[at : at + max_lines]
            said = [] if is_song else self.said(" ".join(part))
            start_ms, end_ms = self._span(" ".join(part))
            self.add(
                Cue(
                    start_ms,
                    end_ms,
                    self.shown(marked(part) if marked else part),
                    self.timed(said, start_ms, end_ms, condition, is_kept=is_kept),
                    fault=fault,
                    speaker=speaker,
                    is_song=is_song,
                )
            )

    def add(self, cue: Cue) -> None:
        """Add a cue, and go on at its end."""
        self.cues.append(cue)
        self.at_ms = max(self.at_ms, cue.end_ms)

    def say(self, lines: Sequence[str], said: str, condition: str, **options: bool) -> None:
        """Add one cue of these lines in which `said` is said."""
        start_ms, end_ms = self._span(said)
        words = self.timed(self.said(said), start_ms, end_ms, condition, **options)
        self.add(Cue(start_ms, end_ms, self.shown(lines), words, speaker=self.rng.randrange(4)))

    def lines_in_time(self, text: str, style: Style, condition: str) -> None:
        """Add a text line by line, each until the next begins."""
        for line in textwrap.wrap(text, self.profile.width - 5, break_on_hyphens=False):
            start_ms, end_ms = self._span(line)
            words = self.timed(self.said(line), start_ms, end_ms, condition)
            self.add(Cue(start_ms, end_ms, self.shown([line]), words, style=style))

    def said(self, text: str) -> list[str]:
        """The words of a displayed text that are said."""
        return sentences.spoken_words(_RUBY.sub(r"\1", _SAID.sub(r"\1", _UNSAID.sub(" ", text))), self.language)

    def shown(self, lines: Sequence[str]) -> tuple[str, ...]:
        shown = (_SAID.sub("", line).replace(UNBROKEN, " ") for line in lines)
        shown = (line.replace(UNSAID_BEGIN, "").replace(UNSAID_END, "") for line in shown)
        return tuple(sentences.upper(line, self.language) if self.profile.is_capitals else line for line in shown)

    def timed(
        self, words: Sequence[str], start_ms: int, end_ms: int, condition: str, *, is_kept: bool = True
    ) -> tuple[Word, ...]:
        """Distribute words over a time by their lengths."""
        timed, n_before, n_all = [], 0, sum(len(word) + 1 for word in words)
        for word in words:
            n_after = n_before + len(word) + 1
            start, end = (start_ms + (end_ms - start_ms) * n // n_all for n in (n_before, n_after))
            timed.append(Word(word, start, end, is_kept, condition))
            n_before = n_after
        return tuple(timed)

    def _span(self, text: str) -> tuple[int, int]:
        wanted_ms = len(text) * 1000 // CHARACTERS_PER_S
        return self.at_ms, self.at_ms + self._on_grid(max(self.profile.min_cue_ms, wanted_ms))

    def _on_grid(self, ms: int) -> int:
        return -(-ms // self.profile.grid_ms) * self.profile.grid_ms


def unsaid(text: str) -> str:
    """Mark a text as shown and not said, never parted by the end of a line."""
    return UNSAID_BEGIN + text.replace(" ", UNBROKEN) + UNSAID_END


def with_ruby(text: str, pattern: str) -> str:
    """A shown text with words and readings as in `pattern`, which refers to them as groups 1 and 2."""
    return _RUBY.sub(pattern, text)


def with_reading(word: str, reading: str) -> str:
    """A word with its reading above it."""
    return f"{RUBY_BEGIN}{word}{RUBY_READING}{reading}{RUBY_END}"


def said_as(sign: str, word: str) -> str:
    """A sign that is shown for a word."""
    return f"{unsaid(sign)}{SAID_BEGIN}{word}{SAID_END}"


@dataclass(frozen=True)
class Shown:
    """A cue as formats without styles show it: complete lines for a time."""

    cue: Cue
    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


def as_shown(cues: Sequence[Cue], rows: int, *, builds_up: bool = True) -> list[Shown]:
    """Roll-up as cues that repeat the lines above, automatic captions as overlapping cues, and, with `builds_up`,
    sentences that appear word by word as a cue for each word."""
    shown: list[Shown] = []
    for at, cue in enumerate(cues):
        if cue.style is Style.ROLL_UP:
            above: list[str] = []
            for before in reversed(cues[max(0, at - rows + 1) : at]):
                if before.style is not Style.ROLL_UP or before.end_ms != (cues[at - len(above)].start_ms):
                    break
                above.insert(0, before.lines[0])
            shown.append(Shown(cue, cue.start_ms, cue.end_ms, (*above, *cue.lines)))
        elif cue.style is Style.AUTOMATIC:
            following = cues[at + 1 : at + 2]
            stays = following and following[0].style is Style.AUTOMATIC and following[0].start_ms == cue.end_ms
            shown.append(Shown(cue, cue.start_ms, following[0].end_ms if stays else cue.end_ms, cue.lines))
        elif cue.style is Style.REVEAL and builds_up:
            shown += _built_up(cue)
        else:
            shown.append(Shown(cue, cue.start_ms, cue.end_ms, cue.lines))
    return shown


def _built_up(cue: Cue) -> list[Shown]:
    words = [(number, word) for number, line in enumerate(cue.lines) for word in line.split()]
    ends = [word.start_ms for word in cue.words[1:]] + [cue.end_ms]
    built = []
    for n, (word, end_ms) in enumerate(zip(cue.words, ends, strict=True), start=1):
        lines: dict[int, list[str]] = {}
        for number, text in words[:n]:
            lines.setdefault(number, []).append(text)
        built.append(Shown(replace(cue), word.start_ms, end_ms, tuple(" ".join(line) for line in lines.values())))
    return built
