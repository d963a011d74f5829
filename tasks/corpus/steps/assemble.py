"""`assemble-dataset`: captions that do not match and repeats out, no leak between splits, and the manifest that makes
shards a dataset.

Shards stay where they are; only those that lose rows are written again. The manifest comes last.
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
from tasks.corpus.feature_names import features_named
from tasks.corpus.records import OUTCOMES, read_outcomes
from tasks.dataset.manifest import LOCATIONS, MANIFEST, DatasetManifest, Shard, Split, reference
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
    import pyarrow as pa

    from tasks.contract import StepResult
    from tasks.corpus.assembly.selection import Rows, Selection

VERSION = 4
STEP = "assemble-dataset"

CARD, REPORT = "README.md", "report.html"


def inputs(arguments: AssembleDataset) -> dict[str, str]:
    results = {"scan": arguments.scan}
    results |= {f"extracted-{number:05d}": uri for number, uri in enumerate(arguments.extracted)}
    return {name: load_result(uri).content_digest for name, uri in results.items()}


def run(arguments: AssembleDataset, context: StepContext) -> StepOutput:
    import numpy as np

    from tasks.corpus.assembly.selection import rows_of, select

    scan = load_result(arguments.scan)
    extracted = [read_shard(uri) for uri in arguments.extracted]
    common = common_account(extracted)
    rows = rows_of(indexes(extracted, context, "index"))
    selection = select(rows, arguments.max_match_error)
    used = selection.used
    _check_leaks(rows, used, extracted, context)
    summary = _summary(scan, arguments.scan, extracted, selection)
    splits, locations = _shards(extracted, selection, context)
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
        kept={split: _tally(rows, used & (rows.split == code)) for split, code in _codes().items()},
        programmes={
            split: len(np.unique(rows.programme[used & (rows.split == code)])) for split, code in _codes().items()
        },
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
    examples = merge_examples(
        [
            examples_of(scan.step, read_outcomes(output_uri(arguments.scan, scan, OUTCOMES))),
            *(shard.account.examples for shard in extracted),
            examples_of(STEP, _publish_outcomes(extracted, selection, context)),
        ]
    )
    _publish_report(manifest, version, scan.arguments["media"], extracted, selection, examples, context)
    manifest_uri = context.publish(MANIFEST, data)
    return _output(manifest, version, manifest_uri, context)


def _publish_outcomes(extracted: list[ExtractedShard], selection: Selection, context: StepContext) -> list[ItemOutcome]:
    """Say of each utterance that is dropped here why. Returns the first few of each reason."""
    told = []
    path = context.scratch / OUTCOMES
    with path.open("wb") as sink:
        for number, table in enumerate(indexes(extracted, context, "outcomes")):
            for reason, mask in selection.lost.items():
                dropped = table.filter(_mask(mask[selection.rows.of_shard(number)])).to_pylist()
                outcomes = [_dropped(row, reason) for row in dropped]
                sink.writelines(outcome.model_dump_json().encode() + b"\n" for outcome in outcomes)
                told += outcomes[:MAX_EXAMPLES]
    context.publish(OUTCOMES, path)
    return told


def _dropped(row: dict[str, Any], reason: Reason) -> ItemOutcome:
    details = {
        Reason.MATCH_ERROR: f"{row['match_error'] or 0:.2f}: the caption says {row['text'][:80]!r}, "
        f"heard was {(row['heard'] or '')[:80]!r}",
        Reason.DUPLICATE: f"the same audio is there already: {row['text'][:80]!r}",
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

    rows, used = selection.rows, selection.used
    kept = choose_rows(rows, used)
    mismatched = choose_rows(rows, selection.lost[Reason.MATCH_ERROR], N_MISMATCHED)
    statistics = Statistics()
    hypotheses: dict[int, str] = {}
    for number, table in enumerate(indexes(extracted, context, "report")):
        place = rows.of_shard(number)
        statistics.add(table, used[place])
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
        f"captions were held against different models ({', '.join(manifest.matched_by)}): the champion changed "
        "meanwhile; clear match_captions to use the newest throughout"
    )


def _check_leaks(rows: Rows, kept: np.ndarray, extracted: list[ExtractedShard], context: StepContext) -> None:
    """Raises InputRejected when a programme, or the same audio, would be in two splits."""
    from tasks.corpus.assembly.selection import leaking_audio, leaking_programmes
    from tasks.corpus.inventory.identity import hash64

    if len(leaks := leaking_programmes(rows)):
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
    if len(leaks := leaking_audio(rows, kept)):
        raise InputRejected(
            f"the same audio is in more than one split, {len(leaks)} times",
            reason=Reason.DUPLICATE,
            subject="splits",
            next_step="this is a bug of assemble-dataset: report it with these inputs",
        )


def _summary(scan: StepResult, scan_uri: str, extracted: list[ExtractedShard], selection: Selection) -> Summary:
    """The whole account: what the scan left out, what the shards say, and what is dropped here."""
    summary = total(shard.account.summary for shard in extracted)
    drops: list[Drops] = [summary.dropped]
    rows = selection.rows
    drops += [{STEP: {reason: _tally(rows, mask)}} for reason, mask in selection.lost.items() if mask.any()]
    return summary.model_copy(
        update={
            "kept": _tally(rows, selection.used),
            "dropped": merge(drops),
            "rejected": merge([{scan.step: _left_out(scan, scan_uri)}, summary.rejected]),
        }
    )


def _left_out(scan: StepResult, uri: str) -> dict[Reason, Tally]:
    reasons = Counter(outcome.reason for outcome in read_outcomes(output_uri(uri, scan, OUTCOMES)))
    return {reason: Tally(count=n) for reason, n in reasons.items() if reason is not None}


def _tally(rows: Rows, mask: np.ndarray) -> Tally:
    return Tally(count=int(mask.sum()), ms=int(rows.duration_ms[mask].sum()))


def _shards(
    extracted: list[ExtractedShard], selection: Selection, context: StepContext
) -> tuple[dict[Split, tuple[Shard, ...]], dict[str, str]]:
    """The shards of each split and where they lie. Those that lose rows are written again, under this step."""
    splits: dict[Split, list[Shard]] = {split: [] for split in Split}
    locations: dict[str, str] = {}
    rows, used = selection.rows, selection.used
    for number, source in enumerate(extracted):
        for split in Split:
            artifact = source.result.outputs.get(f"{split}.parquet")
            places = rows.places(number, split)
            kept = used[places]
            if artifact is None or not kept.any():
                continue
            name = f"{split}/{number:05d}.parquet"
            uri = source.output(f"{split}.parquet")
            if not kept.all():
                uri = _rewrite(uri, kept, name, context)
                artifact = context.outputs[name]
            tally = Tally(count=int(kept.sum()), ms=int(rows.duration_ms[places[kept]].sum()))
            splits[split].append(
                Shard(
                    name=name,
                    sha256=artifact.sha256,
                    bytes=artifact.bytes,
                    utterances=tally.count,
                    hours=tally.hours,
                )
            )
            locations[name] = reference(storage.join(context.prefix, context.attempt), uri)
        context.progress("shards", number + 1, len(extracted), "shards")
    return {split: tuple(shards) for split, shards in splits.items()}, locations


def _rewrite(uri: str, kept: np.ndarray, name: str, context: StepContext) -> str:
    """Publish the shard at `uri` with only the rows that are `kept`, row group by row group."""
    from tasks.dataset.schema import open_parquet, open_writer

    path = context.scratch / "rewritten.parquet"
    with open_parquet(uri) as file, open_writer(path, file.schema_arrow) as writer:
        at = 0
        for number in range(file.num_row_groups):
            table = file.read_row_group(number)
            mask = kept[at : at + len(table)]
            at += len(table)
            if mask.any():
                writer.write_table(table.filter(_mask(mask)))
    return context.publish(name, path)


def _mask(mask: np.ndarray) -> pa.Array:
    import pyarrow as pa

    return pa.array(mask)


def _no_training_data(arguments: AssembleDataset, summary: Summary) -> InputRejected:
    reasons = {**counts_of(summary.rejected, "programmes"), **counts_of(summary.dropped, "utterances")}
    told = ", ".join(f"{name} {n}" for name, n in sorted(reasons.items(), key=lambda item: -item[1])[:6])
    return InputRejected(
        f"no utterance is left to train on ({told or 'the transcripts gave none'})",
        reason=Reason.NO_INPUT,
        subject=arguments.scan,
        next_step=(
            "ask for a higher --max-match-error, or match with a better model"
            if Reason.MATCH_ERROR in summary.dropped.get(STEP, {})
            else "read outcomes.jsonl of the prepare-corpus steps, which names each file and reason"
        ),
    )


def _codes() -> dict[Split, int]:
    from tasks.corpus.inventory.planning import SPLIT_CODES

    return SPLIT_CODES


def _without(arguments: dict[str, object], name: str) -> dict[str, object]:
    """Arguments but the one that says where the corpus lies: equal data has an equal version wherever it was made."""
    return {key: value for key, value in arguments.items() if key != name}
