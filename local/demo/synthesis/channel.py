"""The demo's small channel: an archive with captions, an inbox without, and the inbox's references.

Archive and inbox share no sentence and no voice. Everything is deterministic for a seed if made in one fresh process.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from local.demo.synthesis.broadcast import Broadcast, interlude, perform
from local.demo.synthesis.captions import rttm, write_captions
from local.demo.synthesis.grammar import Side
from local.demo.synthesis.media_file import Encoding, write_media
from local.demo.synthesis.script import Kind, Script, write_script

VERSION = 2  # incremented when the same arguments give other files
ARCHIVE_BEGINS = date(2026, 3, 2)
INBOX_DATE = date(2026, 3, 23)
BROKEN_STEM = "late-film.mp4"
INTERLUDE_SECONDS = 45.0

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Slot:
    """A slot in the week's schedule: a programme, its duration, encoding and caption format."""

    title: str
    kind: Kind
    target_s: float
    encoding: Encoding
    captions: str


ARCHIVE_WEEK = (
    Slot("morning-news", Kind.NEWS, 100, Encoding(".mp3", 44_100, 1), ".vtt"),
    Slot("headlines-noon", Kind.HEADLINES, 18, Encoding(".wav", 22_050, 1), ".txt"),
    Slot("weather", Kind.WEATHER, 65, Encoding(".wav", 16_000, 1), ".srt"),
    Slot("sport-today", Kind.SPORT, 110, Encoding(".mp4", 44_100, 2), ".vtt"),
    Slot("evening-news", Kind.NEWS, 150, Encoding(".mp4", 48_000, 2), ".srt"),
    Slot("talk-at-nine", Kind.TALK, 170, Encoding(".mp3", 48_000, 1), ".srt"),
    Slot("headlines-late", Kind.HEADLINES, 14, Encoding(".mp3", 44_100, 1), ".txt"),
)
INBOX_DAY = (
    Slot("morning-news", Kind.NEWS, 90, Encoding(".mp3", 44_100, 1), ""),
    Slot("headlines-noon", Kind.HEADLINES, 40, Encoding(".wav", 22_050, 1), ""),
    Slot("weather", Kind.WEATHER, 55, Encoding(".mp4", 48_000, 2), ""),
    Slot("sport-today", Kind.SPORT, 80, Encoding(".mp4", 44_100, 2), ""),
    Slot("evening-news", Kind.NEWS, 115, Encoding(".mp4", 48_000, 2), ""),
    Slot("talk-at-nine", Kind.TALK, 110, Encoding(".mp3", 48_000, 1), ""),
    Slot("weather-late", Kind.WEATHER, 45, Encoding(".wav", 16_000, 1), ""),
    Slot("talk-extra", Kind.TALK, 75, Encoding(".wav", 48_000, 2), ""),
)


@dataclass(frozen=True)
class Channel:
    """The finished channel, written last, as `channel.json` beside the references."""

    version: int
    seed: int
    archive_minutes: float
    archive: tuple[str, ...]
    inbox: tuple[str, ...]
    archive_s: float
    inbox_s: float


def plan(side: Side, seed: int, archive_minutes: float) -> list[tuple[Slot, Script]]:
    """The scripts of a side. The archive's schedule is repeated day by day until it has enough minutes."""
    rng = random.Random(f"channel/{seed}/{side}")
    slots, day = (ARCHIVE_WEEK, ARCHIVE_BEGINS) if side is Side.ARCHIVE else (INBOX_DAY, INBOX_DATE)
    planned: list[tuple[Slot, Script]] = []
    planned_s = 0.0
    while True:
        for slot in slots:
            name = f"{day.isoformat()}_{slot.title}"
            planned.append((slot, write_script(name, slot.kind, side, slot.target_s, rng)))
            planned_s += slot.target_s
            if side is Side.ARCHIVE and planned_s >= 60 * archive_minutes:
                return planned
        if side is Side.INBOX:
            return planned
        day += timedelta(days=1)


