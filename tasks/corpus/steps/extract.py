"""`extract-features`: add log-mel features to a shard's utterances, in one Parquet file for each split.

Rows keep their order and batches are always cut the same way, so the same utterances give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks import storage
from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import InputRejected, ItemOutcome, Outcome, Reason
from tasks.contract.arguments import ExtractFeatures
from tasks.corpus.feature_names import features_named
from tasks.corpus.records import ACCOUNT, INDEX_NAME, OUTCOMES, UTTERANCES, ShardAccount, read_matches, read_outcomes
from tasks.dataset.manifest import Split
from tasks.dataset.summary import (
    SUMMARY,
    Drops,
    Summary,
    Tally,
    counts_of,
    examples_of,
    hours_of,
    merge,
    merge_examples,
    whole_ms,
)
from tasks.features.config import FeaturesConfig
from tasks.step import StepContext, StepOutput, load_result, output_uri

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

    from tasks.contract import StepResult
    from tasks.dataset.schema import RowWriter
    from tasks.features.logmel import LogMel

VERSION = 6
STEP = "extract-features"

# Training reads one row group at a time, in random order: a row is about ten seconds of speech, 160 kB with audio.
GROUP_ROWS, GROUP_BYTES = 64, 16 << 20
INDEX_ROWS = 8192
BATCH_SAMPLES = 240 * SAMPLE_RATE_HZ  # four minutes of speech; with their frames they take 100 MB


@dataclass
class _Extraction:
    """What became of a shard's utterances."""

    kept: dict[Split, Tally] = field(default_factory=dict)
    outcomes: list[ItemOutcome] = field(default_factory=list)
    drops: list[Drops] = field(default_factory=list)

    @property
    def dropped(self) -> Drops:
        return merge(self.drops)

    def keep(self, split: Split, ms: int) -> None:
        self.kept[split] = self.kept.get(split, Tally()) + Tally(count=1, ms=ms)

    def drop(self, row: dict[str, Any], reason: Reason, n_frames: int) -> None:
        self.drops.append({STEP: {reason: Tally(count=1, ms=whole_ms(row["duration_s"]))}})
        self.outcomes.append(_dropped(row, reason, n_frames))


class _ShardWriters:
    """The Parquet writers of a shard: one for each split, opened with its first row, and the index."""

    def __init__(self, scratch: Path, schema: pa.Schema, stack: ExitStack) -> None:
        from tasks.dataset.schema import INDEX, RowWriter

        self._scratch, self._schema, self._stack = scratch, schema, stack
        self._splits: dict[Split, RowWriter] = {}
        self._index = stack.enter_context(
            RowWriter(scratch / INDEX_NAME, INDEX, max_rows=INDEX_ROWS, max_bytes=GROUP_BYTES)
        )

    def write(self, split: Split, row: dict[str, Any]) -> None:
        from tasks.dataset.schema import RowWriter

        if split not in self._splits:
            writer = RowWriter(
                self._scratch / f"{split}.parquet", self._schema, max_rows=GROUP_ROWS, max_bytes=GROUP_BYTES
            )
            self._splits[split] = self._stack.enter_context(writer)
        self._splits[split].write(row)
        self._index.write(row)


def inputs(arguments: ExtractFeatures) -> dict[str, str]:
    features_named(arguments.features)
    results = {"prepared": arguments.prepared} | ({"matched": arguments.matched} if arguments.matched else {})
    return {name: load_result(uri).content_digest for name, uri in results.items()}


def run(arguments: ExtractFeatures, context: StepContext) -> StepOutput:
    import torch

    from tasks.features.logmel import LogMel

    # One thread: the output must not depend on the number of cores, and shards run in parallel anyway.
    torch.set_num_threads(1)
    config = features_named(arguments.features)
    prepared = load_result(arguments.prepared)
    extractor = LogMel(config, "cuda" if torch.cuda.is_available() else "cpu")
    extraction = _extract(arguments, prepared, extractor, context)
    _publish_shard(extraction, context)
    account = _account(arguments, prepared, extraction)
    context.publish(ACCOUNT, account.model_dump_json().encode())
    dropped = extraction.dropped
    return StepOutput(
        counts={
            "utterances": account.summary.kept.count,
            **{f"utterances_{split}": tally.count for split, tally in sorted(extraction.kept.items())},
            **counts_of(dropped, "dropped"),
        },
        metrics={"hours_kept": account.summary.kept.hours, **hours_of(dropped, "dropped")},
        labels={"features": arguments.features, "device": str(extractor.device)},
    )


