"""The canonical transcript: words, times, speakers, provenance and media.

Every published format is a pure function of this document. It is immutable, validated when constructed, and serialised
as canonical JSON: UTF-8, keys in order of declaration, no whitespace, one line. Times are integer milliseconds from the
first sample of the media. `schema.json` beside this file is its JSON Schema, and contains the docstrings below.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import unquote

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from tasks.transcripts.text import clean, join
from tasks.transcripts.timecode import TIMECODE_PATTERN, Clock, FrameRate

SCHEMA_VERSION: Final = 3

# Valid as a field of RTTM and as the end of an XML identifier.
_SPEAKER_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$"


def _clean(value: object) -> object:
    return clean(value) if isinstance(value, str) else value


def _rounded(value: float) -> float:
    return round(value, 3) + 0.0  # + 0.0 turns -0.0 into 0.0, so that equal documents have equal bytes


Milliseconds = Annotated[int, Field(ge=0, strict=True)]
Text = Annotated[str, BeforeValidator(_clean), Field(min_length=1, json_schema_extra={"pattern": r"^\S+( \S+)*$"})]
SpeakerId = Annotated[str, Field(pattern=_SPEAKER_PATTERN)]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$", description="BCP 47, or und")]
Confidence = Annotated[float, Field(ge=0.0, le=1.0), AfterValidator(_rounded)]


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, json_schema_serialization_defaults_required=True
    )


class WordTiming(StrEnum):
    """How a word's time was found."""

    CTC = "ctc"  # from the frames at which a CTC model emitted its tokens
    ATTENTION = "attention"  # from a sequence-to-sequence model's cross-attention
    ALIGNMENT = "alignment"  # by forced alignment of known text
    INTERPOLATED = "interpolated"  # between neighbours with known times
    CHUNK = "chunk"  # only the chunk's bounds are known; divided among its words by their length


class WarningCode(StrEnum):
    """What a reader of the transcript should know before trusting all of it."""

    DAMAGED_MEDIA = "damaged_media"  # the decoder skipped or concealed errors
    CHANNELS_APART = "channels_apart"  # two channels with different speech were transcribed apart and merged by time
    OTHER_TRACK = "other_track"  # the tracks chosen by tags and labels have no speech, another one was taken
    NO_SPEECH = "no_speech"
    LOW_COVERAGE = "low_coverage"  # much of the detected speech has no words
    SUSPECT_SEGMENTS = "suspect_segments"
    LANGUAGE_DOUBTFUL = "language_doubtful"
    SPEAKERS_DOUBTFUL = "speakers_doubtful"
    NO_SPEAKERS = "no_speakers"  # diarization was not run, or failed
    TIMECODE_IGNORED = "timecode_ignored"  # the media's start time code, or its frame rate, is invalid
    TIMES_REPAIRED = "times_repaired"  # times of words out of order or outside the media were clipped


class TranscriptWarning(_Model):
    code: WarningCode
    detail: Text


