"""JSON Lines manifests: NeMo's (one utterance per line) and lhotse's (one cut per line).

NeMo: `{"audio_filepath": …, "offset": s, "duration": s, "text": …}`; `path` and `audio` are accepted as synonyms of
`audio_filepath`. Lhotse: MonoCut and MultiCut with their recording; mixed cuts combine several recordings and are
rejected.
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
GZIP_WBITS = 31  # zlib: gzip header, largest window


@dataclass(frozen=True)
class ManifestEntry:
    """One supervision with its medium, as named in the manifest."""

    media: str
    supervision: Supervision


def read_entries(file: BinaryIO, name: str) -> Iterator[ManifestEntry | TranscriptProblem]:
    """Yield the manifest's supervisions, and a problem for each invalid line.

    A file that cannot be read to its end gives a final problem.
    """
    number = 0
    try:
        for number, line in enumerate(_lines(file, compressed=name.endswith(".gz")), start=1):
            if line.strip():
                yield from _read(number, line)
    except (zlib.error, EOFError, ValueError) as error:
        yield TranscriptProblem(number + 1, f"cannot be read further: {error}")


def _read(number: int, line: bytes) -> list[ManifestEntry | TranscriptProblem]:
    try:
        return list(_entries(json.loads(line)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return [
            TranscriptProblem(
                number, f"neither a NeMo entry nor a lhotse cut: {type(error).__name__} {str(error)[:80]}"
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
    is_whole_file = "offset" not in record
    yield ManifestEntry(
        str(record[field]),
        Supervision(
            start_s=start_s,
            # Without an offset the entry covers the whole file, whose true end is known only after decoding.
            end_s=None if is_whole_file or duration_s is None else start_s + float(duration_s),
            text=str(record["text"] or ""),
            speaker=_speaker(record.get("speaker")),
            language=_language(record.get("lang") or record.get("language")),
        ),
    )


def _cut(cut: dict[str, Any]) -> Iterator[ManifestEntry]:
    if cut.get("type") in ("MixedCut", "PaddingCut"):
        raise ValueError(f"a {cut['type']} is not a cut of a single recording")
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
    """The tag for a tag or a language name, which lhotse's recipes use ("English"). Empty for anything else."""
    return (language_tag(value) if isinstance(value, str) else None) or ""


def _lines(file: BinaryIO, compressed: bool) -> Iterator[bytes]:
    """Yield lines of bounded length, decompressed as a stream: a small gzip may hold terabytes."""
    rest = b""
    for block in _decompressed(file) if compressed else iter(lambda: file.read(READ_BYTES), b""):
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
        if len(rest) > MAX_LINE_BYTES:
            raise ValueError(f"a line of more than {MAX_LINE_BYTES} bytes")
    if rest:
        yield rest


def _decompressed(file: BinaryIO) -> Iterator[bytes]:
    """Yield the contents of a gzip of one or more members, in blocks of bounded size."""
    decompressor = zlib.decompressobj(wbits=GZIP_WBITS)
    while pending := file.read(READ_BYTES):
        while pending:
            if decompressor.eof:
                decompressor = zlib.decompressobj(wbits=GZIP_WBITS)
            yield decompressor.decompress(pending, READ_BYTES)
            pending = decompressor.unused_data if decompressor.eof else decompressor.unconsumed_tail
    if not decompressor.eof:
        raise EOFError("the gzip is truncated")
