"""publish: one batch's transcripts in every format, recorded in the ledger."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import structlog

from tasks import kafka, storage
from tasks.contract import TRANSIENT_REASONS, InputRejected, Misconfigured, Outcome, Reason, StepResult
from tasks.contract.arguments import Publish
from tasks.night.events import outcome_events
from tasks.night.faults import describe_or_reraise
from tasks.night.ledger import Ledger, QuarantineRecord
from tasks.night.pipeline import PUBLISH_VERSION
from tasks.night.records import (
    PREPARED,
    PUBLISHED,
    Batch,
    DiarizedProgramme,
    Preparation,
    RecognisedProgramme,
    truncate,
    turns_name,
    words_name,
)
from tasks.night.report_rows import complete_row
from tasks.night.sound import with_sounds, write_sound
from tasks.night.transcript_building import build_transcript
from tasks.publishing.sound import Sound
from tasks.publishing.transcripts import publish_transcript
from tasks.reporting.records import Publication
from tasks.step import StepContext, StepOutput, code_version, load_result, output_uri
from tasks.storage.records import read_lines, read_one, to_lines
from tasks.transcripts.cues.profiles import PROFILES

log = structlog.get_logger()

VERSION = PUBLISH_VERSION
DIARIZATION_FAILED = "failed"  # in place of diarize's result


def inputs(arguments: Publish) -> dict[str, str]:
    return {
        "batch": storage.digest(arguments.batch),
        "prepared": load_result(arguments.prepared).content_digest,
        "recognised": load_result(arguments.recognised).content_digest,
        "diarized": _diarization_digest(arguments.diarized),
    }


def _diarization_digest(uri: str) -> str:
    return uri if uri in ("", DIARIZATION_FAILED) else load_result(uri).content_digest


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
    publisher = Publisher(
        batch,
        UpstreamResult(arguments.prepared, prepared),
        UpstreamResult(arguments.recognised, recognised),
        arguments.diarized,
        context.scratch,
    )
    rows: list[Publication] = []
    preparations = read_lines(Preparation, output_uri(arguments.prepared, prepared, PREPARED))
    for preparation, sound in with_sounds(preparations, publisher.make_sound):
        rows.append(publisher.publish(preparation, sound))
        context.progress("publish", len(rows), len(batch.programmes), "programmes", preparation.arrival.programme)
    context.publish(PUBLISHED, to_lines(rows))
    kafka.publish(*outcome_events(rows))
    transcribed = [r for r in rows if r.outcome.is_done and not r.is_copy]
    return StepOutput(
        counts=count_outcomes(rows),
        metrics={
            "hours": round(sum(r.duration_s for r in transcribed) / 3600, 4),
            "rtfx": recognised.metrics.get("rtfx", 0.0),
            "cpu_s": prepared.seconds,
            "gpu_s": recognised.seconds + (publisher.diarized.result.seconds if publisher.diarized else 0.0),
        },
        labels={"model": batch.pipeline.model, "model_version": batch.pipeline.model_version},
        warnings=truncate(
            [f"{r.programme}: {r.outcome} ({r.reason}): {r.detail}" for r in rows if not r.outcome.is_done]
        ),
        n_retryable=publisher.n_retryable,
        external_uris=tuple(publisher.external_uris),
    )


def count_outcomes(rows: list[Publication]) -> dict[str, int]:
    """Programmes per outcome."""
    return {str(outcome): n for outcome in Outcome if (n := sum(r.outcome is outcome for r in rows))}


@dataclass(frozen=True)
class UpstreamResult:
    """The result of an upstream step, with an output for each programme."""

    uri: str
    result: StepResult

    def find(self, name: str) -> str:
        """Return the URI of an output; empty if there is none with this name."""
        return output_uri(self.uri, self.result, name) if name in self.result.outputs else ""


def _make_row(preparation: Preparation) -> Publication:
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
    """Publishes the programmes of one batch one by one. An error in one does not affect the others."""

    def __init__(
        self, batch: Batch, prepared: UpstreamResult, recognised: UpstreamResult, diarized: str, scratch: Path
    ) -> None:
        """`diarized`: see `Publish.diarized`."""
        self._batch, self._prepared, self._recognised, self._scratch = batch, prepared, recognised, scratch
        self._has_diarization_failed = diarized == DIARIZATION_FAILED
        has_result = diarized and not self._has_diarization_failed
        self.diarized = UpstreamResult(diarized, load_result(diarized)) if has_result else None
        self._ledger = Ledger(batch.transcripts, batch.pipeline)
        self._manifests: dict[str, str] = {}
        self.n_retryable = 0
        self.external_uris: list[str] = []
        """Manifests and ledger records of this batch."""

    def make_sound(self, preparation: Preparation) -> Sound | None:
        """Make the programme's sound; None without audio."""
        audio = self._prepared.find(preparation.audio)
        if not (audio and preparation.duration_ms):
            return None
        name, starts_ms = preparation.arrival.id, preparation.channel_starts_ms
        return write_sound(audio, starts_ms, preparation.duration_ms, self._scratch, name)

    def publish(self, preparation: Preparation, sound: Future[Sound | None]) -> Publication:
        """Publish the programme's transcript or quarantine record, then its ledger record."""
        try:
            return self._publish(preparation, sound)
        except Exception as error:
            detail = describe_or_reraise(error)
            log.exception("a programme could not be published", programme=preparation.arrival.programme)
            self.n_retryable += 1
            return self._fail(preparation, detail)

    def _publish(self, preparation: Preparation, sound: Future[Sound | None]) -> Publication:
        if not preparation.outcome.is_done:
            return self._record_rejection(preparation)
        if preparation.is_copy:
            manifest = preparation.published or self._manifests.get(preparation.same_as, "")
            if not manifest:
                return self._fail(preparation, "the file of which it is a copy failed")
            return self._record_transcript(preparation, manifest)
        recognised, diarized = self._read_words(preparation), self._read_turns(preparation)
        if not recognised.outcome.is_done:
            return self._fail(preparation, f"not recognised: {recognised.detail}")
        transcript = build_transcript(preparation, recognised, self._batch.pipeline, code_version(), diarized)
        has_speakers = diarized is not None and diarized.outcome.is_done
        key = self._batch.pipeline.transcript_key(preparation.content, preparation.track, has_speakers)
        profile = PROFILES[self._batch.pipeline.cues]
        programme, transcripts = preparation.arrival.programme, self._batch.transcripts
        manifest = publish_transcript(transcript, programme, key, transcripts, profile, sound.result())
        return self._record_transcript(preparation, manifest)

    def _fail(self, preparation: Preparation, detail: str) -> Publication:
        """Record a failure after the programme was prepared."""
        failed = {"outcome": Outcome.FAILED, "reason": Reason.INTERNAL_ERROR, "detail": detail}
        return self._record_rejection(preparation.model_copy(update=failed))

    def _record_rejection(self, preparation: Preparation) -> Publication:
        base = _make_row(preparation)
        record = QuarantineRecord(
            arrival=preparation.arrival,
            sha256=preparation.sha256,
            reason=preparation.reason or Reason.INTERNAL_ERROR,
            detail=preparation.detail,
        )
        if record.reason in TRANSIENT_REASONS:
            is_quarantined = self._ledger.record_failure(record)
            return base.model_copy(update={"outcome": Outcome.QUARANTINED if is_quarantined else Outcome.FAILED})
        self.external_uris.append(self._ledger.quarantine(record))
        return base.model_copy(update={"outcome": Outcome.QUARANTINED})

    def _record_transcript(self, preparation: Preparation, manifest_uri: str) -> Publication:
        try:
            row = complete_row(manifest_uri, _make_row(preparation))
        except InputRejected as error:  # the transcript was moved or damaged since; the batch is fine
            self.n_retryable += 1
            return self._fail(preparation, f"its transcript cannot be read: {error}")
        self._manifests[preparation.arrival.id] = manifest_uri
        record_uri = self._ledger.record_transcript(
            preparation.arrival, preparation.content, manifest_uri, has_speakers=row.speakers is not None
        )
        self.external_uris += [manifest_uri, record_uri]
        return row

    def _read_words(self, preparation: Preparation) -> RecognisedProgramme:
        uri = self._recognised.find(words_name(preparation.arrival.id))
        if not uri:
            raise InputRejected(
                f"no recognition of {preparation.arrival.programme}",
                reason=Reason.CORRUPT,
                subject=self._recognised.uri,
                next_step="give the recognise result of this batch",
            )
        return read_one(RecognisedProgramme, uri)

    def _read_turns(self, preparation: Preparation) -> DiarizedProgramme | None:
        """Return the programme's turns; None if diarization was not run."""
        if self.diarized is None and not self._has_diarization_failed:
            return None
        uri = self.diarized.find(turns_name(preparation.arrival.id)) if self.diarized else ""
        if uri:
            return read_one(DiarizedProgramme, uri)
        return DiarizedProgramme(
            arrival=preparation.arrival.id, diarizer="", outcome=Outcome.FAILED, detail="diarization failed"
        )
