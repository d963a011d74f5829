"""The scripts of the channel's programmes."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

from local.demo.synthesis.espeak import Voice
from local.demo.synthesis.grammar import Side, sentence
from local.demo.synthesis.voices import CHANNEL_ACCENT, VoiceSet, variants


class Kind(StrEnum):
    HEADLINES = "headlines"
    NEWS = "news"
    WEATHER = "weather"
    SPORT = "sport"
    TALK = "talk"


@dataclass(frozen=True)
class Line:
    """A sentence in written form and its speaker."""

    speaker: str
    text: str


@dataclass(frozen=True)
class Script:
    """A programme's script: its name without suffix, its lines in order, and the voice of each speaker."""

    name: str
    kind: Kind
    lines: tuple[Line, ...]
    cast: dict[str, Voice]

    @property
    def text(self) -> str:
        return " ".join(line.text for line in self.lines)


SECONDS_PER_LINE = 4.6  # measured over all kinds, with pauses

_SPEAKERS = {
    Kind.HEADLINES: ("anchor",),
    Kind.NEWS: ("anchor", "reporter"),
    Kind.WEATHER: ("forecaster",),
    Kind.SPORT: ("presenter", "commentator"),
    Kind.TALK: ("host", "guest", "second_guest"),
}


def write_script(name: str, kind: Kind, side: Side, target_s: float, rng: random.Random) -> Script:
    """Write a script of about `target_s` seconds with sentences and voices of the side."""
    n_lines = max(2, round(target_s / SECONDS_PER_LINE))
    speakers = _SPEAKERS[kind]
    if kind is Kind.TALK and rng.random() < 0.5:
        speakers = speakers[:2]
    match kind:
        case Kind.NEWS:
            lines = _news(side, n_lines, speakers, rng)
        case Kind.SPORT:
            lines = _sport(side, n_lines, speakers, rng)
        case Kind.TALK:
            lines = _talk(side, n_lines, speakers, rng)
        case Kind.WEATHER:
            lines = _monologue("weather", side, n_lines, speakers[0], rng)
        case Kind.HEADLINES:
            lines = _monologue("news", side, n_lines, speakers[0], rng)
    return Script(name=name, kind=kind, lines=tuple(lines), cast=_cast(speakers, side, rng))


def _cast(speakers: tuple[str, ...], side: Side, rng: random.Random) -> dict[str, Voice]:
    voice_set = VoiceSet.CHANNEL_ARCHIVE if side is Side.ARCHIVE else VoiceSet.CHANNEL_INBOX
    chosen = rng.sample(variants(voice_set), len(speakers))
    return {
        speaker: Voice(
            accent=CHANNEL_ACCENT,
            variant=variant,
            pitch=rng.randint(35, 65),
            pitch_range=rng.randint(35, 70),
            words_per_minute=rng.randint(118, 145),
        )
        for speaker, variant in zip(speakers, chosen, strict=True)
    }


def _monologue(slot: str, side: Side, n_lines: int, speaker: str, rng: random.Random) -> list[Line]:
    slots = [f"{slot}_opening", *[slot] * (n_lines - 2), f"{slot}_closing"]
    return [Line(speaker, sentence(s, side, rng)) for s in slots]


def _news(side: Side, n_lines: int, speakers: tuple[str, ...], rng: random.Random) -> list[Line]:
    """The anchor reads; sometimes the reporter answers a question in two or three sentences."""
    anchor, reporter = speakers
    lines = [Line(anchor, sentence("news_opening", side, rng))]
    while len(lines) < n_lines - 1:
        if len(lines) % 6 == 4:
            lines.append(Line(anchor, sentence("question", side, rng)))
            lines += [Line(reporter, sentence("news", side, rng)) for _ in range(rng.randint(2, 3))]
        lines.append(Line(anchor, sentence("news", side, rng)))
    return [*lines, Line(anchor, sentence("news_closing", side, rng))]


def _sport(side: Side, n_lines: int, speakers: tuple[str, ...], rng: random.Random) -> list[Line]:
    """Presenter and commentator alternate every few sentences."""
    lines = [Line(speakers[0], sentence("sport_opening", side, rng))]
    turn = 0
    while len(lines) < n_lines - 1:
        lines += [Line(speakers[turn % 2], sentence("sport", side, rng)) for _ in range(rng.randint(2, 4))]
        turn += 1
    return [*lines, Line(speakers[0], sentence("sport_closing", side, rng))]


def _talk(side: Side, n_lines: int, speakers: tuple[str, ...], rng: random.Random) -> list[Line]:
    """The host asks, a guest answers, sometimes somebody reacts."""
    host, *guests = speakers
    lines = [Line(host, sentence("talk_opening", side, rng))]
    turn = 0
    while len(lines) < n_lines - 1:
        guest = guests[turn % len(guests)]
        lines.append(Line(host, sentence("ask", side, rng)))
        lines += [Line(guest, sentence("answer", side, rng)) for _ in range(rng.randint(1, 3))]
        if rng.random() < 0.4:
            lines.append(Line(rng.choice((host, guests[-1])), sentence("react", side, rng)))
        turn += 1
    return [*lines, Line(host, sentence("talk_closing", side, rng))]
