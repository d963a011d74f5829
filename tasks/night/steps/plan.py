"""plan-night: the inbox's new files, in batches of equal work."""

from __future__ import annotations

from dataclasses import dataclass

from tasks import diarization, models
from tasks.contract import MappedItem, Outcome, Reason, StepError, digest_of
from tasks.contract.arguments import PlanNight
from tasks.models import ModelReference
from tasks.night.batching import balance_batches, estimate_work_s
from tasks.night.inbox import channel_vocabulary, list_announced, list_inbox, make_arrival, wait_for_uploads
from tasks.night.ledger import Ledger
from tasks.night.pipeline import Pipeline
from tasks.night.records import DEFERRED, Arrival, Batch, truncate
from tasks.reporting.records import Publication
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
    links: tuple[str, ...] = ()
    """Symbolic links in the inbox that were not followed."""
    diarizer_error: str = ""
    """Why there will be no speakers; empty if there will be."""
    vocabulary: ObjectInfo | None = None
    """The channel's list of words."""

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
                **({"vocabulary": self.vocabulary.etag} if self.vocabulary and self.new else {}),
            }
        )


def _resolve_diarizer(uri: str) -> tuple[ModelReference, str]:
    """Return the diarizer, and why it cannot be used if so: then the night is transcribed without speakers, and once
    more with them when the diarizer is repaired."""
    try:
        return diarization.resolve(uri), ""
    except StepError as error:
        return ModelReference(uri, uri, ""), f"there will be no speakers: {error}"


def survey(arguments: PlanNight) -> Survey:
    """List the inbox and wait until uploads settle. Memory grows by about 1 kB per file."""
    model = models.resolve(arguments.model)
    models.check(model)
    diarizer, diarizer_error = _resolve_diarizer(arguments.diarizer)
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

    def arrival_of(file: ObjectInfo) -> Arrival:
        return make_arrival(file, arguments.inbox, listing.vocabulary_of(file))

    for file in listing.media:
        arrival_id = arrival_of(file).id
        n_transcribed += arrival_id in transcribed
        n_quarantined += arrival_id in quarantined and arrival_id not in transcribed
        if arrival_id not in known:
            unknown.append(file)
    # Announced files are complete: the event is sent after the upload.
    settled, uploading = wait_for_uploads(unknown, 0 if arguments.arrived else arguments.settle_s)
    failures = ledger.failures()
    return Survey(
        pipeline=pipeline,
        new=tuple(a.model_copy(update={"failures": failures[a.id]}) for a in map(arrival_of, settled)),
        uploading=tuple(map(arrival_of, uploading)),
        n_transcribed=n_transcribed,
        n_quarantined=n_quarantined,
        links=tuple(listing.links),
        diarizer_error=diarizer_error,
        vocabulary=channel_vocabulary(arguments.inbox),
    )


def inputs(arguments: PlanNight) -> StepInputs:
    """Survey the inbox once, which may take `settle_s` seconds. `run` plans what the key was made of: a file that
    changes in between is planned as it was, and prepare-media rejects it by its etag."""
    plan = survey(arguments)
    return StepInputs({arguments.inbox: plan.digest}, plan)


def run(arguments: PlanNight, context: StepContext) -> StepOutput:
    plan: Survey = context.listing
    items = []
    for number, programmes in enumerate(balance_batches(plan.new, arguments.batches)):
        batch = Batch(
            pipeline=plan.pipeline,
            transcripts=arguments.transcripts,
            programmes=programmes,
            vocabulary=plan.vocabulary.uri if plan.vocabulary else "",
            vocabulary_etag=plan.vocabulary.etag if plan.vocabulary else "",
        )
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
        for arrival in plan.uploading
    ]
    context.publish(DEFERRED, to_lines(deferred))
    return StepOutput(
        items=tuple(items),
        counts={
            "new": len(plan.new),
            "batches": len(items),
            "transcribed_before": plan.n_transcribed,
            "quarantined_before": plan.n_quarantined,
            "deferred": len(plan.uploading),
        },
        metrics={"estimated_hours": round(sum(map(estimate_work_s, plan.new)) / 3600, 3)},
        labels={
            "model": plan.pipeline.model,
            "model_version": plan.pipeline.model_version,
            "diarizer": plan.pipeline.diarizer,
            "news": news(plan, arguments.inbox),
        },
        warnings=truncate(
            [
                *filter(None, [plan.diarizer_error]),
                *(f"{a.uri} is still being uploaded: left for the next night" for a in plan.uploading),
                *(f"{uri} is a symbolic link out of the inbox or to a folder: passed over" for uri in plan.links),
            ]
        ),
    )


def title(programmes: tuple[Arrival, ...]) -> str:
    """The name of a batch's tasks in Airflow."""
    others = len(programmes) - 1
    return programmes[0].programme + (f" and {others} more" if others else "")


def news(plan: Survey, inbox: str) -> str:
    """The plan in one sentence."""
    model = plan.pipeline.model_version
    if plan.new:
        return f"{len(plan.new)} new programmes for {model}"
    if plan.n_transcribed or plan.n_quarantined or plan.uploading:
        parts = [f"{plan.n_transcribed} programmes are transcribed by {model} already"]
        if plan.n_quarantined:
            parts.append(f"{plan.n_quarantined} are in quarantine")
        if plan.uploading:
            parts.append(f"{len(plan.uploading)} are still being uploaded")
        return "nothing new: " + ", ".join(parts)
    return f"nothing new: no media under {inbox}"
