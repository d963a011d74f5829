"""plan-night: what is new in the inbox, in batches of equal work."""

from __future__ import annotations

from dataclasses import dataclass

from tasks import diarization, models
from tasks.contract import MappedItem, Outcome, Reason, StepError, digest_of
from tasks.contract.arguments import PlanNight
from tasks.models import ModelReference
from tasks.night.batching import balanced, estimated_s
from tasks.night.identity import Pipeline
from tasks.night.inbox import arrival_of, look, look_at, wait_for_uploads
from tasks.night.ledger import Ledger
from tasks.night.records import DEFERRED, Arrival, Batch, Publication, in_brief
from tasks.step import StepContext, StepOutput
from tasks.storage import ObjectInfo
from tasks.storage.records import to_lines

VERSION = 2


@dataclass(frozen=True)
class Survey:
    """The inbox against the ledger."""

    pipeline: Pipeline
    new: tuple[Arrival, ...]
    growing: tuple[Arrival, ...]
    """Still being uploaded: their turn comes in a later night."""
    n_transcribed: int
    n_quarantined: int
    without_speakers: str = ""
    """Why nobody will tell speakers apart."""

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


def _diarizer(uri: str) -> tuple[ModelReference, str]:
    """The diarizer, and what is wrong with it: then the night is transcribed without speakers, and when it is put
    right, once more with them."""
    try:
        return diarization.resolve(uri), ""
    except StepError as error:
        return ModelReference(uri, uri, ""), f"speakers will not be told apart: {error}"


def survey(arguments: PlanNight) -> Survey:
    """Look at the inbox. Memory grows with the names in it, by about 1 kB each."""
    model = models.resolve(arguments.model)
    diarizer, without_speakers = _diarizer(arguments.diarizer)
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
    listing = look_at(arguments.arrived, arguments.inbox) if arguments.arrived else look(arguments.inbox)

    def arrive(found: ObjectInfo) -> Arrival:
        return arrival_of(found, arguments.inbox, listing.vocabulary_of(found))

    for found in listing.media:
        arrival = arrive(found).arrival
        n_transcribed += arrival in transcribed
        n_quarantined += arrival in quarantined and arrival not in transcribed
        if arrival not in known:
            unknown.append(found)
    # An event is sent when a medium is complete.
    settled, growing = wait_for_uploads(unknown, 0 if arguments.arrived else arguments.settle_s)
    failures = ledger.failures()
    return Survey(
        pipeline=pipeline,
        new=tuple(a.model_copy(update={"failures": failures[a.arrival]}) for a in map(arrive, settled)),
        growing=tuple(map(arrive, growing)),
        n_transcribed=n_transcribed,
        n_quarantined=n_quarantined,
        without_speakers=without_speakers,
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
            "diarizer": found.pipeline.diarizer,
            "news": news(found, arguments.inbox),
        },
        warnings=in_brief(
            [
                *filter(None, [found.without_speakers]),
                *(f"{a.uri} is still being uploaded: left for the next night" for a in found.growing),
            ]
        ),
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
