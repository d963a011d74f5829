"""What was done in earlier nights, kept beside the transcripts so that planning reads no media.

    <transcripts>/_ledger/<pipeline>/arrivals/<programme>-<arrival>.json    this file, as it is, was transcribed by
                                                                            this pipeline
    <transcripts>/_ledger/<pipeline>/contents/<digest>.json    these bytes (and their list of words) were, whatever the
                                                               file is called
    <transcripts>/_ledger/<pipeline>/failures/<n>-<arrival>.json    it failed for the n-th time
    <transcripts>/_quarantine/<version>/<programme>-<arrival>.json    this file cannot be decoded

An arrival names a file with its size and etag, so a changed file is new. To have a file tried again, delete its
record; to have it transcribed again, its record in `arrivals` and its transcript. A transcript that goes alone is not
missed: planning looks at no transcripts (of a hundred thousand programmes they are a million objects), and whoever
takes old ones away does not have them all made again. Each record is written once, by whoever comes first; but a
transcript with speakers takes the place of one without.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tasks import storage
from tasks.contract import Frozen, InputRejected, Reason
from tasks.night.identity import PREPARE_VERSION, Pipeline
from tasks.night.records import Arrival
from tasks.storage.records import read_one
from tasks.storage.uris import quoted_name

ARRIVAL_DIGITS = 16
MOST_FAILURES = 3  # nights that a file may fail in before it is left alone


class Entry(Frozen):
    """One line of the ledger."""

    arrival: Arrival
    manifest: str
    """URI of the transcript's manifest."""


class QuarantineRecord(Frozen):
    """Why a file is left alone."""

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
    def _quarantine(self) -> str:
        return storage.join(self.transcripts, "_quarantine", f"v{PREPARE_VERSION}")

    def transcribed(self) -> set[str]:
        """Arrivals that this pipeline has transcribed."""
        return {_last_digits(o.uri) for o in storage.list_objects(storage.join(self._prefix, "arrivals"))}

    def quarantined(self) -> set[str]:
        """Arrivals that are left alone, whichever the model."""
        return {_last_digits(o.uri) for o in storage.list_objects(self._quarantine)}

    def failures(self) -> Counter[str]:
        """How many nights each arrival has failed in."""
        return Counter(_last_digits(o.uri) for o in storage.list_objects(storage.join(self._prefix, "failures")))

    def manifest_of(self, content: str) -> str:
        """URI of the manifest of this content's transcript, under whatever name; empty if there is none."""
        return _manifest_in(self._content(content))

    def manifest_for(self, arrival: Arrival) -> str:
        """The same for a file as it is."""
        return _manifest_in(self._arrival(arrival))

    def record_of(self, arrival: Arrival) -> QuarantineRecord | None:
        """Why a file is left alone, if it is."""
        try:
            return read_one(QuarantineRecord, self._record(arrival))
        except InputRejected:
            return None

    def enter(self, arrival: Arrival, content: str, manifest: str, has_speakers: bool) -> str:
        """Remember that a transcript stands. Its manifest must be there already. Returns the arrival's URI."""
        entry = Entry(arrival=arrival, manifest=manifest).model_dump_json().encode() + b"\n"
        for uri in (self._content(content), self._arrival(arrival)):
            if has_speakers:
                storage.write(uri, entry)
            else:
                _write_once(uri, entry)
        return self._arrival(arrival)

    def fail(self, record: QuarantineRecord) -> bool:
        """Remember a fault of the moment. Returns whether it was one too many: the file is left alone then."""
        is_last = record.arrival.failures + 1 >= MOST_FAILURES
        if is_last:
            self.quarantine(record)
        else:
            self._count_failure(record)
        return is_last

    def quarantine(self, record: QuarantineRecord) -> str:
        """Leave a file alone from now on. Returns the record's URI.

        Counted as a failure too: when the record is deleted, the next night is no repetition of this one.
        """
        self._count_failure(record)
        uri = self._record(record.arrival)
        _write_once(uri, record.model_dump_json().encode() + b"\n")
        return uri

    def _count_failure(self, record: QuarantineRecord) -> None:
        name = f"{record.arrival.failures + 1}-{record.arrival.arrival}.json"
        _write_once(storage.join(self._prefix, "failures", name), record.model_dump_json().encode() + b"\n")

    def _content(self, content: str) -> str:
        return storage.join(self._prefix, "contents", f"{content}.json")

    def _arrival(self, arrival: Arrival) -> str:
        return storage.join(self._prefix, "arrivals", self._name(arrival))

    def _record(self, arrival: Arrival) -> str:
        return storage.join(self._quarantine, self._name(arrival))

    def _name(self, arrival: Arrival) -> str:
        return f"{quoted_name(arrival.programme, self.transcripts)}-{arrival.arrival}.json"


def _last_digits(uri: str) -> str:
    return uri.removesuffix(".json")[-ARRIVAL_DIGITS:]


def _manifest_in(uri: str) -> str:
    """The manifest that an entry names, if both are there."""
    try:
        manifest = read_one(Entry, uri).manifest
    except InputRejected:
        return ""
    return manifest if storage.exists(manifest) else ""


def _write_once(uri: str, data: bytes) -> None:
    try:
        storage.write(uri, data, create=True)
    except storage.AlreadyExists:
        return
