"""JSON Lines manifests: NeMo's shape (one utterance a line) and lhotse's cuts (one recording's stretch a line).

NeMo: `{"audio_filepath": …, "offset": s, "duration": s, "text": …}`; `path` and `audio` are read as names of the
same field. Lhotse: MonoCut and MultiCut with their recording; mixed cuts join recordings and are no stretch of one.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from tasks.corpus.captions.problems import TranscriptProblem
from tasks.corpus.records import Supervision
from tasks.media.languages import language_tag

MANIFEST_EXTENSIONS = (".jsonl", ".jsonl.gz", ".ndjson")
MEDIA_FIELDS = ("audio_filepath", "path", "audio", "audio_path")
MAX_LINE_BYTES = 16 << 20
READ_BYTES = 1 << 20
GZIP = 31  # zlib's number for a gzip header and the largest window


@dataclass(frozen=True)
class ManifestEntry:
    """One supervision with the medium that it speaks of, as the manifest writes it."""

    media: str
    supervision: Supervision


def read_entries(file: BinaryIO, name: str) -> Iterator[ManifestEntry | TranscriptProblem]:
    """The manifest's supervisions one at a time, and the lines that hold none.

    A file that cannot be read on gives a last problem.
    """
    number = 0
    try:
        for number, line in enumerate(_lines(file, compressed=name.endswith(".gz")), start=1):
            if line.strip():
                yield from _read(number, line)
    except (zlib.error, EOFError, ValueError) as error:
        yield TranscriptProblem(number + 1, f"cannot be read on: {error}")


def _read(number: int, line: bytes) -> list[ManifestEntry | TranscriptProblem]:
    try:
        return list(_entries(json.loads(line)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return [
            TranscriptProblem(
                number, f"neither NeMo's shape nor a lhotse cut: {type(error).__name__} {str(error)[:80]}"
            )
        ]


def _entries(record: dict[str, Any]) -> Iterator[ManifestEntry]:
    if "supervisions" in record:
        yield from _cut(record)
        return
    field = next((field for field in MEDIA_FIELDS if field in record), MEDIA_FIELDS[0])
    start_s, duration_s = float(record.get("offset") or 0.0), record.get("duration")
    if duration_s is not None and float(duration_s) <= 0:
        raise ValueError(f"a duration of {duration_s} s")
    whole = "offset" not in record
    yield ManifestEntry(
        str(record[field]),
        Supervision(
            start_s=start_s,
            # Without an offset the line speaks of the whole file, whose true end only the decode knows.
            end_s=None if whole or duration_s is None else start_s + float(duration_s),
            text=str(record["text"] or ""),
            speaker=_speaker(record.get("speaker")),
            language=_language(record.get("lang") or record.get("language")),
        ),
    )


def _cut(cut: dict[str, Any]) -> Iterator[ManifestEntry]:
    if cut.get("type") in ("MixedCut", "PaddingCut"):
        raise ValueError(f"a {cut['type']} is no stretch of one recording")
    (media, *_) = [source["source"] for source in cut["recording"]["sources"] if source["type"] == "file"]
    for supervision in cut["supervisions"]:
        start_s = float(cut["start"]) + float(supervision["start"])
        yield ManifestEntry(
            str(media),
            Supervision(
                start_s=round(start_s, 3),
                end_s=round(start_s + float(supervision["duration"]), 3),
                text=str(supervision.get("text") or ""),
                speaker=_speaker(supervision.get("speaker")),
                language=_language(supervision.get("language")),
            ),
        )


def _speaker(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _language(value: Any) -> str:
    """A tag, or one for a name as lhotse's recipes write it ("English"). Empty for what is neither."""
    return (language_tag(value) if isinstance(value, str) else None) or ""


def _lines(file: BinaryIO, compressed: bool) -> Iterator[bytes]:
    """Lines of bounded length, unpacked as they come: a small gzip may hold terabytes."""
    rest = b""
    for block in _unpacked(file) if compressed else iter(lambda: file.read(READ_BYTES), b""):
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
        if len(rest) > MAX_LINE_BYTES:
            raise ValueError(f"a line of more than {MAX_LINE_BYTES} bytes")
    if rest:
        yield rest


def _unpacked(file: BinaryIO) -> Iterator[bytes]:
    """The contents of a gzip of one or more members, in blocks of bounded size."""
    unpacker = zlib.decompressobj(wbits=GZIP)
    while pending := file.read(READ_BYTES):
        while pending:
            if unpacker.eof:
                unpacker = zlib.decompressobj(wbits=GZIP)
            yield unpacker.decompress(pending, READ_BYTES)
            pending = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
    if not unpacker.eof:
        raise EOFError("the gzip ends too early")
