"""plan-night: the inbox's new files, in batches of equal work."""

from __future__ import annotations

from dataclasses import dataclass

from tasks import diarization, models
from tasks.contract import MappedItem, Outcome, Reason, StepError, digest_of
from tasks.contract.arguments import PlanNight
from tasks.models import ModelReference
from tasks.night.batching import balance_batches, estimate_work_s
from tasks.night.inbox import list_announced, list_inbox, make_arrival, wait_for_uploads
from tasks.night.ledger import Ledger
from tasks.night.pipeline import Pipeline
from tasks.night.records import DEFERRED, Arrival, Batch, Publication, truncated
from tasks.step import StepContext, StepInputs, StepOutput
from tasks.storage import ObjectInfo
from tasks.storage.records import to_lines

VERSION = 2


@dataclass(frozen=True)
class Survey:
    """The inbox compared with the ledger."""

    pipeline: Pipeline
    new: tuple[Arrival, ...]
    uploading: tuple[Arrival, ...]
    """Still being uploaded: deferred to a later night."""
    n_transcribed: int
    n_quarantined: int
    diarizer_fault: str = ""
    """Why there will be no speakers."""

    @property
    def digest(self) -> str:
        """Digest of all that determines the plan. Files being uploaded count by name: their sizes change by the
        second."""
        return digest_of(
            {
                "pipeline": self.pipeline.digest,
                "new": [(arrival.id, arrival.failures) for arrival in self.new],
                "growing": [arrival.uri for arrival in self.uploading],
                "transcribed": self.n_transcribed,
                "quarantined": self.n_quarantined,
            }
        )


def _resolve_diarizer(uri: str) -> tuple[ModelReference, str]:
    """The diarizer and its fault, if it has one: then the night is transcribed without speakers, and once more with
    them when the diarizer is repaired."""
    try:
        return diarization.resolve(uri), ""
    except StepError as error:
        return ModelReference(uri, uri, ""), f"there will be no speakers: {error}"


def survey(arguments: PlanNight) -> Survey:
    """List the inbox and wait until uploads settle. Memory grows by about 1 kB per file."""
    model = models.resolve(arguments.model)
    diarizer, diarizer_fault = _resolve_diarizer(arguments.diarizer)
    pipeline = Pipeline(
        model=model.uri,
        model_version=model.version,
        model_digest=model.digest,
        diarizer=diarizer.uri,
        diarizer_digest=diarizer.digest,
        language=arguments.language,
        cues=arguments.cues,
    )
    ledger = Ledger(arguments.transcripts, pipeline)
    transcribed, quarantined = ledger.transcribed(), ledger.quarantined()
    known = transcribed | quarantined
    unknown, n_transcribed, n_quarantined = [], 0, 0
    listing = list_announced(arguments.arrived, arguments.inbox) if arguments.arrived else list_inbox(arguments.inbox)

    def arrival_of(found: ObjectInfo) -> Arrival:
        return make_arrival(found, arguments.inbox, listing.vocabulary_of(found))

    for found in listing.media:
        arrival_id = arrival_of(found).id
        n_transcribed += arrival_id in transcribed
        n_quarantined += arrival_id in quarantined and arrival_id not in transcribed
        if arrival_id not in known:
            unknown.append(found)
    # Announced files are complete: the event is sent after the upload.
    settled, uploading = wait_for_uploads(unknown, 0 if arguments.arrived else arguments.settle_s)
    failures = ledger.failures()
    return Survey(
        pipeline=pipeline,
        new=tuple(a.model_copy(update={"failures": failures[a.id]}) for a in map(arrival_of, settled)),
        uploading=tuple(map(arrival_of, uploading)),
        n_transcribed=n_transcribed,
        n_quarantined=n_quarantined,
        diarizer_fault=diarizer_fault,
    )


def inputs(arguments: PlanNight) -> StepInputs:
    """The survey, made once: it may wait `settle_s` seconds. `run` plans what the key was made of, so a file that
    changes in between is planned as it was, and prepare-media rejects it by its etag."""
    found = survey(arguments)
    return StepInputs({arguments.inbox: found.digest}, found)


def run(arguments: PlanNight, context: StepContext) -> StepOutput:
    found: Survey = context.found
    items = []
    for number, programmes in enumerate(balance_batches(found.new, arguments.batches)):
        batch = Batch(pipeline=found.pipeline, transcripts=arguments.transcripts, programmes=programmes)
        name = f"batches/{number:03d}.json"
        context.publish(name, batch.model_dump_json().encode() + b"\n")
        items.append(MappedItem(name=title(programmes), path=context.path(name)))
    deferred = [
        Publication(
            programme=arrival.programme,
            media=arrival.uri,
            outcome=Outcome.REJECTED,
            reason=Reason.CHANGED_WHILE_READ,
            detail="still being uploaded: its turn comes in the next night",
        )
        for arrival in found.uploading
    ]
    context.publish(DEFERRED, to_lines(deferred))
    return StepOutput(
        items=tuple(items),
        counts={
            "new": len(found.new),
            "batches": len(items),
            "transcribed_before": found.n_transcribed,
            "quarantined_before": found.n_quarantined,
            "deferred": len(found.uploading),
        },
        metrics={"estimated_hours": round(sum(map(estimate_work_s, found.new)) / 3600, 3)},
        labels={
            "model": found.pipeline.model,
            "model_version": found.pipeline.model_version,
            "diarizer": found.pipeline.diarizer,
            "news": news(found, arguments.inbox),
        },
        warnings=truncated(
            [
                *filter(None, [found.diarizer_fault]),
                *(f"{a.uri} is still being uploaded: left for the next night" for a in found.uploading),
            ]
        ),
    )


def title(programmes: tuple[Arrival, ...]) -> str:
    """The name of a batch's tasks in Airflow."""
    others = len(programmes) - 1
    return programmes[0].programme + (f" and {others} more" if others else "")


def news(found: Survey, inbox: str) -> str:
    """The plan in one sentence."""
    model = found.pipeline.model_version
    if found.new:
        return f"{len(found.new)} new programmes for {model}"
    if found.n_transcribed or found.n_quarantined or found.uploading:
        parts = [f"{found.n_transcribed} programmes are transcribed by {model} already"]
        if found.n_quarantined:
            parts.append(f"{found.n_quarantined} are in quarantine")
        if found.uploading:
            parts.append(f"{len(found.uploading)} are still being uploaded")
        return "nothing new: " + ", ".join(parts)
    return f"nothing new: no media under {inbox}"
