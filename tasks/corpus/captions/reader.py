"""Read a transcript object of any format as supervisions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tasks import storage
from tasks.contract import InputRejected, Reason
from tasks.corpus.captions.encoding import decode_text
from tasks.corpus.captions.jsonlines import MANIFEST_EXTENSIONS, ManifestEntry, read_entries
from tasks.corpus.captions.parsed import ParsedCaptions
from tasks.corpus.captions.problems import ProblemList, TranscriptError, TranscriptProblem
from tasks.corpus.captions.roll_up import remove_display_effects, unroll
from tasks.corpus.captions.scc import parse_scc
from tasks.corpus.captions.stl import parse_stl
from tasks.corpus.captions.subtitles import parse_subtitles
from tasks.corpus.captions.ttml import parse_ttml
from tasks.corpus.records import Supervision

XML_EXTENSION = ".xml"  # a transcript if it is TTML
# Parsers of formats that are not plain text, by extension.
PARSERS: dict[str, Callable[[bytes, str], ParsedCaptions]] = {
    **dict.fromkeys((".ttml", ".dfxp", ".itt", XML_EXTENSION), lambda data, _: parse_ttml(data)),
    ".stl": parse_stl,
    ".scc": lambda data, language: parse_scc(decode_text(data, language)),
}
SUBTITLE_EXTENSIONS = (".vtt", ".srt")
# In order of preference if a programme has several: most structured first, plain text without times last. STL and SCC
# follow, as their time codes may not start with the medium. `.xml` is late: it may be metadata.
TRANSCRIPT_EXTENSIONS = (
    ".ttml", ".dfxp", ".itt", *SUBTITLE_EXTENSIONS, ".stl", ".scc", *MANIFEST_EXTENSIONS, XML_EXTENSION, ".txt",
)  # fmt: skip
# Captions for a day have 5 MB, EBU STL 8. The largest need 70 times their size in memory: TTML of cues with one letter.
MAX_BYTES = 16 << 20


@dataclass(frozen=True)
class SourceTranscript:
    """The supervisions of a transcript, and its problems."""

    supervisions: tuple[Supervision, ...]
    problems: tuple[TranscriptProblem, ...] = ()
    are_captions: bool = True
    """Captions are split for the screen, so neighbours may be joined; manifests and plain text are not."""
    remarks: tuple[str, ...] = ()
    """Content excluded or interpreted by design, without loss of spoken words."""
    warnings: tuple[str, ...] = ()
    """Corrections to its times that an operator should check."""
    label_second_s: float = 1.0
    """Duration of a second of its time code in real seconds: see `ParsedCaptions`."""
    programme_start_s: float = 0.0
    """The programme start in its header, already subtracted from its times."""


def read_transcript(uri: str, language: str) -> SourceTranscript:
    """Read the transcript at `uri`, which should be in `language` (BCP 47).

    Raises:
        InputRejected: transcript_unreadable, transcript_empty, too_large or not_found, with file and line.
    """
    size = storage.info(uri).size
    if size > MAX_BYTES:
        raise InputRejected(
            f"has {size} bytes, too many for a transcript",
            reason=Reason.TOO_LARGE,
            subject=uri,
            next_step="check that this file is a transcript",
        )
    try:
        transcript = _parse(uri, language)
    except (TranscriptError, ValueError) as error:
        raise InputRejected(
            str(error),
            reason=Reason.TRANSCRIPT_UNREADABLE,
            subject=uri,
            next_step="correct that line or export the transcript again, then scan the corpus again",
        ) from None
    if not any(supervision.text.strip() for supervision in transcript.supervisions):
        raise InputRejected(
            "contains no text",
            reason=Reason.TRANSCRIPT_EMPTY,
            subject=uri,
            next_step="replace it by the transcript, or remove the file",
        )
    return transcript


def _parse(uri: str, language: str) -> SourceTranscript:
    name = storage.name_of(uri).lower()
    if name.endswith(MANIFEST_EXTENSIONS):
        return _parse_manifest(uri, name)
    data = storage.read_bytes(uri)
    if parser := next((parse for extension, parse in PARSERS.items() if name.endswith(extension)), None):
        parsed = parser(data, language)
        return SourceTranscript(
            tuple(remove_display_effects(parsed.cues)),
            tuple(parsed.problems),
            remarks=parsed.remarks,
            label_second_s=parsed.label_second_s,
            programme_start_s=parsed.programme_start_s,
        )
    if name.endswith(SUBTITLE_EXTENSIONS):
        cues, problems = parse_subtitles(decode_text(data, language), is_webvtt=name.endswith(".vtt"))
    else:
        return SourceTranscript(
            (Supervision(start_s=0.0, end_s=None, text=decode_text(data, language).strip()),), are_captions=False
        )
    return SourceTranscript(tuple(unroll(cues)), tuple(problems))


def _parse_manifest(uri: str, name: str) -> SourceTranscript:
    supervisions: list[Supervision] = []
    problems = ProblemList()
    with storage.open_reader(uri) as file:
        for part in read_entries(file, name, max_bytes=MAX_BYTES):
            if isinstance(part, ManifestEntry):
                supervisions.append(part.supervision)
            else:
                problems.append(part)
    if problems and not supervisions:
        raise TranscriptError(problems[0])
    return SourceTranscript(tuple(supervisions), tuple(problems), are_captions=False)