def _extract(arguments: ExtractFeatures, prepared: StepResult, extractor: LogMel, context: StepContext) -> _Extraction:
    """Write all usable utterances with their features to files in the scratch folder."""
    from tasks.dataset.schema import dataset_schema

    config = extractor.config
    matches = read_matches(arguments.matched, prepared.content_digest) if arguments.matched else {}
    utterances = output_uri(arguments.prepared, prepared, UTTERANCES)
    extraction = _Extraction()
    with ExitStack() as stack:
        schema = dataset_schema(config.n_features, with_audio=arguments.with_audio)
        writers = _ShardWriters(context.scratch, schema, stack)
        for row, features in _rows_with_features(utterances, extractor, context):
            if reason := _rejection_reason(config, row["duration_s"], len(features)):
                extraction.drop(row, reason, len(features))
                continue
            row |= matches.get(row["utterance_id"], {})
            row |= {"input_features": features.cpu().numpy(), "features_config": config.to_json()}
            split = Split(row["split"])
            writers.write(split, row)
            extraction.keep(split, whole_ms(row["duration_s"]))
    return extraction


def _publish_shard(extraction: _Extraction, context: StepContext) -> None:
    for split in Split:
        if split in extraction.kept:
            context.publish(f"{split}.parquet", context.scratch / f"{split}.parquet")
    context.publish(INDEX_NAME, context.scratch / INDEX_NAME)
    context.publish(OUTCOMES, b"".join(outcome.model_dump_json().encode() + b"\n" for outcome in extraction.outcomes))


def _account(arguments: ExtractFeatures, prepared: StepResult, extraction: _Extraction) -> ShardAccount:
    before = Summary.model_validate_json(storage.read_bytes(output_uri(arguments.prepared, prepared, SUMMARY)))
    kept = sum(extraction.kept.values(), Tally())
    outcomes = read_outcomes(output_uri(arguments.prepared, prepared, OUTCOMES))
    configuration = {prepared.step: prepared.arguments, STEP: arguments.canonical()}
    matched_by = ""
    if arguments.matched:
        matched = load_result(arguments.matched)
        matched_by = matched.labels["model_version"]
        configuration |= {matched.step: matched.arguments}
    return ShardAccount(
        summary=before.model_copy(update={"kept": kept, "dropped": merge([before.dropped, *extraction.drops])}),
        rows=dict(sorted(extraction.kept.items())),
        language=prepared.arguments["language"],
        normaliser=prepared.labels["normaliser"],
        features=arguments.features,
        examples=merge_examples([examples_of(prepared.step, outcomes), examples_of(STEP, extraction.outcomes)]),
        matched_by=matched_by,
        configuration=configuration,
    )


def _rows_with_features(
    uri: str, extractor: LogMel, context: StepContext
) -> Iterator[tuple[dict[str, Any], torch.Tensor]]:
    """Yield each row of the prepared utterances with its features, `(n_frames, n_features)` float16, in order."""
    import torch

    from tasks.dataset import flac
    from tasks.dataset.schema import open_parquet

    with open_parquet(uri) as file:
        done, n_rows = 0, file.metadata.num_rows
        batch: list[dict[str, Any]] = []
        waveforms: list[Any] = []

        def flush() -> Iterator[tuple[dict[str, Any], torch.Tensor]]:
            for row, features in zip(batch, extractor(waveforms), strict=True):
                yield row, features.to(torch.float16)
            batch.clear()
            waveforms.clear()

        for number in range(file.num_row_groups):
            for row in file.read_row_group(number).to_pylist():
                samples = flac.decode(row["audio"])
                if flac.digest(samples) != row["sha256"]:
                    raise _corrupt(uri, row["utterance_id"])
                batch.append(row)
                waveforms.append(flac.to_float(samples))
                if sum(len(w) for w in waveforms) >= BATCH_SAMPLES:
                    yield from flush()
                done += 1
            context.progress("extract", done, n_rows, "utterances")
        yield from flush()


def _rejection_reason(config: FeaturesConfig, duration_s: float, n_frames: int) -> Reason | None:
    """Why the features cannot be used for training, or None."""
    if n_frames < 1:
        return Reason.TOO_SHORT
    if config.window_samples and duration_s * config.sample_rate_hz > config.window_samples:
        return Reason.TOO_LONG  # the window would cut off words that are in the text
    return None


def _dropped(row: dict[str, Any], reason: Reason, n_frames: int) -> ItemOutcome:
    return ItemOutcome(
        item=row["utterance_id"],
        outcome=Outcome.REJECTED,
        reason=reason,
        detail=f"{n_frames} frames of features from {row['duration_s']:g} s",
        duration_s=row["duration_s"],
    )


def _corrupt(uri: str, utterance_id: str) -> InputRejected:
    return InputRejected(
        f"the audio of {utterance_id} has changed since it was written",
        reason=Reason.CORRUPT,
        subject=uri,
        next_step="delete the folder of that prepare-corpus result and run the step again",
    )
