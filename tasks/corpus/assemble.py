"""`assemble-dataset`: repeats out, no leak between splits, and the manifest that makes shards a dataset.

Shards stay where they are; only those that lose rows are written again. The manifest comes last.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from tasks import storage
from tasks.contract import InputRejected, ItemOutcome, Reason, canonical_json
from tasks.contract.arguments import AssembleDataset
from tasks.corpus.dataset import LOCATIONS, MANIFEST, DatasetManifest, Shard, reference
from tasks.corpus.extract import ACCOUNT, INDEX_NAME, ShardAccount
from tasks.corpus.feature_names import features_named
from tasks.corpus.records import SAMPLE_RATE_HZ, Split
from tasks.corpus.summary import Drops, Summary, Tally, counts_of, hours_of, merge, total
from tasks.step import StepContext, StepOutput, load_result, output_uri

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from tasks.contract import StepResult
    from tasks.corpus.repeats import Rows

VERSION = 1
STEP = "assemble-dataset"

CARD, REPORT = "README.md", "report.html"


@dataclass(frozen=True)
class Extracted:
    """One shard: extract-features' result and what it says of itself."""

    uri: str
    result: StepResult
    account: ShardAccount

    def output(self, name: str) -> str:
        return output_uri(self.uri, self.result, name)


def inputs(arguments: AssembleDataset) -> dict[str, str]:
    results = {"scan": arguments.scan}
    results |= {f"extracted-{number:05d}": uri for number, uri in enumerate(arguments.extracted)}
    return {name: load_result(uri).content_digest for name, uri in results.items()}


def run(arguments: AssembleDataset, context: StepContext) -> StepOutput:
    import numpy as np

    from tasks.corpus.repeats import find_repeats, rows_of

    scan = load_result(arguments.scan)
    extracted = [_extracted(uri) for uri in arguments.extracted]
    common = _common(extracted)
    rows = rows_of(_indexes(extracted, context, "index"))
    repeats = find_repeats(rows)
    _check_leaks(rows, ~repeats, extracted, context)
    summary = _summary(scan, arguments.scan, extracted, rows, repeats)
    splits, locations = _shards(extracted, rows, repeats, context)
    if not splits[Split.TRAIN]:
        raise _no_training_data(arguments, summary)
    used = ~repeats
    manifest = DatasetManifest(
        name=arguments.name,
        language=common.language,
        sample_rate_hz=SAMPLE_RATE_HZ,
        normaliser=common.normaliser,
        features=common.features,
        features_config=asdict(features_named(common.features)),
        splits=splits,
        kept={split: _tally(rows, used & (rows.split == code)) for split, code in _codes().items()},
        programmes={
            split: len(np.unique(rows.programme[used & (rows.split == code)])) for split, code in _codes().items()
        },
        account=summary,
        configuration={scan.step: _without(scan.arguments, "media"), **common.configuration},
    )
    data = canonical_json(manifest.model_dump(mode="json")) + b"\n"
    version = hashlib.sha256(data).hexdigest()
    context.publish(LOCATIONS, canonical_json(locations) + b"\n")
    _publish_report(manifest, version, scan.arguments["media"], extracted, rows, used, context)
    manifest_uri = context.publish(MANIFEST, data)
    return _output(manifest, version, manifest_uri, context)


def _publish_report(
    manifest: DatasetManifest,
    version: str,
    source: str,
    extracted: list[Extracted],
    rows: Rows,
    used: np.ndarray,
    context: StepContext,
) -> None:
    """The card and the page for people."""
    from tasks.corpus import samples
    from tasks.corpus.report import card, page
    from tasks.corpus.statistics import Statistics

    statistics = Statistics()
    for number, table in enumerate(_indexes(extracted, context, "report")):
        statistics.add(table, used[rows.shard == number])
    uris = {
        (number, split): shard.output(f"{split}.parquet")
        for number, shard in enumerate(extracted)
        for split in Split
        if f"{split}.parquet" in shard.result.outputs
    }
    shown = list(samples.read(rows, samples.choose(rows, used), uris))
    context.publish(CARD, card(manifest, version, source, statistics).encode())
    context.publish(REPORT, page(manifest, version, source, statistics, shown).encode())


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
        },
        metrics={
            "hours": account.kept.hours,
            **{f"hours_{split}": tally.hours for split, tally in manifest.kept.items()},
            "hours_media": account.media.hours,
            "hours_uncaptioned": account.uncaptioned_ms / 3_600_000,
            **hours_of(account.dropped, "dropped"),
        },
        labels={
            "version": version,
            "name": manifest.name,
            "manifest": uri,
            "report": storage.join(context.prefix, context.path(REPORT)),
            "features": manifest.features,
        },
        warnings=tuple(f"the {split} split is empty: too few programmes have usable utterances" for split in empty),
    )


