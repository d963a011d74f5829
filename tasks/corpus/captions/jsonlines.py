"""JSON Lines manifests: NeMo's (one utterance per line) and lhotse's (one cut per line).

NeMo: `{"audio_filepath": …, "offset": s, "duration": s, "text": …}`; `path` and `audio` are accepted as synonyms of
`audio_filepath`. Lhotse: MonoCut and MultiCut with their recording; mixed cuts combine several recordings and are
rejected.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from tasks.corpus.captions.problems import TranscriptProblem
from tasks.corpus.records import Supervision
from tasks.media.languages import language_tag

MANIFEST_EXTENSIONS = (".jsonl", ".jsonl.gz", ".ndjson")
MEDIA_FIELDS = ("audio_filepath", "path", "audio", "audio_path")
MAX_LINE_BYTES = 16 << 20
MAX_INVALID_LINES = 10_000
# Manifests shrink to a tenth or a fifth; gzip shrinks zeros to a thousandth. Small files may be more regular.
MAX_EXPANSION = 100
MAX_EXPANDED_BYTES = 16 << 20
READ_BYTES = 1 << 20
GZIP_WBITS = 31  # zlib: gzip header, largest window


@dataclass(frozen=True)
class ManifestEntry:
    """One supervision with its medium, as named in the manifest."""

    media: str
    supervision: Supervision


def read_entries(
    file: BinaryIO, name: str, max_bytes: int | None = None
) -> Iterator[ManifestEntry | TranscriptProblem]:
    """Yield the manifest's supervisions, and a problem for each invalid line.

    `max_bytes`: the most that a compressed manifest may expand to; by default in proportion to its size.

    A file that cannot be read to its end gives a final problem; so does one with `MAX_INVALID_LINES`.
    """
    number = n_invalid = 0
    try:
        for number, line in enumerate(_lines(_blocks(file, name, max_bytes)), start=1):
            if not line.strip():
                continue
            found = _read(number, line)
            yield from found
            n_invalid += any(isinstance(part, TranscriptProblem) for part in found)
            if n_invalid == MAX_INVALID_LINES:
                raise ValueError(f"{n_invalid} lines are invalid")
    except (zlib.error, EOFError, ValueError) as error:
        yield TranscriptProblem(number + 1, f"cannot be read further: {error}")


def _read(number: int, line: bytes) -> list[ManifestEntry | TranscriptProblem]:
    try:
        record = json.loads(line)
        if rb"\ud" in line.lower():
            json.dumps(record, ensure_ascii=False).encode()  # raises ValueError for half a character ("\ud800")
        return list(_entries(record))
    except (ValueError, LookupError, ArithmeticError, TypeError, AttributeError, RecursionError) as error:
        quoted = str(error)[:80].encode(errors="replace").decode()
        return [TranscriptProblem(number, f"neither a NeMo entry nor a lhotse cut: {type(error).__name__} {quoted}")]


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


def _blocks(file: BinaryIO, name: str, max_bytes: int | None) -> Iterator[bytes]:
    return _decompressed(file, max_bytes) if name.endswith(".gz") else iter(lambda: file.read(READ_BYTES), b"")


def _lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield lines of bounded length."""
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        yield from lines
        if len(rest) > MAX_LINE_BYTES:
            raise ValueError(f"a line of more than {MAX_LINE_BYTES} bytes")
    if rest:
        yield rest


def _decompressed(file: BinaryIO, max_bytes: int | None) -> Iterator[bytes]:
    """Yield the contents of a gzip of one or more members, in blocks of bounded size: a small one may hold terabytes.

    Raises ValueError where it expands to more than `max_bytes`; without it, beyond `MAX_EXPANSION`.
    """
    decompressor = zlib.decompressobj(wbits=GZIP_WBITS)
    n_read = n_expanded = 0
    while pending := file.read(READ_BYTES):
        n_read += len(pending)
        while pending:
            if decompressor.eof:
                decompressor = zlib.decompressobj(wbits=GZIP_WBITS)
            block = decompressor.decompress(pending, READ_BYTES)
            n_expanded += len(block)
            if n_expanded > (max_bytes or max(MAX_EXPANDED_BYTES, MAX_EXPANSION * n_read)):
                raise ValueError(f"the gzip expands to more than {n_expanded >> 20} MiB, too much for a manifest")
            yield block
            pending = decompressor.unused_data if decompressor.eof else decompressor.unconsumed_tail
    if not decompressor.eof:
        raise EOFError("the gzip is truncated")
