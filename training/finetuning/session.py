"""One process's training session: load model and data, then run the loop over them."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import structlog
import torch

from tasks.contract import InputRejected, ItemOutcome, Misconfigured, Outcome, Reason, count_outcomes
from tasks.dataset.manifest import DatasetManifest, load_manifest
from tasks.progress import ProgressHook, no_progress
from training.data.joining import Joining
from training.data.loader import BatchLoader
from training.data.order import EpochOrder
from training.data.shards import ShardReader, UtteranceIndex
from training.families.acoustic import AcousticModel, PaddedBatch
from training.families.lora import add_adapters
from training.families.model_folder import load_acoustic_model
from training.families.whisper import Whisper
from training.finetuning.batches import BatchMaker
from training.finetuning.checkpoints import Checkpoints
from training.finetuning.distribution import ProcessGroup
from training.finetuning.hardware import flush_denormals, loader_threads, use_all_cores
from training.finetuning.loop import HoldStop, LogMetrics, RunState, Trainer
from training.finetuning.recipe import Recipe, require_matching_features
from training.finetuning.validation import ValidationSample, take_sample
from training.finetuning.written_texts import WrittenTexts

log = structlog.get_logger()

POOL_SECONDS = 4 * 3600.0  # two pools in memory, current and next: 115 MB of features each at 50 frames a second


@dataclass(frozen=True)
class RunSettings:
    """Settings of a run, the same for every process."""

    dataset: str
    base: Path
    recipe: Recipe
    checkpoints: str
    attempt: str
    scratch: Path


@dataclass(frozen=True)
class IndexedSplit:
    """A split, indexed: the utterances that the model can be trained on, and those dropped."""

    reader: ShardReader
    index: UtteranceIndex
    dropped: tuple[ItemOutcome, ...]


@dataclass(frozen=True)
class TrainingResult:
    """The trained model, and how the run went."""

    model: AcousticModel
    train_split: IndexedSplit
    validation: ValidationSample | None
    state: RunState


def run_session(
    settings: RunSettings,
    group: ProcessGroup,
    *,
    log_metrics: LogMetrics,
    progress: ProgressHook,
    stop: Event,
    unsaved: HoldStop = nullcontext,
) -> TrainingResult:
    """Run this process's part of the training, from loading the model to the last step. `unsaved`: see `Trainer`."""
    if group.device.type == "cpu":
        use_all_cores(group.world_size)
    # Before any computation: torch's threads keep the setting that they start with.
    with flush_denormals():
        return _train(settings, group, log_metrics, progress, stop, unsaved)


def _train(
    settings: RunSettings,
    group: ProcessGroup,
    log_metrics: LogMetrics,
    progress: ProgressHook,
    stop: Event,
    unsaved: HoldStop,
) -> TrainingResult:
    recipe = settings.recipe
    manifest, _ = load_manifest(settings.dataset)
    model = load_acoustic_model(settings.base, str(group.device), manifest.language)
    require_matching_features(manifest, model.features, settings.dataset)
    if recipe.frozen_encoder:
        _freeze_encoder(model, settings)
    if recipe.lora_rank:
        add_adapters(model.module, model.family, recipe.lora_rank, decoder_only=recipe.frozen_encoder)
    if recipe.gradient_checkpointing:
        model.module.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    train_split = index_split(
        model, manifest.uris("train"), with_audio=recipe.needs_audio, joining=_joining(model, recipe)
    )
    if not len(train_split.index):
        raise InputRejected(
            "no utterance of the train split can be used",
            reason=Reason.NO_INPUT,
            subject=settings.dataset,
            next_step="check the outcomes in assemble-dataset's result: texts or durations do not fit this model",
        )
    batch_frames = round(recipe.batch_seconds * model.features.frame_rate_hz)
    validation = (
        load_validation_sample(model, manifest, recipe.validation_seconds, batch_frames) if group.is_rank_zero else None
    )
    trainer = Trainer(
        model,
        recipe,
        validation,
        Checkpoints(settings.checkpoints, settings.attempt, settings.scratch),
        group=group,
        log_metrics=log_metrics,
        progress=progress,
        stop=stop,
        unsaved=unsaved,
    )
    if trainer.resume():
        log.info("resumed", step=trainer.state.step, of=recipe.steps, rank=group.share.rank)
    pool_frames = round(POOL_SECONDS * model.features.frame_rate_hz)
    order = EpochOrder(train_split.index, batch_frames, pool_frames, recipe.seed)
    loader: BatchLoader[PaddedBatch] = BatchLoader(
        train_split.reader,
        train_split.index,
        order,
        trainer.state.position,
        BatchMaker(model, recipe, group.share, _written_texts(model, settings, group)),
        group.share,
        threads=loader_threads(group.world_size),
    )
    try:
        trainer.run(loader)
    except torch.OutOfMemoryError as error:  # not transient: a retry would meet the same batch
        raise Misconfigured(
            str(error),
            reason=Reason.MEMORY_LIMIT,
            subject=f"the batch of step {trainer.state.step + 1}",
            next_step="lower batch_seconds or set gradient_checkpointing",
        ) from error
    finally:
        loader.close()
    return TrainingResult(model, train_split, validation, trainer.state)


