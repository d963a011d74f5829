"""Problems in a transcript, with their line and time."""

from __future__ import annotations

from dataclasses import dataclass, replace


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
