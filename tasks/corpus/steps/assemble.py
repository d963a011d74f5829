"""`assemble-dataset`: drop mismatched captions and duplicates, check splits for leaks, write the dataset's manifest.

Shards stay where they are; only those that lose rows are rewritten. The manifest is published last.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tasks import storage
from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import InputRejected, ItemOutcome, Outcome, Reason, canonical_json
from tasks.contract.arguments import AssembleDataset
from tasks.corpus.assembly.extracted_shards import ExtractedShard, common_account, indexes, read_shard
from tasks.corpus.assembly.shards import publish_shards
from tasks.corpus.feature_names import features_named
from tasks.corpus.records import OUTCOMES, read_outcomes
from tasks.dataset.manifest import LOCATIONS, MANIFEST, DatasetManifest, Split
from tasks.dataset.summary import (
    MAX_EXAMPLES,
    Drops,
    Examples,
    Summary,
    Tally,
    counts_of,
    examples_of,
    hours_of,
    merge,
    merge_examples,
    total,
)
from tasks.step import StepContext, StepOutput, load_result, output_uri

if TYPE_CHECKING:
    import numpy as np

    from tasks.contract import StepResult
    from tasks.corpus.assembly.selection import Rows, Selection

VERSION = 5
STEP = "assemble-dataset"

CARD, REPORT = "README.md", "report.html"


def inputs(arguments: AssembleDataset) -> dict[str, str]:
    results = {"scan": arguments.scan}
    results |= {f"extracted-{number:05d}": uri for number, uri in enumerate(arguments.extracted)}
    return {name: load_result(uri).content_digest for name, uri in results.items()}


def run(arguments: AssembleDataset, context: StepContext) -> StepOutput:
    from tasks.corpus.assembly.selection import rows_of, select

    scan = load_result(arguments.scan)
    extracted = [read_shard(uri) for uri in arguments.extracted]
    common = common_account(extracted)
    rows = rows_of(indexes(extracted, context, "index"))
    selection = select(rows, arguments.max_match_error)
    _check_leaks(selection, extracted, context)
    summary = _summary(scan, arguments.scan, extracted, selection)
    splits, locations = publish_shards(extracted, selection, context)
    if not splits[Split.TRAIN]:
        raise _no_training_data(arguments, summary)
    manifest = DatasetManifest(
        name=arguments.name,
        language=common.language,
        sample_rate_hz=SAMPLE_RATE_HZ,
        normaliser=common.normaliser,
        features=common.features,
        features_config=asdict(features_named(common.features)),
        matched_by=tuple(sorted({shard.account.matched_by for shard in extracted} - {""})),
        splits=splits,
        kept=_kept_by_split(selection),
        programmes=_programmes_by_split(selection),
        reviewed=_tally(selection.rows, selection.kept & selection.rows.reviewed),
        account=summary,
        configuration={
            scan.step: _without(scan.arguments, "media"),
            **common.configuration,
            STEP: {"max_match_error": arguments.max_match_error},
        },
    )
    data = canonical_json(manifest.model_dump(mode="json")) + b"\n"
    version = hashlib.sha256(data).hexdigest()
    context.publish(LOCATIONS, canonical_json(locations) + b"\n")
    examples = _examples(scan, arguments.scan, extracted, _publish_outcomes(extracted, selection, context))
    _publish_report(manifest, version, scan.arguments["media"], extracted, selection, examples, context)
    manifest_uri = context.publish(MANIFEST, data)
    return _output(manifest, version, manifest_uri, context)


def _kept_by_split(selection: Selection) -> dict[Split, Tally]:
    from tasks.corpus.inventory.planning import SPLIT_CODES

    rows, kept = selection.rows, selection.kept
    return {split: _tally(rows, kept & (rows.split == code)) for split, code in SPLIT_CODES.items()}


def _programmes_by_split(selection: Selection) -> dict[Split, int]:
    import numpy as np

    from tasks.corpus.inventory.planning import SPLIT_CODES

    rows, kept = selection.rows, selection.kept
    return {split: len(np.unique(rows.programme[kept & (rows.split == code)])) for split, code in SPLIT_CODES.items()}


def _examples(scan: StepResult, scan_uri: str, extracted: list[ExtractedShard], dropped: list[ItemOutcome]) -> Examples:
    """Examples of what was left out by the scan, by the shards' steps and here, for the report."""
    return merge_examples(
        [
            examples_of(scan.step, read_outcomes(output_uri(scan_uri, scan, OUTCOMES))),
            *(shard.account.examples for shard in extracted),
            examples_of(STEP, dropped),
        ]
    )


