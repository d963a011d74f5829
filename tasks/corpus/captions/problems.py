"""Problems in a transcript, with their line and time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

MAX_PROBLEMS = 5000  # 16 MiB of lines like "x" would give 8 million, with 0.4 KB each


@dataclass(frozen=True)
class TranscriptProblem:
    """A part of a transcript that could not be read, so that spoken words are missing from the supervisions.

    `line` counts from 1. `start_s` and `end_s` are the part's own times, right or wrong, if it has any; `after_s` is
    the start of the preceding cue in the file. `cut` joins no cues across any of these times.
    """

    line: int
    message: str
    start_s: float | None = None
    end_s: float | None = None
    after_s: float | None = None
    unit: str = "line"
    """The unit of `line`, such as text blocks in a binary format."""

    def __str__(self) -> str:
        return f"{self.unit} {self.line}: {self.message}"

    def shift(self, by_s: float) -> TranscriptProblem:
        """Return the problem with its times `by_s` later."""
        times = {name: getattr(self, name) for name in ("start_s", "end_s", "after_s")}
        return replace(self, **{name: round(time + by_s, 3) for name, time in times.items() if time is not None})


class TranscriptError(ValueError):
    """The transcript cannot be read at all."""

    def __init__(self, problem: TranscriptProblem) -> None:
        self.problem = problem
        super().__init__(str(problem))


class ProblemList(list[TranscriptProblem]):
    """The problems of one file, in the order found.

    Raises TranscriptError at the first beyond `MAX_PROBLEMS`: such a file is not a transcript with errors.
    """

    def append(self, problem: TranscriptProblem) -> None:
        if len(self) == MAX_PROBLEMS:
            message = f"{self[0].message}, and more than {MAX_PROBLEMS - 1} further places cannot be read"
            raise TranscriptError(replace(self[0], message=message))
        super().append(problem)

    def extend(self, problems: Iterable[TranscriptProblem]) -> None:
        for problem in problems:
            self.append(problem)

    def __iadd__(self, problems: Iterable[TranscriptProblem]) -> Self:  # type: ignore[override,misc]
        self.extend(problems)
        return self
