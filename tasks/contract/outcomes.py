"""What can become of a step and of each item inside it: outcomes, reasons, exit codes, errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import IntEnum, StrEnum
from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class ExitCode(IntEnum):
    """How a step's process ends (the numbers are those of BSD's `sysexits.h`)."""

    DONE = 0
    INPUT_REJECTED = 65  # EX_DATAERR: the input is bad, a retry cannot help
    FAULT = 70  # EX_SOFTWARE: a bug or a fault of the machine, retry within limits
    PREEMPTED = 75  # EX_TEMPFAIL: stopped on request after saving its state, retry
    MISCONFIGURED = 78  # EX_CONFIG: an argument or a setting is wrong, a retry cannot help


class Outcome(StrEnum):
    """What became of one item (a programme, an utterance) inside a step."""

    DONE = "done"
    DONE_NO_SPEECH = "done_no_speech"
    DONE_WITH_WARNINGS = "done_with_warnings"
    REJECTED = "rejected"
    FAILED = "failed"
    QUARANTINED = "quarantined"

    @property
    def is_done(self) -> bool:
        return self in (Outcome.DONE, Outcome.DONE_NO_SPEECH, Outcome.DONE_WITH_WARNINGS)


WITHOUT_SPEAKERS = "without_speakers"
"""A night's count of programmes that have their words and lost their speakers: those another attempt may find."""


class Reason(StrEnum):
    """Why an item or an input was not taken as it is. The list is closed: reports count by it."""

    # media
    NOT_MEDIA = "not_media"
    NO_AUDIO_TRACK = "no_audio_track"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    DAMAGED = "damaged"
    DECODE_ERROR = "decode_error"
    UNSUPPORTED_CODEC = "unsupported_codec"
    REMOTE_REFERENCE = "remote_reference"
    HEADER_MISMATCH = "header_mismatch"
    SILENCE = "silence"
    NO_SPEECH = "no_speech"
    TOO_LONG = "too_long"
    TOO_SHORT = "too_short"
    TOO_LARGE = "too_large"
    TIME_LIMIT = "time_limit"
    MEMORY_LIMIT = "memory_limit"
    UNREADABLE = "unreadable"
    CHANGED_WHILE_READ = "changed_while_read"
    # transcripts beside media
    NO_TRANSCRIPT = "no_transcript"
    TRANSCRIPT_UNREADABLE = "transcript_unreadable"
    TRANSCRIPT_EMPTY = "transcript_empty"
    TRANSCRIPT_OUT_OF_RANGE = "transcript_out_of_range"
    # utterances
    ALPHABET = "alphabet"
    OVERLAP = "overlap"
    CHARACTER_RATE = "character_rate"
    MATCH_ERROR = "match_error"
    LANGUAGE = "language"
    DUPLICATE = "duplicate"
    # inputs and settings of a step
    NOT_FOUND = "not_found"
    NO_INPUT = "no_input"
    CORRUPT = "corrupt"
    INVALID_ARGUMENT = "invalid_argument"
    MODEL_NOT_FOUND = "model_not_found"
    DIVERGED = "diverged"
    CONVERSION_DIFFERS = "conversion_differs"
    # faults
    DISK_FULL = "disk_full"
    PREEMPTED = "preempted"
    INTERNAL_ERROR = "internal_error"


PASSING = frozenset(
    {
        Reason.UNREADABLE,
        Reason.CHANGED_WHILE_READ,
        Reason.NOT_FOUND,
        Reason.DISK_FULL,  # another attempt may have more room
        # They may be the machine's fault as well: memory that others took, storage that did not answer.
        Reason.MEMORY_LIMIT,
        Reason.TIME_LIMIT,
        Reason.INTERNAL_ERROR,
    }
)
"""Faults of the moment: a file lost to one is tried again. Anything else is the file's own fault, and stays."""


class ItemOutcome(BaseModel):
    """One item's outcome: stored in a step's `outcomes.jsonl`, shown in reports."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    item: str
    outcome: Outcome
    reason: Reason | None = None
    detail: str = ""
    duration_s: float = 0.0


def count_outcomes(outcomes: Iterable[ItemOutcome]) -> dict[str, int]:
    """Items per outcome and, for those that have one, per reason: `{"done": 9, "rejected": 1, "rejected:empty": 1}`."""
    counts: Counter[str] = Counter()
    for item in outcomes:
        counts[item.outcome] += 1
        if item.reason is not None:
            counts[f"{item.outcome}:{item.reason}"] += 1
    return dict(sorted(counts.items()))


class StepError(Exception):
    """A step cannot go on. Says what is wrong with which file, and what to do next."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAULT

    def __init__(self, message: str, *, reason: Reason, subject: str = "", next_step: str = "") -> None:
        """`subject` names the file, model or argument; `next_step` what the reader should do about it."""
        self.message, self.reason, self.subject, self.next_step = message, reason, subject, next_step
        super().__init__(
            ": ".join(part for part in (subject, message) if part) + (f" ({next_step})" if next_step else "")
        )


class InputRejected(StepError):
    """The step's input is bad and will be bad again (exit code 65)."""

    exit_code = ExitCode.INPUT_REJECTED


class Misconfigured(StepError):
    """An argument or a setting is wrong (exit code 78)."""

    exit_code = ExitCode.MISCONFIGURED


class Preempted(StepError):
    """Stopped on request, with its state saved (exit code 75)."""

    exit_code = ExitCode.PREEMPTED

    def __init__(self, message: str = "stopped on request") -> None:
        super().__init__(message, reason=Reason.PREEMPTED, next_step="start it again: it goes on from what is saved")