def _publish_outcomes(extracted: list[ExtractedShard], selection: Selection, context: StepContext) -> list[ItemOutcome]:
    """Publish an outcome for each utterance dropped here. Returns the first few of each reason."""
    import pyarrow as pa

    first_outcomes = []
    path = context.scratch / OUTCOMES
    with path.open("wb") as sink:
        for number, table in enumerate(indexes(extracted, context, "outcomes")):
            for reason, mask in selection.dropped.items():
                dropped = table.filter(pa.array(mask[selection.rows.of_shard(number)])).to_pylist()
                outcomes = [_dropped(row, reason) for row in dropped]
                sink.writelines(outcome.model_dump_json().encode() + b"\n" for outcome in outcomes)
                first_outcomes += outcomes[:MAX_EXAMPLES]
    context.publish(OUTCOMES, path)
    return first_outcomes


def _dropped(row: dict[str, Any], reason: Reason) -> ItemOutcome:
    details = {
        Reason.MATCH_ERROR: f"{row['match_error'] or 0:.2f}: the caption is {row['text'][:80]!r}, "
        f"the hypothesis {(row['heard'] or '')[:80]!r}",
        Reason.DUPLICATE: f"the same audio is already in the dataset: {row['text'][:80]!r}",
    }
    return ItemOutcome(
        item=row["utterance_id"],
        outcome=Outcome.REJECTED,
        reason=reason,
        detail=details[reason],
        duration_s=row["duration_s"],
    )


def _publish_report(
    manifest: DatasetManifest,
    version: str,
    source: str,
    extracted: list[ExtractedShard],
    selection: Selection,
    examples: Examples,
    context: StepContext,
) -> None:
    """Publish the dataset's card and report."""
    from tasks.corpus.assembly.statistics import Statistics
    from tasks.corpus.report.dataset_card import render_dataset_card
    from tasks.corpus.report.dataset_report import render_dataset_report
    from tasks.corpus.report.material import DatasetMaterial
    from tasks.corpus.report.samples import N_MISMATCHED, choose_rows, read_samples

    rows, is_kept = selection.rows, selection.kept
    kept = choose_rows(rows, is_kept)
    mismatched = choose_rows(rows, selection.dropped[Reason.MATCH_ERROR], N_MISMATCHED)
    statistics = Statistics()
    hypotheses: dict[int, str] = {}
    for number, table in enumerate(indexes(extracted, context, "report")):
        place = rows.of_shard(number)
        statistics.add(table, is_kept[place])
        for row in (*kept, *mismatched):
            if place.start <= row < place.stop:
                hypotheses[row] = table.column("heard")[row - place.start].as_py() or ""
    uris = {
        (number, split): shard.output(f"{split}.parquet")
        for number, shard in enumerate(extracted)
        for split in Split
        if f"{split}.parquet" in shard.result.outputs
    }
    material = DatasetMaterial(
        manifest=manifest,
        version=version,
        source=source,
        statistics=statistics,
        examples=examples,
        kept=tuple(read_samples(rows, kept, uris, hypotheses)),
        mismatched=tuple(read_samples(rows, mismatched, uris, hypotheses)),
    )
    context.publish(CARD, render_dataset_card(material).encode())
    context.publish(REPORT, render_dataset_report(material).encode())


