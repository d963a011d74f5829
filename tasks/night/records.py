"""Records that the steps of a night hand to each other: one JSON object a line or a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ConfigDict, Field

from tasks.contract import Frozen, Outcome, Reason, digest_of
from tasks.night.pipeline import Pipeline
from tasks.transcripts.document import WordTiming
from tasks.transcripts.spans import Span, Turn

# Names of the steps' outputs.
DEFERRED = "deferred.jsonl"  # plan-night: a `Publication` a line, for files that are still being uploaded
PREPARED = "programmes.jsonl"  # prepare-media: a `Preparation` a line
PUBLISHED = "published.jsonl"  # publish: a `Publication` a line


def words_name(arrival_id: str) -> str:
    """Name of a programme's `RecognisedProgramme`, from recognise."""
    return f"words/{arrival_id}.json"


def turns_name(arrival_id: str) -> str:
    """Name of a programme's `DiarizedProgramme`, from diarize."""
    return f"turns/{arrival_id}.json"


class Arrival(Frozen):
    """One file of the inbox, as listed. In JSON its `id` is called `arrival`."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    id: str = Field(
        validation_alias="arrival",
        serialization_alias="arrival",
        description="16 hexadecimal digits over URI, size and etag: changes with the file",
    )
    programme: str = Field(description="name under which its transcripts are published")
    uri: str
    n_bytes: int
    etag: str
    failures: int = Field(default=0, description="nights in which it failed: makes each night's batch a new one")
    vocabulary: str = Field(default="", description="URI of the list of words beside it")


class Batch(Frozen):
    """The programmes that one chain of tasks transcribes, and the pipeline that it uses."""

    pipeline: Pipeline
    transcripts: str = Field(description="URI prefix of published transcripts and the ledger")
    programmes: tuple[Arrival, ...]
    vocabulary: str = Field(default="", description="URI of the channel's list of words; empty: there is none")
    vocabulary_etag: str = ""


@dataclass(frozen=True, slots=True)
class SpeechSpan(Span):
    """A segment of detected speech."""

    pauses: tuple[tuple[int, float], ...] = ()
    """Where the segment may be cut: ms, cost."""


class Preparation(Frozen):
    """The result of prepare-media for one programme."""

    arrival: Arrival
    outcome: Outcome
    reason: Reason | None = None
    detail: str = ""
    sha256: str = ""
    published: str = Field(default="", description="manifest of the transcript that the same bytes already have")
    same_as: str = Field(default="", description="id of an arrival of this batch with the same bytes")
    duration_ms: int = 0
    track: int = 0
    start_timecode: str | None = None
    timecode_rate: str = "25"
    speech: tuple[SpeechSpan, ...] = Field(default=(), description="in order, without overlap")
    vocabulary: tuple[str, ...] = Field(default=(), description="words and names to expect")
    channel_starts_ms: tuple[int, ...] = Field(
        default=(), description="where each channel begins in the audio, if they are transcribed apart"
    )

    @property
    def content(self) -> str:
        """Digest of what is transcribed: the media's bytes and their list of words."""
        return content_digest(self.sha256, self.vocabulary)

    @property
    def speech_ms(self) -> int:
        return sum(speech.duration_ms for speech in self.speech)

    @property
    def is_copy(self) -> bool:
        """Whether the programme shares a transcript that exists already, or that of another programme in the batch."""
        return bool(self.published or self.same_as)

    @property
    def has_audio(self) -> bool:
        """Whether the programme has audio of its own to transcribe."""
        return self.outcome.is_done and not self.is_copy

    @property
    def audio(self) -> str:
        """Name of the output with its audio: 16 kHz mono FLAC, from the programme's start; or one channel after the
        other, each from there."""
        return f"audio/{self.arrival.id}.flac"


def content_digest(sha256: str, vocabulary: tuple[str, ...]) -> str:
    """The media's sha256, or a digest over it and the list of words if there is one."""
    return digest_of({"media": sha256, "vocabulary": vocabulary}) if sha256 and vocabulary else sha256


class ProgrammeWord(Frozen):
    """A recognised word, its times counted from the start of the programme."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float
    timing: WordTiming


class SuspectChunk(Frozen):
    """A chunk whose recognition failed the quality gate. In JSON its `flags` are called `reasons`."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    start_ms: int
    end_ms: int
    flags: tuple[str, ...] = Field(
        validation_alias="reasons", serialization_alias="reasons", description="the quality checks that it failed"
    )


class LanguagePassage(Frozen):
    """A stretch of a programme in one language."""

    start_ms: int
    end_ms: int
    language: str


class RecognisedProgramme(Frozen):
    """One programme's words. In JSON its `suspect_chunks` are called `doubts`."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)

    arrival: str
    engine: str
    language: str | None
    language_share: float | None = Field(default=None, description="share of the language in the language detection")
    passages: tuple[LanguagePassage, ...] = Field(default=(), description="languages in which it was decoded, in order")
    sounds_like: tuple[LanguagePassage, ...] = Field(
        default=(), description="what sounds like another language than the one in which it was decoded"
    )
    words: tuple[ProgrammeWord, ...]
    chunks: int = Field(default=0, description="chunks decoded")
    suspect_chunks: tuple[SuspectChunk, ...] = Field(
        default=(), validation_alias="doubts", serialization_alias="doubts"
    )
    outcome: Outcome = Outcome.DONE
    detail: str = Field(default="", description="why it failed")
    covered_ms: int = Field(default=0, description="speech covered by words")
    passed_over_ms: int = Field(default=0, description="in stretches of speech without words")
    redecoded_ms: int = Field(default=0, description="speech that was decoded again")


class DiarizedProgramme(Frozen):
    """One programme's speakers, S1, S2, … in the order in which they first speak."""

    arrival: str
    diarizer: str = Field(description="as a transcript's provenance names it")
    outcome: Outcome = Outcome.DONE
    detail: str = Field(default="", description="why it failed")
    turns: tuple[Turn, ...] = Field(default=(), description="may overlap")
    exclusive: tuple[Turn, ...] = Field(default=(), description="one speaker at a time, for words")


def truncate(items: Sequence[str], max_items: int = 10, elsewhere: str = "see the night's report") -> tuple[str, ...]:
    """Return the first items, and how many more there are `elsewhere`: a bad night must not flood a step's log."""
    if len(items) <= max_items:
        return tuple(items)
    return (*items[:max_items], f"and {len(items) - max_items} more: {elsewhere}")
