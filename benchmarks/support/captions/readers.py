"""What airscript, pysubs2 and ttconv make of caption files."""

from __future__ import annotations

import io
import logging
import re
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pysubs2

from benchmarks.support.captions import sentences
from benchmarks.support.captions.files import CaptionFile
from benchmarks.support.captions.scoring import Taught
from tasks import storage
from tasks.contract import STEPS, InputRejected
from tasks.contract.arguments import PrepareCorpus, ScanCorpus
from tasks.corpus.captions import SourceTranscript, read_transcript
from tasks.corpus.records import Programme, read_programmes
from tasks.corpus.steps.prepare import cut_rules
from tasks.corpus.utterances.cutting import cut
from tasks.corpus.utterances.start_timecode import from_first_frame
from tasks.media.container.probe import MediaProbe
from tasks.progress import no_progress
from tasks.step import run_step

PYSUBS2_FORMATS = {".srt": "srt", ".vtt": "vtt", **dict.fromkeys((".ttml", ".dfxp", ".itt", ".xml"), "ttml")}
TTCONV_FORMATS = (".srt", ".vtt", ".ttml", ".dfxp", ".itt", ".xml", ".stl", ".scc")


def write_corpus(files: Sequence[CaptionFile], folder: Path) -> None:
    """Write the files beside stubs of their media."""
    for file in files:
        for name, data in ((file.name, file.data), (f"{file.language}/{file.stem}.mp4", b"stub"), *file.decoys):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def pair(folder: Path) -> dict[str, Programme]:
    """The programmes that scan-corpus finds, by language and stem of the medium."""
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        for corpus in sorted(folder.iterdir()):
            output = Path(scratch) / corpus.name
            arguments = ScanCorpus(output=output.as_uri(), media=corpus.as_uri(), language=corpus.name, shards=1)
            receipt = run_step(STEPS["scan-corpus"], arguments, no_progress)
            for item in receipt.items:
                for programme in read_programmes(item.uri):
                    stem = unquote(storage.name_of(programme.media)).removesuffix(".mp4")
                    found[f"{corpus.name}/{stem}"] = programme
    return found


@dataclass(frozen=True)
class Unread:
    """A file that a reader does not read, and why."""

    reason: str


Reading = list[Taught] | Unread


def read_with_airscript(file: CaptionFile, programme: Programme | None) -> Reading:
    """Read and cut a file as prepare-corpus does, by its default rules."""
    if programme is None:
        return Unread("is not paired with its medium")
    rules = cut_rules(PrepareCorpus(output="", shard="", language=file.language))
    try:
        if programme.supervisions:
            transcript = SourceTranscript(programme.supervisions, are_captions=False)
        else:
            transcript = read_transcript(programme.transcript, file.language)
    except InputRejected as rejected:
        return Unread(str(rejected))
    transcript = from_first_frame(transcript, _probe(file))
    utterances, _ = cut(transcript.supervisions, rules, join=transcript.are_captions, problems=transcript.problems)
    return [
        Taught(u.start_ms, u.end_ms or file.duration_ms, tuple(_plain(word) for word in u.text.split()))
        for u in utterances
    ]


def _plain(word: str) -> str:
    return word.strip(".,?")


def _probe(file: CaptionFile) -> MediaProbe:
    return MediaProbe(
        container="mp4",
        n_bytes=0,
        tracks=(),
        n_video_tracks=1,
        title="",
        starts_at_s=0.0,
        header_duration_s=file.duration_ms / 1000,
        duration_is_estimate=False,
        start_timecode=file.start_timecode,
        frame_rate=float(file.frame_rate.per_s),
    )


def read_with_pysubs2(file: CaptionFile, path: Path) -> Reading:
    """Load a file with pysubs2; each event is an utterance."""
    if file.format not in PYSUBS2_FORMATS:
        return Unread("has no reader")
    try:
        events = pysubs2.load(str(path), file.encoding, PYSUBS2_FORMATS[file.format]).events
    except Exception as error:  # of any kind: what counts is that nothing comes of the file
        return Unread(f"{type(error).__name__}: {error}")
    return _from_first_frame(file, [(event.start, event.end, event.plaintext) for event in events])


def read_with_ttconv(file: CaptionFile, path: Path) -> Reading:
    """Convert a file to SubRip with ttconv; each of its cues is an utterance."""
    if file.format not in TTCONV_FORMATS:
        return Unread("has no reader")
    from ttconv.srt import writer

    logging.getLogger("ttconv").setLevel(logging.CRITICAL)  # it warns of every cue
    try:
        document = _ttconv_document(file, path)
        if document is None:
            return Unread("is not read")  # why is in the log
        written = writer.from_model(document)
    except Exception as error:  # of any kind: what counts is that nothing comes of the file
        return Unread(f"{type(error).__name__}: {error}")
    cues = [(_ms(match, 1), _ms(match, 5), _TAG.sub("", match[9])) for match in _CUE.finditer(written + "\n\n")]
    return _from_first_frame(file, cues)


_CUE = re.compile(r"(\d+):(\d\d):(\d\d),(\d{3}) --> (\d+):(\d\d):(\d\d),(\d{3})\n(.*?)\n\n", re.DOTALL)
_TAG = re.compile(r"</?[a-z][^>]*>")


def _ms(match: re.Match[str], group: int) -> int:
    hours, minutes, seconds, ms = (int(match[n]) for n in range(group, group + 4))
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + ms


def _ttconv_document(file: CaptionFile, path: Path) -> Any:
    from ttconv.imsc import reader as imsc
    from ttconv.scc import reader as scc
    from ttconv.srt import reader as srt
    from ttconv.stl import reader as stl
    from ttconv.vtt import reader as vtt

    match file.format:
        case ".srt":
            return srt.to_model(io.StringIO(path.read_text(file.encoding)))
        case ".vtt":
            return vtt.to_model(io.StringIO(path.read_text(file.encoding)))
        case ".stl":
            return stl.to_model(io.BytesIO(path.read_bytes()))
        case ".scc":
            return scc.to_model(path.read_text())
    return imsc.to_model(ET.parse(path))


def _from_first_frame(file: CaptionFile, cues: Sequence[tuple[int, int, str]]) -> list[Taught]:
    """Cues as utterances in media time: the peers cannot know the medium's clock, so it is subtracted for them."""
    is_clock = cues and min(start for start, _, _ in cues) >= file.origin_ms
    by_ms = file.origin_ms if is_clock else 0
    return [
        Taught(start - by_ms, end - by_ms, tuple(sentences.spoken_words(text, file.language)))
        for start, end, text in cues
    ]
