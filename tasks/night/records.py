"""What the steps of a night hand to each other: frozen records, one JSON object a line or a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import Field

from tasks.contract import Frozen, Outcome, Reason, digest_of
from tasks.night.identity import Pipeline
from tasks.transcripts.document import WordTiming
from tasks.transcripts.spans import Span, Turn

# What the steps' outputs are called.
DEFERRED = "deferred.jsonl"  # plan-night: a `Publication` a line, of what is still being uploaded
PREPARED = "programmes.jsonl"  # prepare-media: a `Preparation` a line
PUBLISHED = "published.jsonl"  # publish: a `Publication` a line


def words_name(arrival: str) -> str:
    """recognise: a programme's `RecognisedProgramme`."""
    return f"words/{arrival}.json"


def turns_name(arrival: str) -> str:
    """diarize: a programme's `DiarizedProgramme`."""
    return f"turns/{arrival}.json"


class Arrival(Frozen):
    """One file of the inbox as a listing shows it."""

    arrival: str = Field(description="16 hexadecimal digits over URI, size and etag: another when the file changes")
    programme: str = Field(description="name under which its transcripts are published")
    uri: str
    n_bytes: int
    etag: str
    failures: int = Field(default=0, description="nights in which it failed; so a new night is no repetition")
    vocabulary: str = Field(default="", description="URI of the list of words that lies beside it")


class Batch(Frozen):
    """The programmes that one chain of tasks transcribes, and with what."""

    pipeline: Pipeline
    transcripts: str = Field(description="URI prefix of published transcripts, where the ledger lies")
    programmes: tuple[Arrival, ...]


@dataclass(frozen=True, slots=True)
class Speech(Span):
    """A stretch in which somebody may be speaking."""

    pauses: tuple[tuple[int, float], ...] = ()
    """Where a cut does little harm: ms, cost."""


class Preparation(Frozen):
    """What became of one programme in prepare-media."""

    arrival: Arrival
    outcome: Outcome
    reason: Reason | None = None
    detail: str = ""
    sha256: str = ""
    published: str = Field(default="", description="manifest of the transcript that these very bytes already have")
    same_as: str = Field(default="", description="arrival of this batch with the same bytes")
    duration_ms: int = 0
    track: int = 0
    start_timecode: str | None = None
    timecode_rate: str = "25"
    speech: tuple[Speech, ...] = Field(default=(), description="in order, without overlap")
    vocabulary: tuple[str, ...] = Field(default=(), description="words and names to expect")

    @property
    def content(self) -> str:
        """What was transcribed: the media's bytes, and what was said about them."""
        return content_digest(self.sha256, self.vocabulary)

    @property
    def speech_ms(self) -> int:
        return sum(speech.duration_ms for speech in self.speech)

    @property
    def is_copy(self) -> bool:
        """Whether its transcript is there already, or is that of another in its batch."""
        return bool(self.published or self.same_as)

    @property
    def has_audio(self) -> bool:
        """Whether this batch holds audio of its own for the programme."""
        return self.outcome.is_done and not self.is_copy

    @property
    def audio(self) -> str:
        """Name of the output with its audio: 16 kHz mono FLAC on the programme's own time line."""
        return f"audio/{self.arrival.arrival}.flac"


def content_digest(sha256: str, vocabulary: tuple[str, ...]) -> str:
    """The media's own digest, unless a list of words belongs to them."""
    return digest_of({"media": sha256, "vocabulary": vocabulary}) if sha256 and vocabulary else sha256


class SpokenWord(Frozen):
    """A recognised word at its place in the programme."""

    text: str
    start_ms: int
    end_ms: int
    confidence: float
    timing: WordTiming


class Doubt(Frozen):
    """A chunk whose recognition failed the quality gate."""

    start_ms: int
    end_ms: int
    reasons: tuple[str, ...]


class RecognisedProgramme(Frozen):
    """One programme's words."""

    arrival: str
    engine: str
    language: str | None
    language_share: float | None = Field(default=None, description="of the vote that settled the language")
    words: tuple[SpokenWord, ...]
    chunks: int = Field(default=0, description="pieces in which it was heard")
    doubts: tuple[Doubt, ...] = ()
    outcome: Outcome = Outcome.DONE
    detail: str = Field(default="", description="what went wrong")
    covered_ms: int = Field(default=0, description="speech that has words")
    redecoded_ms: int = Field(default=0, description="speech that was decoded again")


class DiarizedProgramme(Frozen):
    """One programme's speakers, S1, S2, … in the order in which they first speak."""

    arrival: str
    diarizer: str = Field(description="as a transcript's provenance names it")
    outcome: Outcome = Outcome.DONE
    detail: str = Field(default="", description="what went wrong")
    turns: tuple[Turn, ...] = Field(default=(), description="as heard: several may speak at once")
    exclusive: tuple[Turn, ...] = Field(default=(), description="one speaker at a time, for words")


class Publication(Frozen):
    """What became of one programme in the end: a row of the night's report and of its `index.jsonl`."""

    programme: str
    media: str
    outcome: Outcome
    reason: Reason | None = None
    detail: str = ""
    transcript: str = Field(default="", description="URI of the folder with every format, empty if there is none")
    is_copy: bool = Field(default=False, description="nothing was heard for it: the transcript was there, or a twin's")
    key: str = ""
    model: str = ""
    duration_s: float = 0.0
    language: str = ""
    speakers: int | None = Field(default=None, description="none: nobody looked for speakers")
    words: int = 0
    speech_s: float = 0.0
    coverage: float | None = Field(default=None, description="share of the speech that has words, none without speech")
    confidence: float | None = Field(default=None, description="mean over the words")
    suspect_s: float = 0.0
    redecoded_s: float = Field(default=0.0, description="speech that was decoded again")
    cues: int = Field(default=0, description="subtitles")
    cues_beyond: int = Field(default=0, description="subtitles that break a limit of their rules")


class NightRow(Publication):
    """One programme of the report. `index.jsonl` has one a line."""

    words_a_minute: float | None = Field(
        default=None, description="words a minute of speech, none where the script shows no words"
    )
    rtfx: float | None = Field(default=None, description="audio seconds recognised a second, over its batch")
    text: str = Field(default="", description="URI of the plain text")
    compute_s: float | None = Field(default=None, description="its share of the time that its batch's steps took")
    cost: float | None = Field(default=None, description="the same in money, where prices are known")


class NightReport(Frozen):
    """`report.json`."""

    schema_version: int = 1
    night: str
    model: str
    model_version: str
    news: str
    outcomes: dict[str, int] = Field(description="programmes per outcome")
    transcribed_before: int
    quarantined_before: int
    hours: float = Field(description="of the programmes that are done, without copies")
    words: int = Field(description="of the same")
    compute_s: float = Field(description="of prepare, diarize and recognise, over all batches that came to their end")
    cost: float | None = None
    rows: tuple[NightRow, ...]


def in_brief(troubles: Sequence[str], most: int = 10, elsewhere: str = "see the night's report") -> tuple[str, ...]:
    """A step's warnings: a bad night must not bury its log. The report has them all."""
    if len(troubles) <= most:
        return tuple(troubles)
    return (*troubles[:most], f"and {len(troubles) - most} more: {elsewhere}")
