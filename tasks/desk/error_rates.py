"""The error rate by people: the machine's words against the latest reviews, by model, genre, speaker and day. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from tasks import storage
from tasks.desk.review_log import ReviewLine
from tasks.transcripts.error_counts import ErrorCounts, total


@dataclass(frozen=True)
class ErrorRate:
    """Errors of a group of programmes."""

    group: str
    programmes: int
    errors: ErrorCounts


@dataclass(frozen=True)
class DailyRate:
    """A point of a series: what one model's words of the programmes reviewed on a day were like."""

    day: date
    model: str
    programmes: int
    errors: ErrorCounts


def counted(lines: Iterable[ReviewLine], only_finished: bool = True) -> list[ReviewLine]:
    """Return the last review of each transcript, in order of time.

    Unfinished ones are left out by default: in them, what nobody has looked at would count as right.
    """
    latest: dict[str, ReviewLine] = {}
    for line in lines:
        if line.key not in latest or latest[line.key].number < line.number:
            latest[line.key] = line
    kept = (line for line in latest.values() if line.finished or not only_finished)
    return sorted(kept, key=lambda line: (line.created_at, line.key))


def by_model(lines: Iterable[ReviewLine]) -> tuple[ErrorRate, ...]:
    """By version of the recogniser, most programmes first."""
    return _grouped(lines, lambda line: line.model)


def by_genre(lines: Iterable[ReviewLine]) -> tuple[ErrorRate, ...]:
    """By the folder of the medium, as in an inbox with a folder for each genre."""
    return _grouped(lines, lambda line: storage.name_of(storage.parent(line.media)))


def by_speaker(lines: Iterable[ReviewLine]) -> tuple[ErrorRate, ...]:
    """By speaker's name or id. Unnamed speakers of all programmes, S1 and the like, count under their id."""
    groups: dict[str, list[ErrorCounts]] = defaultdict(list)
    for line in lines:
        for speaker, counts in line.by_speaker.items():
            groups[speaker].append(counts)
    return _sorted(ErrorRate(speaker, len(counts), total(counts)) for speaker, counts in groups.items())


def daily(lines: Iterable[ReviewLine]) -> tuple[DailyRate, ...]:
    """The series by model and day of the review, oldest first."""
    groups: dict[tuple[date, str], list[ErrorCounts]] = defaultdict(list)
    for line in lines:
        groups[line.created_at.date(), line.model].append(line.errors)
    return tuple(DailyRate(day, model, len(counts), total(counts)) for (day, model), counts in sorted(groups.items()))


def _grouped(lines: Iterable[ReviewLine], group_of: Callable[[ReviewLine], str]) -> tuple[ErrorRate, ...]:
    groups: dict[str, list[ErrorCounts]] = defaultdict(list)
    for line in lines:
        groups[group_of(line)].append(line.errors)
    return _sorted(ErrorRate(group, len(counts), total(counts)) for group, counts in groups.items())


def _sorted(rates: Iterator[ErrorRate]) -> tuple[ErrorRate, ...]:
    return tuple(sorted(rates, key=lambda rate: (-rate.programmes, rate.group)))
