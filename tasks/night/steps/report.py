"""report-night: the outcome of every programme, as a page for people and as JSON Lines for other systems."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence

from tasks import kafka, storage
from tasks.contract import WITHOUT_SPEAKERS, InputRejected, Outcome, Reason, StepResult
from tasks.contract.arguments import ReportNight
from tasks.night.events import outcome_events
from tasks.night.ledger import MAX_FAILURES, Ledger, QuarantineRecord
from tasks.night.records import DEFERRED, PUBLISHED, Arrival, Batch, truncate
from tasks.night.report_rows import complete_row
from tasks.publishing.transcripts import put_if_absent
from tasks.reporting.night_report import render_night_report
from tasks.reporting.records import INDEX_NAME, NIGHTS, PAGE_NAME, REPORT_NAME, NightReport, NightRow, Publication
from tasks.step import StepContext, StepOutput, item_uris, load_result, output_uri
from tasks.storage.records import read_lines, read_one, to_lines
from tasks.transcripts.text import separates_words

VERSION = 5


def inputs(arguments: ReportNight) -> dict[str, str]:
    published = {f"published {n}": load_result(uri).content_digest for n, uri in enumerate(sorted(arguments.published))}
    return {"plan": load_result(arguments.plan).content_digest, **published}


def run(arguments: ReportNight, context: StepContext) -> StepOutput:
    plan = load_result(arguments.plan)
    deferred = output_uri(arguments.plan, plan, DEFERRED)
    rows = [night_row(row, None) for row in read_lines(Publication, deferred)]
    batches = [load_result(uri) for uri in arguments.published]
    for uri, batch in zip(arguments.published, batches, strict=True):
        rows += batch_rows(uri, batch, arguments)
    missing = list(missing_rows(arguments.plan, plan, {row.media for row in rows}, bool(arguments.published)))
    rows += missing
    rows.sort(key=lambda row: (row.programme, row.media))
    report = build_report(arguments, plan, batches, rows, context.key)
    published = {
        REPORT_NAME: report.model_dump_json(indent=1).encode() + b"\n",
        PAGE_NAME: render_night_report(report, arguments.transcripts).encode(),
        INDEX_NAME: to_lines(rows),
    }
    folder = storage.join(arguments.transcripts, NIGHTS, report.night)
    for name, data in published.items():
        context.publish(name, data)
        put_if_absent(storage.join(folder, name), data)
    external = [storage.join(folder, name) for name in published]
    kafka.publish(*outcome_events(missing))  # the others' events were sent by publish
    not_done = [row for row in rows if not row.outcome.is_done]
    without_speakers = [row for row in rows if row.outcome.is_done and row.words and row.speakers is None]
    counts = {"programmes": len(rows), **report.outcomes}
    if without_speakers:
        counts[WITHOUT_SPEAKERS] = len(without_speakers)
    warnings = [f"{row.programme}: {row.outcome} ({row.reason}): {row.detail}" for row in not_done]
    warnings += [f"{row.programme}: {row.detail}" for row in without_speakers if row.detail]
    return StepOutput(
        counts=counts,
        metrics={"hours": report.hours, "compute_hours": round(report.compute_s / 3600, 3)},
        labels={
            "model": report.model_version,
            "news": report.news,
            "page": storage.join(folder, PAGE_NAME),
            "index": storage.join(folder, INDEX_NAME),
        },
        warnings=truncate(warnings),
        external_uris=tuple(external),
    )


def batch_rows(uri: str, result: StepResult, prices: ReportNight) -> list[NightRow]:
    """Return the rows of one publish step, each with its share of the batch's cost by duration. Copies cost nothing."""
    rtfx = result.metrics.get("rtfx") or None
    compute_s, cost = total_cost([result], prices)
    rows = [night_row(row, rtfx) for row in read_lines(Publication, output_uri(uri, result, PUBLISHED))]
    total_s = sum(row.duration_s for row in rows if not row.is_copy)
    return [
        row.model_copy(
            update={
                "compute_s": round(compute_s * row.duration_s / total_s, 1),
                "cost": round(cost * row.duration_s / total_s, 4) if cost else None,
            }
        )
        if row.duration_s and not row.is_copy
        else row
        for row in rows
    ]