class Media(_Model):
    """What was transcribed. The time code and its rate are those of the media's first frame."""

    uri: Annotated[str, Field(min_length=1)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    duration_ms: Milliseconds
    track: Annotated[int, Field(ge=0, strict=True, description="index among the media's audio tracks")] = 0
    start_timecode: Annotated[str, Field(pattern=TIMECODE_PATTERN)] | None = None
    timecode_rate: FrameRate = "25"

    @model_validator(mode="after")
    def _timecode_exists(self) -> Self:
        _ = self.clock
        return self

    @property
    def clock(self) -> Clock:
        return Clock(self.start_timecode or "00:00:00:00", self.timecode_rate)

    @property
    def name(self) -> str:
        """The programme's name: the file name without folder and suffix."""
        return clean(PurePosixPath(unquote(self.uri)).stem) or "programme"

    @property
    def token(self) -> str:
        """The name as a field of a space-separated format (RTTM, CTM)."""
        return re.sub(r"[^\w-]+", "_", self.name)


class Provenance(_Model):
    """Everything that decided the words, so that another run can be compared with this one."""

    model_name: Text
    model_version: Text
    engine: Text
    code_version: Text
    normaliser: Text
    diarizer: Text | None = None


class Speaker(_Model):
    id: SpeakerId
    name: Text | None = None


class Word(_Model):
    text: Text
    start_ms: Milliseconds
    end_ms: Milliseconds
    confidence: Confidence | None
    speaker: SpeakerId | None
    timing: WordTiming

    @model_validator(mode="after")
    def _times_in_order(self) -> Self:
        if self.end_ms < self.start_ms:
            raise ValueError(f"word {self.text!r} starts at {self.start_ms} ms and ends earlier, at {self.end_ms} ms")
        return self


class Segment(_Model):
    """Consecutive words of at most one speaker; a doubtful word inside may have none.

    A suspect segment failed the recogniser's quality gate: its text is kept, and may be wrong or invented.
    """

    start_ms: Milliseconds
    end_ms: Milliseconds
    speaker: SpeakerId | None
    suspect: bool
    words: Annotated[tuple[Word, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _words_fit(self) -> Self:
        start_ms = end_ms = self.start_ms
        for word in self.words:
            if word.start_ms < start_ms or word.end_ms < end_ms:
                raise ValueError(f"word {word.text!r} at {word.start_ms} ms starts or ends before its predecessor")
            if word.speaker is not None and word.speaker != self.speaker:
                raise ValueError(f"word {word.text!r} is {word.speaker}'s in a segment of {self.speaker}")
            start_ms, end_ms = word.start_ms, word.end_ms
        if end_ms > self.end_ms:
            raise ValueError(f"the last word ends at {end_ms} ms, after its segment ({self.end_ms} ms)")
        return self


class SuspectPassage(_Model):
    """A stretch that failed the recogniser's quality gate. Its words, if it has any, stand in suspect segments."""

    start_ms: Milliseconds
    end_ms: Milliseconds
    reasons: Annotated[tuple[Text, ...], Field(min_length=1)]


class LanguagePassage(_Model):
    """A stretch in one language, as it was decoded."""

    start_ms: Milliseconds
    end_ms: Milliseconds
    language: Language


class Coverage(_Model):
    """How much of the speech has words, by the voice activity found before recognition."""

    speech_ms: Milliseconds
    covered_ms: Milliseconds
    redecoded_ms: Milliseconds
    suspect_ms: Annotated[Milliseconds, Field(description="in suspect passages, with words or without")] = 0

    @model_validator(mode="after")
    def _covers_speech_only(self) -> Self:
        if self.covered_ms > self.speech_ms:
            raise ValueError(f"{self.covered_ms} ms covered of only {self.speech_ms} ms of speech")
        return self


class Transcript(_Model):
    schema_version: Literal[3] = SCHEMA_VERSION
    media: Media
    provenance: Provenance
    language: Annotated[Language, Field(description="of most of the speech")]
    language_passages: Annotated[
        tuple[LanguagePassage, ...], Field(description="in order; none if the recogniser knows one language")
    ] = ()
    speakers: tuple[Speaker, ...]
    segments: tuple[Segment, ...]
    suspect_passages: tuple[SuspectPassage, ...] = ()
    coverage: Coverage
    warnings: tuple[TranscriptWarning, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _of_older_version(cls, document: Any) -> Any:
        """Upgrade an older document: version 1 has no suspect passages, version 2 no passages by language."""
        is_older = isinstance(document, dict) and document.get("schema_version") in (1, 2)
        return {**document, "schema_version": SCHEMA_VERSION} if is_older else document

    @model_validator(mode="after")
    def _segments_fit(self) -> Self:
        known = {speaker.id for speaker in self.speakers}
        if len(known) < len(self.speakers):
            raise ValueError("two speakers have the same id")
        start_ms = end_ms = 0
        for segment in self.segments:
            if segment.start_ms < start_ms or segment.end_ms < end_ms:
                raise ValueError(f"the segment at {segment.start_ms} ms starts or ends before its predecessor")
            if segment.speaker is not None and segment.speaker not in known:
                raise ValueError(f"{segment.speaker}, speaker of the segment at {segment.start_ms} ms, is not listed")
            start_ms, end_ms = segment.start_ms, segment.end_ms
        self._check_order("suspect", self.suspect_passages)
        self._check_order("language", self.language_passages)
        if end_ms > self.media.duration_ms:
            raise ValueError(f"the last segment ends at {end_ms} ms, the media at {self.media.duration_ms}")
        for earlier, later in zip(self.segments, self.segments[1:], strict=False):
            before, after = earlier.words[-1], later.words[0]
            if after.start_ms < before.start_ms or after.end_ms < before.end_ms:
                raise ValueError(f"word {after.text!r} at {after.start_ms} ms starts or ends before its predecessor")
        return self

    def _check_order(self, kind: str, passages: Sequence[SuspectPassage | LanguagePassage]) -> None:
        at_ms = 0
        for passage in passages:
            if not at_ms <= passage.start_ms <= passage.end_ms <= self.media.duration_ms:
                raise ValueError(f"the {kind} passage at {passage.start_ms} ms is out of order or outside the media")
            at_ms = passage.start_ms

    def language_at(self, at_ms: int) -> str:
        """Return the language of the last passage that begins by then; the transcript's, if there is none."""
        index = bisect_right(self.language_passages, at_ms, key=lambda passage: passage.start_ms)
        return self.language_passages[index - 1].language if index else self.language

    @property
    def words(self) -> Iterator[Word]:
        return (word for segment in self.segments for word in segment.words)

    @property
    def text(self) -> str:
        return join((word.text for word in self.words), self.language)

    def to_bytes(self) -> bytes:
        return self.model_dump_json().encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse a transcript. Raises pydantic's ValidationError."""
        return cls.model_validate_json(data)
