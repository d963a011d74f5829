"""Problems in a transcript, with their line and their place in time."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class TranscriptProblem:
    """One part of a transcript that could not be read: words that were said and that no supervision holds.

    `line` counts from 1. Where the part has times, right or wrong, `start_s` and `end_s` are these; `after_s` is the
    begin of the cue before it in the file. `cut` joins no cues across any of these places.
    """

    line: int
    message: str
    start_s: float | None = None
    end_s: float | None = None
    after_s: float | None = None
    unit: str = "line"
    """What `line` counts: text blocks in a binary format."""

    def __str__(self) -> str:
        return f"{self.unit} {self.line}: {self.message}"

    def shifted(self, by_s: float) -> TranscriptProblem:
        """The same problem with its times later by `by_s`."""
        times = {name: getattr(self, name) for name in ("start_s", "end_s", "after_s")}
        return replace(self, **{name: round(time + by_s, 3) for name, time in times.items() if time is not None})


class TranscriptError(ValueError):
    """The transcript cannot be read at all."""

    def __init__(self, problem: TranscriptProblem) -> None:
        self.problem = problem
        super().__init__(str(problem))