def _output(manifest: DatasetManifest, version: str, uri: str, context: StepContext) -> StepOutput:
    empty = [split for split, shards in manifest.splits.items() if not shards]
    account = manifest.account
    return StepOutput(
        counts={
            "utterances": account.kept.count,
            **{f"utterances_{split}": tally.count for split, tally in manifest.kept.items()},
            **{f"programmes_{split}": n for split, n in manifest.programmes.items()},
            **counts_of(account.rejected, "rejected"),
            **counts_of(account.dropped, "dropped"),
            **counts_of(account.warned, "warned"),
        },
        metrics={
            "hours": account.kept.hours,
            **{f"hours_{split}": tally.hours for split, tally in manifest.kept.items()},
            "hours_reviewed": manifest.reviewed.hours,
            "hours_media": account.media.hours,
            "hours_uncaptioned": account.uncaptioned_ms / 3_600_000,
            "hours_lost": account.lost_ms / 3_600_000,
            "hours_missing": account.missing_ms / 3_600_000,
            **hours_of(account.dropped, "dropped"),
        },
        labels={
            "version": version,
            "name": manifest.name,
            "manifest": uri,
            "report": storage.join(context.prefix, context.path(REPORT)),
            "features": manifest.features,
        },
        warnings=(
            *(f"the {split} split is empty: too few programmes have usable utterances" for split in empty),
            *([_mixed_models(manifest)] if len(manifest.matched_by) > 1 else []),
        ),
    )


def _mixed_models(manifest: DatasetManifest) -> str:
    return (
        f"captions were matched with different models ({', '.join(manifest.matched_by)}): the champion changed "
        "in between; clear match_captions to use the newest for all"
    )


def _check_leaks(selection: Selection, extracted: list[ExtractedShard], context: StepContext) -> None:
    """Raise InputRejected if a programme, or the same audio, is in more than one split."""
    from tasks.corpus.assembly.selection import leaking_audio, leaking_programmes
    from tasks.corpus.inventory.identity import hash64

    if len(leaks := leaking_programmes(selection.rows)):
        hashes = set(leaks[:1000].tolist())
        names = {
            name
            for table in indexes(extracted, context, "leaks")
            for name in table.column("programme_id").unique().to_pylist()
            if hash64(name) in hashes
        }
        raise InputRejected(
            f"{len(leaks)} programmes are in more than one split: {', '.join(sorted(names)[:5])}",
            reason=Reason.DUPLICATE,
            subject="splits",
            next_step="assemble shards of one scan only, each once",
        )
    if len(leaks := leaking_audio(selection.rows, selection.kept)):
        raise InputRejected(
            f"the same audio is in more than one split, {len(leaks)} times",
            reason=Reason.DUPLICATE,
            subject="splits",
            next_step="this is a bug of assemble-dataset: report it with these inputs",
        )


def _summary(scan: StepResult, scan_uri: str, extracted: list[ExtractedShard], selection: Selection) -> Summary:
    """The dataset's summary: what the scan excluded, the shards' summaries, and what is dropped here."""
    summary = total(shard.account.summary for shard in extracted)
    drops: list[Drops] = [summary.dropped]
    rows = selection.rows
    drops += [{STEP: {reason: _tally(rows, mask)}} for reason, mask in selection.dropped.items() if mask.any()]
    return summary.model_copy(
        update={
            "kept": _tally(rows, selection.kept),
            "dropped": merge(drops),
            "rejected": merge([{scan.step: _excluded_by_scan(scan, scan_uri)}, summary.rejected]),
        }
    )


def _excluded_by_scan(scan: StepResult, uri: str) -> dict[Reason, Tally]:
    reasons = Counter(outcome.reason for outcome in read_outcomes(output_uri(uri, scan, OUTCOMES)))
    return {reason: Tally(count=n) for reason, n in reasons.items() if reason is not None}


def _tally(rows: Rows, mask: np.ndarray) -> Tally:
    return Tally(count=int(mask.sum()), ms=int(rows.duration_ms[mask].sum()))


def _no_training_data(arguments: AssembleDataset, summary: Summary) -> InputRejected:
    reasons = {**counts_of(summary.rejected, "programmes"), **counts_of(summary.dropped, "utterances")}
    most_common = ", ".join(f"{name} {n}" for name, n in sorted(reasons.items(), key=lambda item: -item[1])[:6])
    return InputRejected(
        f"no utterance is left to train on ({most_common or 'the transcripts have none'})",
        reason=Reason.NO_INPUT,
        subject=arguments.scan,
        next_step=(
            "use a higher --max-match-error, or match with a better model"
            if Reason.MATCH_ERROR in summary.dropped.get(STEP, {})
            else "read outcomes.jsonl of the prepare-corpus steps, which lists each file and reason"
        ),
    )


def _without(arguments: dict[str, object], name: str) -> dict[str, object]:
    """The arguments except `name`, the corpus's location: equal data has an equal version wherever it was made."""
    return {key: value for key, value in arguments.items() if key != name}