def _freeze_encoder(model: AcousticModel, settings: RunSettings) -> None:
    if not isinstance(model, Whisper):
        raise Misconfigured(
            f"{model.family} has no encoder to freeze apart from what is trained",
            reason=Reason.INVALID_ARGUMENT,
            subject="frozen_encoder",
            next_step="set it for a Whisper only",
        )
    model.freeze_encoder(settings.scratch / "encodings")


def _joining(model: AcousticModel, recipe: Recipe) -> Joining | None:
    """How neighbours are joined; None where the recipe joins none, or short utterances cost the model less."""
    if not (recipe.join_seconds and model.features.window_samples):
        return None
    return Joining(recipe.join_seconds, recipe.seed, lambda text, s: model.rejection_reason(text, s) is None)


def _written_texts(model: AcousticModel, settings: RunSettings, group: ProcessGroup) -> WrittenTexts | None:
    if not (settings.recipe.written_form and isinstance(model, Whisper)):
        return None
    return WrittenTexts(settings.base, model, group.device)


def run_worker(group: ProcessGroup, settings: RunSettings) -> None:
    """Run the session of a worker (any rank but 0)."""
    scratch = settings.scratch / f"rank-{group.share.rank}"
    scratch.mkdir()
    run_session(
        replace(settings, scratch=scratch), group, log_metrics=_discard_metrics, progress=no_progress, stop=Event()
    )


def _discard_metrics(step: int, metrics: dict[str, float]) -> None:
    """Workers log nothing: rank 0 reports for all."""


def index_split(
    model: AcousticModel, shards: list[str], *, with_audio: bool = False, joining: Joining | None = None
) -> IndexedSplit:
    """Index a split's utterances; those that the model cannot be trained on are dropped with their reason."""
    dropped: list[ItemOutcome] = []

    def is_usable(utterance_id: str, text: str, duration_s: float) -> bool:
        reason = model.rejection_reason(text, duration_s)
        if reason is not None:
            dropped.append(
                ItemOutcome(item=utterance_id, outcome=Outcome.REJECTED, reason=reason, duration_s=duration_s)
            )
        return reason is None

    reader = ShardReader(shards, with_audio=with_audio)
    if with_audio and not reader.has_audio:
        log.warning("the dataset carries no audio: no speed change, no added noise")
    index = reader.index(model.features, is_usable, joining.windows if joining else None)
    if dropped:
        log.warning("dropped utterances that the model cannot be trained on", **count_outcomes(dropped))
    return IndexedSplit(reader, index, tuple(dropped))


def load_validation_sample(
    model: AcousticModel, manifest: DatasetManifest, seconds: float, batch_frames: int
) -> ValidationSample | None:
    """Sample about `seconds` of the validation split; None where there is none."""
    split = index_split(model, manifest.uris("validation"))
    if not len(split.index):
        log.warning("no validation split: the last weights are kept, unvalidated")
        return None
    return take_sample(model, split.reader, split.index, seconds, batch_frames)
