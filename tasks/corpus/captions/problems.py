"""Problems in a transcript, with their line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TranscriptProblem:
    """One part of a transcript that could not be read. `line` counts from 1."""

    line: int
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


class TranscriptError(ValueError):
    """The transcript cannot be read at all."""

    def __init__(self, problem: TranscriptProblem) -> None:
        self.problem = problem
        super().__init__(str(problem))