def make_channel(
    archive: Path, inbox: Path, references: Path, archive_minutes: float, seed: int, progress: Progress
) -> Channel:
    """Write the whole channel, or return the one that an earlier call with the same arguments wrote."""
    marker = references / "channel.json"
    existing = _existing_channel(marker, archive, inbox, archive_minutes, seed)
    if existing:
        return existing
    for folder in (archive, inbox, references):
        folder.mkdir(parents=True, exist_ok=True)
    marker.unlink(missing_ok=True)
    sides = {side: plan(side, seed, archive_minutes) for side in Side}
    total, done = sum(map(len, sides.values())), 0
    rng = np.random.default_rng(seed)
    names: dict[Side, list[str]] = {side: [] for side in Side}
    seconds = dict.fromkeys(Side, 0.0)
    for side, programmes in sides.items():
        folder = archive if side is Side.ARCHIVE else inbox
        for slot, script in programmes:
            broadcast = perform(script, rng)
            file_name = script.name + slot.encoding.suffix
            write_media(folder / file_name, broadcast.samples, slot.encoding)
            if side is Side.ARCHIVE:
                write_captions(folder / (script.name + slot.captions), broadcast)
            else:
                _write_reference(references, broadcast)
            names[side].append(file_name)
            seconds[side] += broadcast.duration_ms / 1000
            done += 1
            progress(file_name, done, total)
    names[Side.INBOX] += _write_oddities(inbox, references, rng)
    channel = Channel(
        version=VERSION,
        seed=seed,
        archive_minutes=archive_minutes,
        archive=tuple(names[Side.ARCHIVE]),
        inbox=tuple(names[Side.INBOX]),
        archive_s=round(seconds[Side.ARCHIVE], 1),
        inbox_s=round(seconds[Side.INBOX], 1),
    )
    marker.write_text(json.dumps(asdict(channel), indent=2) + "\n")
    return channel


def _existing_channel(marker: Path, archive: Path, inbox: Path, archive_minutes: float, seed: int) -> Channel | None:
    if not marker.exists():
        return None
    fields = json.loads(marker.read_text())
    if (fields["version"], fields["seed"], fields["archive_minutes"]) != (VERSION, seed, archive_minutes):
        return None
    channel = Channel(**{**fields, "archive": tuple(fields["archive"]), "inbox": tuple(fields["inbox"])})
    files = [archive / name for name in channel.archive] + [inbox / name for name in channel.inbox]
    return channel if all(path.exists() for path in files) else None


def _write_reference(references: Path, broadcast: Broadcast) -> None:
    """Write the text, the lines with times and speakers, and the speaker turns as RTTM."""
    name = broadcast.script.name
    (references / f"{name}.txt").write_text(broadcast.script.text + "\n")
    lines = [
        {"speaker": s.line.speaker, "start_ms": s.start_ms, "end_ms": s.end_ms, "text": s.line.text}
        for s in broadcast.lines
    ]
    document = {
        "programme": name,
        "kind": broadcast.script.kind,
        "duration_ms": broadcast.duration_ms,
        "lines": lines,
    }
    (references / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")
    (references / f"{name}.rttm").write_text(rttm(broadcast))


def _write_oddities(inbox: Path, references: Path, rng: np.random.Generator) -> list[str]:
    """Write the edge cases that every inbox has some day: music without speech, and a file that is not media."""
    silent = f"{INBOX_DATE.isoformat()}_interlude"
    write_media(inbox / f"{silent}.mp3", interlude(INTERLUDE_SECONDS, rng), Encoding(".mp3", 44_100, 2))
    (references / f"{silent}.txt").write_text("")
    broken = f"{INBOX_DATE.isoformat()}_{BROKEN_STEM}"
    (inbox / broken).write_text("The film did not arrive in time. Please call the archive.\n")
    return [f"{silent}.mp3", broken]
