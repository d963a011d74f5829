"""publish: one batch's transcripts in every format, and the ledger that remembers them."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from tasks import kafka, storage
from tasks.contract import TRANSIENT_REASONS, InputRejected, Misconfigured, Outcome, Reason, StepResult
from tasks.contract.arguments import Publish
from tasks.night.events import events_of
from tasks.night.faults import own_fault
from tasks.night.pipeline import PUBLISH_VERSION
from tasks.night.ledger import Ledger, QuarantineRecord
from tasks.night.report_rows import published_row
from tasks.night.records import (
    PREPARED,
    PUBLISHED,
    Batch,
    DiarizedProgramme,
    Preparation,
    Publication,
    RecognisedProgramme,
    in_brief,
    turns_name,
    words_name,
)
from tasks.night.transcript_building import build
from tasks.publishing.transcripts import publish_transcript
from tasks.step import StepContext, StepOutput, code_version, load_result, output_uri
from tasks.storage.records import read_lines, read_one, to_lines
from tasks.transcripts.cues.profiles import PROFILES

log = structlog.get_logger()

VERSION = PUBLISH_VERSION


def inputs(arguments: Publish) -> dict[str, str]:
    return {
        "batch": storage.digest(arguments.batch),
        "prepared": load_result(arguments.prepared).content_digest,
        "recognised": load_result(arguments.recognised).content_digest,
        "diarized": load_result(arguments.diarized).content_digest if arguments.diarized else "",
    }


def run(arguments: Publish, context: StepContext) -> StepOutput:
    batch = read_one(Batch, arguments.batch)
    if batch.transcripts != arguments.transcripts:
        raise Misconfigured(
            f"the batch was planned for {batch.transcripts}",
            reason=Reason.INVALID_ARGUMENT,
            subject=arguments.transcripts,
            next_step="give plan-night and publish the same prefix",
        )
    prepared, recognised = load_result(arguments.prepared), load_result(arguments.recognised)
    publisher = Publisher(batch, Findings(arguments.recognised, recognised), speakers_found(arguments.diarized))
    rows: list[Publication] = []
    for preparation in read_lines(Preparation, output_uri(arguments.prepared, prepared, PREPARED)):
        rows.append(publisher.publish(preparation))
        context.progress("publish", len(rows), len(batch.programmes), "programmes", preparation.arrival.programme)
    context.publish(PUBLISHED, to_lines(rows))
    kafka.publish(*events_of(rows))
    heard = [r for r in rows if r.outcome.is_done and not r.is_copy]
    return StepOutput(
        counts=count(rows),
        metrics={
            "hours": round(sum(r.duration_s for r in heard) / 3600, 4),
            "rtfx": recognised.metrics.get("rtfx", 0.0),
            "cpu_s": prepared.seconds,
            "gpu_s": recognised.seconds + (publisher.diarized.result.seconds if publisher.diarized else 0.0),
        },
        labels={"model": batch.pipeline.model, "model_version": batch.pipeline.model_version},
        warnings=in_brief(
            [f"{r.programme}: {r.outcome} ({r.reason}): {r.detail}" for r in rows if not r.outcome.is_done]
        ),
        n_retryable=publisher.faults,
        external_uris=tuple(publisher.elsewhere),
    )


def count(rows: list[Publication]) -> dict[str, int]:
    """Programmes per outcome."""
    return {str(outcome): n for outcome in Outcome if (n := sum(r.outcome is outcome for r in rows))}


@dataclass(frozen=True)
class Findings:
    """What a step before this one found, by programme."""

    uri: str
    result: StepResult

    def find(self, name: str) -> str:
        """The URI of an output; empty if there is none of that name."""
        return output_uri(self.uri, self.result, name) if name in self.result.outputs else ""


def speakers_found(uri: str) -> Findings | None:
    """The diarization, if it did not fail."""
    return Findings(uri, load_result(uri)) if uri else None


def _row(preparation: Preparation) -> Publication:
    return Publication(
        programme=preparation.arrival.programme,
        media=preparation.arrival.uri,
        outcome=preparation.outcome,
        reason=preparation.reason,
        detail=preparation.detail,
        is_copy=preparation.is_copy,
        duration_s=round(preparation.duration_ms / 1000, 3),
    )


class Publisher:
    """Publishes the programmes of one batch, one after the other; a bad one costs only itself."""

    def __init__(self, batch: Batch, recognised: Findings, diarized: Findings | None) -> None:
        self._batch, self._recognised, self.diarized = batch, recognised, diarized
        self._ledger = Ledger(batch.transcripts, batch.pipeline)
        self._manifests: dict[str, str] = {}
        self.faults = 0
        self.elsewhere: list[str] = []
        """What stands among the transcripts for this batch."""

    def publish(self, preparation: Preparation) -> Publication:
        """The programme's transcript or quarantine record, and then its line in the ledger."""
        try:
            return self._publish(preparation)
        except Exception as error:
            detail = own_fault(error)
            log.exception("a programme could not be published", programme=preparation.arrival.programme)
            self.faults += 1
            return self._fail(preparation, detail)

    def _publish(self, preparation: Preparation) -> Publication:
        if not preparation.outcome.is_done:
            return self._leave(preparation)
        if preparation.is_copy:
            manifest = preparation.published or self._manifests.get(preparation.same_as, "")
            return self._enter(preparation, manifest) if manifest else self._fail(preparation, "as did its twin")
        recognised, diarized = self._words(preparation), self._speakers(preparation)
        if not recognised.outcome.is_done:
            return self._fail(preparation, f"not recognised: {recognised.detail}")
        transcript = build(preparation, recognised, self._batch.pipeline, code_version(), diarized)
        has_speakers = diarized is not None and diarized.outcome.is_done
        key = self._batch.pipeline.transcript_key(preparation.content, preparation.track, has_speakers)
        profile = PROFILES[self._batch.pipeline.cues]
        manifest = publish_transcript(transcript, preparation.arrival.programme, key, self._batch.transcripts, profile)
        return self._enter(preparation, manifest)

    def _fail(self, preparation: Preparation, detail: str) -> Publication:
        """A fault that came to light after the programme was prepared."""
        failed = {"outcome": Outcome.FAILED, "reason": Reason.INTERNAL_ERROR, "detail": detail}
        return self._leave(preparation.model_copy(update=failed))

    def _leave(self, preparation: Preparation) -> Publication:
        base = _row(preparation)
        record = QuarantineRecord(
            arrival=preparation.arrival,
            sha256=preparation.sha256,
            reason=preparation.reason or Reason.INTERNAL_ERROR,
            detail=preparation.detail,
        )
        if record.reason in TRANSIENT_REASONS:
            given_up = self._ledger.fail(record)
            return base.model_copy(update={"outcome": Outcome.QUARANTINED if given_up else Outcome.FAILED})
        self.elsewhere.append(self._ledger.quarantine(record))
        return base.model_copy(update={"outcome": Outcome.QUARANTINED})

    def _enter(self, preparation: Preparation, manifest_uri: str) -> Publication:
        try:
            found = published_row(manifest_uri, _row(preparation))
        except InputRejected as error:  # somebody moved or damaged it: no fault of the batch
            self.faults += 1
            return self._fail(preparation, f"its transcript cannot be read: {error}")
        self._manifests[preparation.arrival.arrival] = manifest_uri
        has_speakers = found.speakers is not None
        line = self._ledger.enter(preparation.arrival, preparation.content, manifest_uri, has_speakers)
        self.elsewhere += [manifest_uri, line]
        return found

    def _words(self, preparation: Preparation) -> RecognisedProgramme:
        uri = self._recognised.find(words_name(preparation.arrival.arrival))
        if not uri:
            raise InputRejected(
                f"nothing was recognised for {preparation.arrival.programme}",
                reason=Reason.CORRUPT,
                subject=self._recognised.uri,
                next_step="give the recognise result of this batch",
            )
        return read_one(RecognisedProgramme, uri)

    def _speakers(self, preparation: Preparation) -> DiarizedProgramme | None:
        uri = self.diarized.find(turns_name(preparation.arrival.arrival)) if self.diarized else ""
        return read_one(DiarizedProgramme, uri) if uri else None
