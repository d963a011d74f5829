"""`extract-features`: a shard's utterances with their log-mel features, one Parquet file for each split.

The rows keep their order and the batches are cut the same way each time, so the same utterances give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
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
    import torch

    from tasks.dataset.schema import RowWriter
    from tasks.features.logmel import LogMel

VERSION = 5
STEP = "extract-features"

# A row group is what training reads at once and at random: about ten seconds of speech a row, 160 kB with audio.
GROUP_ROWS, GROUP_BYTES = 64, 16 << 20
INDEX_ROWS = 8192
BATCH_SAMPLES = 240 * SAMPLE_RATE_HZ  # four minutes of speech and their frames take 100 MB


@dataclass
class _Files:
    """The writers of a shard's files, opened when the first row comes."""

    context: StepContext
    schema: Any
    stack: ExitStack
    writers: dict[Split, RowWriter]

    def writer(self, split: Split) -> RowWriter:
        from tasks.dataset.schema import RowWriter

        if split not in self.writers:
            path = self.context.scratch / f"{split}.parquet"
            writer = RowWriter(path, self.schema, max_rows=GROUP_ROWS, max_bytes=GROUP_BYTES)
            self.writers[split] = self.stack.enter_context(writer)
        return self.writers[split]


def inputs(arguments: ExtractFeatures) -> dict[str, str]:
    features_named(arguments.features)
    results = {"prepared": arguments.prepared} | ({"matched": arguments.matched} if arguments.matched else {})
    return {name: load_result(uri).content_digest for name, uri in results.items()}


def run(arguments: ExtractFeatures, context: StepContext) -> StepOutput:
    import torch

    from tasks.dataset.schema import INDEX, RowWriter, dataset_schema
    from tasks.features.logmel import LogMel

    # One thread: the bytes do not depend on the number of cores, and the shards run beside each other anyway.
    torch.set_num_threads(1)
    config = features_named(arguments.features)
    prepared = load_result(arguments.prepared)
    matches = read_matches(arguments.matched, prepared.content_digest) if arguments.matched else {}
    extractor = LogMel(config, "cuda" if torch.cuda.is_available() else "cpu")
    schema = dataset_schema(config.n_features, with_audio=arguments.with_audio)
    index_path = context.scratch / INDEX_NAME
    tallies: dict[Split, Tally] = {}
    dropped: list[ItemOutcome] = []
    drops: list[Drops] = []
    with ExitStack() as stack:
        files = _Files(context, schema, stack, {})
        index = stack.enter_context(RowWriter(index_path, INDEX, max_rows=INDEX_ROWS, max_bytes=GROUP_BYTES))
        for row, features in _extracted(output_uri(arguments.prepared, prepared, UTTERANCES), extractor, context):
            split, ms = Split(row["split"]), whole_ms(row["duration_s"])
            if fault := _fault(config, row["duration_s"], len(features)):
                drops.append({STEP: {fault: Tally(count=1, ms=ms)}})
                dropped.append(_dropped(row, fault, len(features)))
                continue
            row |= matches.get(row["utterance_id"], {})
            row |= {"input_features": features.cpu().numpy(), "features_config": config.to_json()}
            files.writer(split).write(row)
            index.write(row)
            tallies[split] = tallies.get(split, Tally()) + Tally(count=1, ms=ms)
    for split in Split:
        if split in files.writers:
            context.publish(f"{split}.parquet", context.scratch / f"{split}.parquet")
    context.publish(INDEX_NAME, index_path)
    context.publish(OUTCOMES, b"".join(outcome.model_dump_json().encode() + b"\n" for outcome in dropped))
    before = Summary.model_validate_json(storage.read_bytes(output_uri(arguments.prepared, prepared, SUMMARY)))
    summary = before.model_copy(
        update={"kept": sum(tallies.values(), Tally()), "dropped": merge([before.dropped, *drops])}
    )
    account = ShardAccount(
        summary=summary,
        rows=dict(sorted(tallies.items())),
        language=prepared.arguments["language"],
        normaliser=prepared.labels["normaliser"],
        features=arguments.features,
        examples=merge_examples(
            [
                examples_of(prepared.step, read_outcomes(output_uri(arguments.prepared, prepared, OUTCOMES))),
                examples_of(STEP, dropped),
            ]
        ),
        configuration={prepared.step: prepared.arguments, STEP: arguments.canonical()},
    )
    if arguments.matched:
        matched = load_result(arguments.matched)
        account = account.model_copy(
            update={
                "matched_by": matched.labels["model_version"],
                "configuration": account.configuration | {matched.step: matched.arguments},
            }
        )
    context.publish(ACCOUNT, account.model_dump_json().encode())
    return StepOutput(
        counts={
            "utterances": summary.kept.count,
            **{f"utterances_{split}": tally.count for split, tally in sorted(tallies.items())},
            **counts_of(merge(drops), "dropped"),
        },
        metrics={"hours_kept": summary.kept.hours, **hours_of(merge(drops), "dropped")},
        labels={"features": arguments.features, "device": str(extractor.device)},
    )


def _extracted(uri: str, extractor: LogMel, context: StepContext) -> Iterator[tuple[dict[str, Any], torch.Tensor]]:
    """Each row of the prepared utterances with its features, `(n_frames, n_mels)` float16, in order."""
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


def _fault(config: FeaturesConfig, duration_s: float, n_frames: int) -> Reason | None:
    """Why these features cannot be trained on."""
    if n_frames < 1:
        return Reason.TOO_SHORT
    if config.window_samples and duration_s * config.sample_rate_hz > config.window_samples:
        return Reason.TOO_LONG  # the window would cut words off that the text still has
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
        f"the audio of {utterance_id} is not what was written",
        reason=Reason.CORRUPT,
        subject=uri,
        next_step="delete the folder of that prepare-corpus result and run the step again",
    )
