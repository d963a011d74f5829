"""plan-night: what is new in the inbox, in batches of equal work."""

from __future__ import annotations

from dataclasses import dataclass

from tasks import models
from tasks.contract import MappedItem, Outcome, Reason, digest_of
from tasks.contract.arguments import PlanNight
from tasks.night.batching import balanced, estimated_s
from tasks.night.identity import Pipeline
from tasks.night.inbox import arrival_of, media_files, wait_for_uploads
from tasks.night.ledger import Ledger
from tasks.night.records import Arrival, Batch, Publication, in_brief, to_lines
from tasks.step import StepContext, StepOutput

VERSION = 1
DEFERRED = "deferred.jsonl"


@dataclass(frozen=True)
class Survey:
    """The inbox against the ledger."""

    pipeline: Pipeline
    new: tuple[Arrival, ...]
    growing: tuple[Arrival, ...]
    """Still being uploaded: their turn comes in a later night."""
    n_transcribed: int
    n_quarantined: int

    @property
    def digest(self) -> str:
        """Over all that a plan is made of. Growing files count by name: their sizes change by the second."""
        return digest_of(
            {
                "pipeline": self.pipeline.digest,
                "new": [(arrival.arrival, arrival.failures) for arrival in self.new],
                "growing": [arrival.uri for arrival in self.growing],
                "transcribed": self.n_transcribed,
                "quarantined": self.n_quarantined,
            }
        )


def survey(arguments: PlanNight) -> Survey:
    """Look at the inbox. Memory grows with the names in it, by about 1 kB each."""
    model = models.resolve(arguments.model)
    pipeline = Pipeline(model=model.uri, model_version=model.version, model_digest=model.digest)
    ledger = Ledger(arguments.transcripts, pipeline)
    transcribed, quarantined = ledger.transcribed(), ledger.quarantined()
    known = transcribed | quarantined
    unknown, n_transcribed, n_quarantined = [], 0, 0
    for found in media_files(arguments.inbox):
        arrival = arrival_of(found, arguments.inbox).arrival
        n_transcribed += arrival in transcribed
        n_quarantined += arrival in quarantined and arrival not in transcribed
        if arrival not in known:
            unknown.append(found)
    settled, growing = wait_for_uploads(unknown, arguments.settle_s)
    failures = ledger.failures()
    new = (arrival_of(found, arguments.inbox) for found in settled)
    return Survey(
        pipeline=pipeline,
        new=tuple(arrival.model_copy(update={"failures": failures[arrival.arrival]}) for arrival in new),
        growing=tuple(arrival_of(found, arguments.inbox) for found in growing),
        n_transcribed=n_transcribed,
        n_quarantined=n_quarantined,
    )


def inputs(arguments: PlanNight) -> dict[str, str]:
    return {arguments.inbox: survey(arguments).digest}


def run(arguments: PlanNight, context: StepContext) -> StepOutput:
    found = survey(arguments)
    items = []
    for number, programmes in enumerate(balanced(found.new, arguments.batches)):
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
        for arrival in found.growing
    ]
    context.publish(DEFERRED, to_lines(deferred))
    return StepOutput(
        items=tuple(items),
        counts={
            "new": len(found.new),
            "batches": len(items),
            "transcribed_before": found.n_transcribed,
            "quarantined_before": found.n_quarantined,
            "deferred": len(found.growing),
        },
        metrics={"estimated_hours": round(sum(map(estimated_s, found.new)) / 3600, 3)},
        labels={
            "model": found.pipeline.model,
            "model_version": found.pipeline.model_version,
            "news": news(found, arguments.inbox),
        },
        warnings=in_brief([f"{a.uri} is still being uploaded: left for the next night" for a in found.growing]),
    )


def title(programmes: tuple[Arrival, ...]) -> str:
    """What Airflow calls a batch's tasks."""
    others = len(programmes) - 1
    return programmes[0].programme + (f" and {others} more" if others else "")


def news(found: Survey, inbox: str) -> str:
    """The plan in a sentence."""
    model = found.pipeline.model_version
    if found.new:
        return f"{len(found.new)} new programmes for {model}"
    if found.n_transcribed or found.n_quarantined or found.growing:
        parts = [f"{found.n_transcribed} programmes are transcribed by {model} already"]
        if found.n_quarantined:
            parts.append(f"{found.n_quarantined} are in quarantine")
        if found.growing:
            parts.append(f"{len(found.growing)} are still being uploaded")
        return "nothing new: " + ", ".join(parts)
    return f"nothing new: no media under {inbox}"
