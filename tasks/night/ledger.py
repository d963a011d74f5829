"""The ledger: what earlier nights did with each file, kept beside the transcripts so that planning reads no media.

    <transcripts>/_ledger/<pipeline>/arrivals/<programme>-<arrival>.json    this version of the file was transcribed by
                                                                            this pipeline
    <transcripts>/_ledger/<pipeline>/contents/<digest>.json    these bytes (and their list of words) were transcribed,
                                                               under any file name
    <transcripts>/_ledger/<pipeline>/failures/<n>-<arrival>.json    it failed for the n-th time
    <transcripts>/_quarantine/<version>/<programme>-<arrival>.json    this file cannot be decoded

An arrival is a file with its size and etag, so a changed file is a new one. To have a file tried again, delete its
quarantine record; to have it transcribed again, its record in `arrivals` and its transcript. Deleting a transcript
alone has no effect: planning does not list transcripts (a million objects for a hundred thousand programmes), so that
old ones can be removed without being made again. Each record is written once, by the first writer; but a transcript
with speakers replaces one without.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tasks import storage
from tasks.contract import Frozen, InputRejected, Reason
from tasks.night.pipeline import PREPARE_VERSION, Pipeline
from tasks.night.records import Arrival
from tasks.storage.records import read_one
from tasks.storage.uris import quoted_name

ARRIVAL_DIGITS = 16
MAX_FAILURES = 3  # nights in which a file may fail before it is put into quarantine


class LedgerEntry(Frozen):
    """The record of one transcript."""

    arrival: Arrival
    manifest: str
    """URI of the transcript's manifest."""


class QuarantineRecord(Frozen):
    """Why a file is in quarantine."""

    arrival: Arrival
    sha256: str
    reason: Reason
    detail: str
    next_step: str = "replace the file, or delete this record to have it tried again"


@dataclass(frozen=True)
class Ledger:
    """The ledger of one pipeline under a prefix of transcripts."""

    transcripts: str
    pipeline: Pipeline

    @property
    def _prefix(self) -> str:
        return storage.join(self.transcripts, "_ledger", self.pipeline.digest[:16])

    @property
    def _quarantine_prefix(self) -> str:
        return storage.join(self.transcripts, "_quarantine", f"v{PREPARE_VERSION}")

    def transcribed(self) -> set[str]:
        """Ids of the arrivals that this pipeline has transcribed."""
        return {_arrival_id(o.uri) for o in storage.list_objects(storage.join(self._prefix, "arrivals"))}

    def quarantined(self) -> set[str]:
        """Ids of the arrivals in quarantine, for any model."""
        return {_arrival_id(o.uri) for o in storage.list_objects(self._quarantine_prefix)}

    def failures(self) -> Counter[str]:
        """Number of nights in which each arrival failed, by its id."""
        return Counter(_arrival_id(o.uri) for o in storage.list_objects(storage.join(self._prefix, "failures")))

    def manifest_of_content(self, content: str) -> str:
        """URI of the manifest of this content's transcript, under any name; empty if there is none."""
        return _recorded_manifest(self._content_uri(content))

    def manifest_of_arrival(self, arrival: Arrival) -> str:
        """URI of the manifest of this arrival's transcript; empty if there is none."""
        return _recorded_manifest(self._arrival_uri(arrival))

    def quarantine_record(self, arrival: Arrival) -> QuarantineRecord | None:
        """Return why a file is in quarantine; None if it is not."""
        try:
            return read_one(QuarantineRecord, self._quarantine_uri(arrival))
        except InputRejected:
            return None

    def record_transcript(self, arrival: Arrival, content: str, manifest: str, has_speakers: bool) -> str:
        """Record a published transcript, whose manifest must exist. Return the URI of the arrival's record."""
        entry = LedgerEntry(arrival=arrival, manifest=manifest).model_dump_json().encode() + b"\n"
        for uri in (self._content_uri(content), self._arrival_uri(arrival)):
            if has_speakers:
                storage.write(uri, entry)
            else:
                _write_once(uri, entry)
        return self._arrival_uri(arrival)

    def record_failure(self, record: QuarantineRecord) -> bool:
        """Record a transient failure. Return whether it was the last one allowed: then the file is in quarantine."""
        is_last = record.arrival.failures + 1 >= MAX_FAILURES
        if is_last:
            self.quarantine(record)
        else:
            self._count_failure(record)
        return is_last

    def quarantine(self, record: QuarantineRecord) -> str:
        """Put a file into quarantine. Return the record's URI.

        Counted as a failure too: when the record is deleted, the next night's batch has another key than this one's.
        """
        self._count_failure(record)
        uri = self._quarantine_uri(record.arrival)
        _write_once(uri, record.model_dump_json().encode() + b"\n")
        return uri

    def _count_failure(self, record: QuarantineRecord) -> None:
        name = f"{record.arrival.failures + 1}-{record.arrival.id}.json"
        _write_once(storage.join(self._prefix, "failures", name), record.model_dump_json().encode() + b"\n")

    def _content_uri(self, content: str) -> str:
        return storage.join(self._prefix, "contents", f"{content}.json")

    def _arrival_uri(self, arrival: Arrival) -> str:
        return storage.join(self._prefix, "arrivals", self._name(arrival))

    def _quarantine_uri(self, arrival: Arrival) -> str:
        return storage.join(self._quarantine_prefix, self._name(arrival))

    def _name(self, arrival: Arrival) -> str:
        return f"{quoted_name(arrival.programme, self.transcripts)}-{arrival.id}.json"


def _arrival_id(uri: str) -> str:
    return uri.removesuffix(".json")[-ARRIVAL_DIGITS:]


def _recorded_manifest(uri: str) -> str:
    """Return the manifest that a record names; empty unless both exist."""
    try:
        manifest = read_one(LedgerEntry, uri).manifest
    except InputRejected:
        return ""
    return manifest if storage.exists(manifest) else ""


def _write_once(uri: str, data: bytes) -> None:
    try:
        storage.write(uri, data, create=True)
    except storage.AlreadyExists:
        return