def _extracted(uri: str) -> Extracted:
    result = load_result(uri)
    return Extracted(
        uri, result, ShardAccount.model_validate_json(storage.read_bytes(output_uri(uri, result, ACCOUNT)))
    )


def _common(extracted: list[Extracted]) -> ShardAccount:
    """What all shards must agree on. Raises InputRejected when one was made otherwise."""
    first = extracted[0]
    for other in extracted[1:]:
        if _made(other.account) != _made(first.account):
            raise InputRejected(
                f"not made as {first.uri} was: {_made(other.account)} against {_made(first.account)}",
                reason=Reason.INVALID_ARGUMENT,
                subject=other.uri,
                next_step="prepare and extract all shards with the same arguments",
            )
    return first.account


def _made(account: ShardAccount) -> tuple[object, ...]:
    return account.language, account.normaliser, account.features, account.configuration


def _indexes(extracted: list[Extracted], context: StepContext, stage: str) -> Iterator[pa.Table]:
    from tasks.corpus.schema import open_parquet

    for number, shard in enumerate(extracted):
        context.progress(stage, number, len(extracted), "shards")
        with open_parquet(shard.output(INDEX_NAME)) as file:
            yield file.read()
    context.progress(stage, len(extracted), len(extracted), "shards")


def _check_leaks(rows: Rows, kept: np.ndarray, extracted: list[Extracted], context: StepContext) -> None:
    """Raises InputRejected when a programme, or the same audio, would be in two splits."""
    from tasks.corpus.identity import hash64
    from tasks.corpus.repeats import leaking_audio, leaking_programmes

    if len(leaks := leaking_programmes(rows)):
        hashes = set(leaks[:1000].tolist())
        names = {
            name
            for table in _indexes(extracted, context, "leaks")
            for name in table.column("programme_id").unique().to_pylist()
            if hash64(name) in hashes
        }
        raise InputRejected(
            f"{len(leaks)} programmes are in more than one split: {', '.join(sorted(names)[:5])}",
            reason=Reason.DUPLICATE,
            subject="splits",
            next_step="assemble shards of one scan only, each once",
        )
    if len(leaking_audio(rows, kept)):
        raise InputRejected(
            "the same audio is in more than one split",
            reason=Reason.DUPLICATE,
            subject="splits",
            next_step="this is a bug of assemble-dataset: report it with these inputs",
        )


def _summary(scan: StepResult, scan_uri: str, extracted: list[Extracted], rows: Rows, repeats: np.ndarray) -> Summary:
    """The whole account: what the scan left out, what the shards say, and the repeats found here."""
    summary = total(shard.account.summary for shard in extracted)
    drops: list[Drops] = [summary.dropped]
    if repeats.any():
        drops.append({STEP: {Reason.DUPLICATE: _tally(rows, repeats)}})
    return summary.model_copy(
        update={
            "kept": _tally(rows, ~repeats),
            "dropped": merge(drops),
            "rejected": merge([{scan.step: _left_out(scan, scan_uri)}, summary.rejected]),
        }
    )


def _left_out(scan: StepResult, uri: str) -> dict[Reason, Tally]:
    with storage.open_reader(output_uri(uri, scan, "outcomes.jsonl")) as file:
        reasons = Counter(ItemOutcome.model_validate_json(line).reason for line in file)
    return {reason: Tally(count=n) for reason, n in reasons.items() if reason is not None}


def _tally(rows: Rows, mask: np.ndarray) -> Tally:
    return Tally(count=int(mask.sum()), ms=int(rows.duration_ms[mask].sum()))


def _shards(
    extracted: list[Extracted], rows: Rows, repeats: np.ndarray, context: StepContext
) -> tuple[dict[Split, tuple[Shard, ...]], dict[str, str]]:
    """The shards of each split and where they lie. Those that lose rows are written again, under this step."""
    splits: dict[Split, list[Shard]] = {split: [] for split in Split}
    locations: dict[str, str] = {}
    for number, source in enumerate(extracted):
        for split in Split:
            artifact = source.result.outputs.get(f"{split}.parquet")
            places = rows.places(number, split)
            lost = repeats[places]
            if artifact is None or lost.all():
                continue
            name = f"{split}/{number:05d}.parquet"
            uri = source.output(f"{split}.parquet")
            if lost.any():
                uri = _rewrite(uri, ~lost, name, context)
                artifact = context.outputs[name]
            tally = Tally(count=int((~lost).sum()), ms=int(rows.duration_ms[places[~lost]].sum()))
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
    from tasks.corpus.schema import open_parquet, open_writer

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
        next_step="read outcomes.jsonl of the prepare-corpus steps, which names each file and reason",
    )


def _codes() -> dict[Split, int]:
    from tasks.corpus.planning import SPLIT_CODES

    return SPLIT_CODES


def _without(arguments: dict[str, object], name: str) -> dict[str, object]:
    """Arguments but the one that says where the corpus lies: equal data has an equal version wherever it was made."""
    return {key: value for key, value in arguments.items() if key != name}