def total_cost(batches: Sequence[StepResult], prices: ReportNight) -> tuple[float, float]:
    """Return the cost of batches, whatever their outcome: pod time in seconds, and money."""
    cpu_s, gpu_s = (sum(batch.metrics.get(name, 0.0) for batch in batches) for name in ("cpu_s", "gpu_s"))
    return cpu_s + gpu_s, (cpu_s * prices.cpu_hour_price + gpu_s * prices.gpu_hour_price) / 3600


def missing_rows(plan_uri: str, plan: StepResult, reported: set[str], others_completed: bool) -> Iterator[NightRow]:
    """Yield the rows of planned programmes whose batch failed, so that no publish step reported them.

    Some may have been completed before the batch failed: the ledger has them, and no later plan lists them. For the
    others a failure is recorded, and the next plan gives each a batch of its own. A programme that fails there too,
    while other batches complete, is put into quarantine in the end.
    """
    for item in item_uris(plan_uri, plan):
        batch = read_one(Batch, item.uri)
        ledger = Ledger(batch.transcripts, batch.pipeline)
        is_alone = len(batch.programmes) == 1
        for arrival in batch.programmes:
            if arrival.uri in reported:
                continue
            if row := row_from_ledger(ledger, arrival):
                yield row
                continue
            detail = "its batch did not come to an end: see its task's log, then clear it"
            record = QuarantineRecord(arrival=arrival, sha256="", reason=Reason.INTERNAL_ERROR, detail=detail)
            is_the_cause = is_alone and others_completed
            may_record = is_the_cause or arrival.failures + 1 < MAX_FAILURES
            is_quarantined = may_record and ledger.record_failure(record)
            yield NightRow(
                programme=arrival.programme,
                media=arrival.uri,
                outcome=Outcome.QUARANTINED if is_quarantined else Outcome.FAILED,
                reason=record.reason,
                detail=detail,
            )


def row_from_ledger(ledger: Ledger, arrival: Arrival) -> NightRow | None:
    """Return the row of a programme that is in the ledger, as a transcript or in quarantine."""
    row = Publication(programme=arrival.programme, media=arrival.uri, outcome=Outcome.DONE)
    if manifest := ledger.manifest_of_arrival(arrival):
        with contextlib.suppress(InputRejected):  # an unreadable transcript does not count
            return night_row(complete_row(manifest, row), None)
    if record := ledger.quarantine_record(arrival):
        quarantined = {"outcome": Outcome.QUARANTINED, "reason": record.reason, "detail": record.detail}
        return night_row(row.model_copy(update=quarantined), None)
    return None


def night_row(row: Publication, rtfx: float | None) -> NightRow:
    text = ""
    if row.transcript:
        # The folder may be that of another programme with the same bytes; its name is the part before the key.
        name = row.transcript.rsplit("/", 2)[-2]
        text = f"{row.transcript}/{name}.txt"
    words_a_minute = round(60 * row.words / row.speech_s, 1) if row.speech_s and separates_words(row.language) else None
    rtfx = rtfx if row.words and not row.is_copy else None
    return NightRow(**dict(row), words_a_minute=words_a_minute, rtfx=rtfx, text=text)


def build_report(
    arguments: ReportNight, plan: StepResult, batches: Sequence[StepResult], rows: list[NightRow], key: str
) -> NightReport:
    transcribed = [row for row in rows if row.outcome.is_done and not row.is_copy]
    compute_s, cost = total_cost(batches, arguments)
    counted = Counter(str(row.outcome) for row in rows)
    return NightReport(
        night="-".join(part for part in (arguments.night, key[:8]) if part),
        model=plan.labels["model"],
        model_version=plan.labels["model_version"],
        news=plan.labels["news"],
        outcomes={str(outcome): counted[outcome] for outcome in Outcome if counted[outcome]},
        transcribed_before=plan.counts["transcribed_before"],
        quarantined_before=plan.counts["quarantined_before"],
        hours=round(sum(row.duration_s for row in transcribed) / 3600, 4),
        words=sum(row.words for row in transcribed),
        compute_s=round(compute_s, 1),
        cost=round(cost, 2) if cost else None,
        rows=tuple(rows),
    )
