"""How steps, and the programmes and utterances in them, end: exit codes, outcomes, reasons, errors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import IntEnum, StrEnum
from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class ExitCode(IntEnum):
    """Exit codes of a step's process, numbered as in BSD's `sysexits.h`."""

    DONE = 0
    INPUT_REJECTED = 65  # EX_DATAERR: bad input; a retry cannot help
    FAULT = 70  # EX_SOFTWARE: a bug or a machine fault; retry within limits
    PREEMPTED = 75  # EX_TEMPFAIL: stopped on request, state saved; retry
    MISCONFIGURED = 78  # EX_CONFIG: invalid argument or setting; a retry cannot help


class Outcome(StrEnum):
    """How a programme, an utterance or a file ended."""

    DONE = "done"
    DONE_NO_SPEECH = "done_no_speech"
    DONE_WITH_WARNINGS = "done_with_warnings"
    REJECTED = "rejected"  # its content failed a check
    FAILED = "failed"  # a fault that may not recur: another attempt may succeed
    QUARANTINED = "quarantined"  # failed for good: skipped until the file changes

    @property
    def is_done(self) -> bool:
        return self in (Outcome.DONE, Outcome.DONE_NO_SPEECH, Outcome.DONE_WITH_WARNINGS)


WITHOUT_SPEAKERS = "without_speakers"
"""Name of a night's count of programmes transcribed without speakers, because diarization failed."""


class Reason(StrEnum):
    """Why an item or an input was rejected, failed or got a warning. A closed list: reports count by it."""

    # media
    NOT_MEDIA = "not_media"  # FFmpeg knows no such format
    NO_AUDIO_TRACK = "no_audio_track"
    EMPTY = "empty"  # no bytes, or no samples in the audio track
    TRUNCATED = "truncated"  # ends before its index, or before its nominal duration
    DAMAGED = "damaged"  # packets are corrupt or missing
    DECODE_ERROR = "decode_error"  # the decoder crashed
    UNSUPPORTED_CODEC = "unsupported_codec"
    REMOTE_REFERENCE = "remote_reference"  # a playlist: no media of its own, only references
    HEADER_MISMATCH = "header_mismatch"  # the header states another duration
    SILENCE = "silence"  # digital silence, or nearly
    NO_SPEECH = "no_speech"  # no speech according to VAD
    TOO_LONG = "too_long"
    TOO_SHORT = "too_short"
    TOO_LARGE = "too_large"
    DECODER_LIMIT = "decoder_limit"  # the file makes the decoder spin, or take too much memory, at every try
    TIME_LIMIT = "time_limit"
    MEMORY_LIMIT = "memory_limit"
    UNREADABLE = "unreadable"
    CHANGED_WHILE_READ = "changed_while_read"  # a file, or what an alias points to
    # transcripts that come with media
    NO_TRANSCRIPT = "no_transcript"
    TRANSCRIPT_UNREADABLE = "transcript_unreadable"
    TRANSCRIPT_EMPTY = "transcript_empty"
    TRANSCRIPT_OUT_OF_RANGE = "transcript_out_of_range"  # its times are outside the media
    # utterances
    ALPHABET = "alphabet"  # characters that the tokeniser does not have
    OVERLAP = "overlap"  # overlaps another caption
    CHARACTER_RATE = "character_rate"  # too much or too little text for its duration
    MATCH_ERROR = "match_error"  # caption and recognised text differ too much
    LANGUAGE = "language"
    DUPLICATE = "duplicate"  # the same utterance twice, or a live session name in use
    # inputs and settings of a step
    NOT_FOUND = "not_found"
    NO_INPUT = "no_input"  # nothing to work on
    CORRUPT = "corrupt"  # an output of an earlier step, or a model, cannot be parsed
    INVALID_ARGUMENT = "invalid_argument"
    MODEL_NOT_FOUND = "model_not_found"
    DIVERGED = "diverged"  # the training loss
    CONVERSION_DIFFERS = "conversion_differs"  # a converted model has a higher WER than the original
    # faults
    DISK_FULL = "disk_full"
    UNAVAILABLE = "unavailable"  # a service, such as S3, does not answer, or asks to come back later
    PREEMPTED = "preempted"
    INTERNAL_ERROR = "internal_error"


TRANSIENT_REASONS = frozenset(
    {
        Reason.UNREADABLE,
        Reason.CHANGED_WHILE_READ,
        Reason.NOT_FOUND,
        Reason.UNAVAILABLE,
        Reason.DISK_FULL,  # another attempt may get a larger or emptier disk
        # The machine may have caused these: other processes took the memory, or storage did not respond.
        Reason.MEMORY_LIMIT,
        Reason.TIME_LIMIT,
        Reason.INTERNAL_ERROR,
    }
)
"""Reasons for which an item is retried. All others are properties of the file, and permanent."""


class ItemOutcome(BaseModel):
    """How one programme, utterance or file ended, and why: a line of a step's `outcomes.jsonl`, shown in reports.

    `item` is the programme's id, the utterance's id or the file's name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    item: str
    outcome: Outcome
    reason: Reason | None = None
    detail: str = ""
    duration_s: float = 0.0

    @property
    def is_done(self) -> bool:
        return self.outcome.is_done


def count_outcomes(outcomes: Iterable[ItemOutcome]) -> dict[str, int]:
    """Count items by outcome, and by outcome and reason: `{"done": 9, "rejected": 1, "rejected:empty": 1}`."""
    counts: Counter[str] = Counter()
    for item in outcomes:
        counts[item.outcome] += 1
        if item.reason is not None:
            counts[f"{item.outcome}:{item.reason}"] += 1
    return dict(sorted(counts.items()))


class StepError(Exception):
    """A step cannot continue. The message names the file, what is wrong with it and what to do next."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAULT

    def __init__(self, message: str, *, reason: Reason, subject: str = "", next_step: str = "") -> None:
        """`subject`: the file, model or argument that caused the error. `next_step`: what the reader should do."""
        self.message, self.reason, self.subject, self.next_step = message, reason, subject, next_step
        super().__init__(
            ": ".join(part for part in (subject, message) if part) + (f" ({next_step})" if next_step else "")
        )


class InputRejected(StepError):
    """The step's input is invalid, and a retry cannot help (exit code 65)."""

    exit_code = ExitCode.INPUT_REJECTED


class Misconfigured(StepError):
    """An argument or a setting is invalid (exit code 78)."""

    exit_code = ExitCode.MISCONFIGURED


class Preempted(StepError):
    """Stopped on request, with state saved (exit code 75)."""

    exit_code = ExitCode.PREEMPTED

    def __init__(self, message: str = "stopped on request") -> None:
        super().__init__(message, reason=Reason.PREEMPTED, next_step="start it again: it resumes from the saved state")
