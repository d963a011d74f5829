"""What every process of a run does: model and data brought together, and the loop over them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

import structlog
import torch

from tasks.contract import InputRejected, ItemOutcome, Misconfigured, Outcome, Reason, count_outcomes
from tasks.dataset.manifest import DatasetManifest, load_manifest
from tasks.features.config import FeaturesConfig
from tasks.progress import ProgressHook, no_progress
from training.data.loader import BatchLoader
from training.data.order import EpochOrder
from training.data.shards import ShardReader, UtteranceIndex
from training.families import AcousticModel, Batch, load_acoustic_model
from training.families.lora import add_adapters
from training.finetuning.batches import BatchMaker
from training.finetuning.checkpoints import Checkpoints
from training.finetuning.distribution import Peers
from training.finetuning.hardware import denormals_flushed, spare_threads, use_all_cores
from training.finetuning.loop import Metrics, RunState, Trainer
from training.finetuning.recipe import Recipe
from training.finetuning.validation import ValidationSample, take_sample

log = structlog.get_logger()

POOL_SECONDS = 4 * 3600.0  # held in memory twice, in use and coming: 115 MB of features each at 50 frames a second


@dataclass(frozen=True)
class Session:
    """What a run is made of; every process gets the same."""

    dataset: str
    base: Path
    recipe: Recipe
    checkpoints: str
    attempt: str
    scratch: Path


@dataclass(frozen=True)
class Material:
    """What a split offers a model."""

    reader: ShardReader
    index: UtteranceIndex
    dropped: tuple[ItemOutcome, ...]


@dataclass(frozen=True)
class Trained:
    """Where a run came to."""

    model: AcousticModel
    material: Material
    sample: ValidationSample | None
    state: RunState


def train(session: Session, peers: Peers, *, metrics: Metrics, progress: ProgressHook, stop: Event) -> Trained:
    """This process's part of the run, from loading the model to its end."""
    if peers.device.type == "cpu":
        use_all_cores(peers.world)
    # Before anything is computed: torch's threads keep the setting that they were started with.
    with denormals_flushed():
        return _train(session, peers, metrics, progress, stop)


def _train(session: Session, peers: Peers, metrics: Metrics, progress: ProgressHook, stop: Event) -> Trained:
    recipe = session.recipe
    manifest, _ = load_manifest(session.dataset)
    model = load_acoustic_model(session.base, str(peers.device), manifest.language)
    check_features(manifest, model.features, session.dataset)
    if recipe.lora_rank:
        add_adapters(model.module, model.family, recipe.lora_rank)
    if recipe.gradient_checkpointing:
        model.module.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    material = gather(model, manifest.uris("train"), with_audio=recipe.hears_audio)
    if not len(material.index):
        raise InputRejected(
            "no utterance of the train split can be used",
            reason=Reason.NO_INPUT,
            subject=session.dataset,
            next_step="look at outcomes in assemble-dataset's result: texts or durations do not fit this model",
        )
    batch_frames = round(recipe.batch_seconds * model.features.frame_rate_hz)
    sample = take_validation_sample(model, manifest, recipe.validation_seconds, batch_frames) if peers.leads else None
    trainer = Trainer(
        model,
        recipe,
        sample,
        Checkpoints(session.checkpoints, session.attempt, session.scratch),
        peers=peers,
        metrics=metrics,
        progress=progress,
        stop=stop,
    )
    if trainer.resume():
        log.info("resumed", step=trainer.state.step, of=recipe.steps, rank=peers.share.rank)
    pool_frames = round(POOL_SECONDS * model.features.frame_rate_hz)
    order = EpochOrder(material.index, batch_frames, pool_frames, recipe.seed)
    loader: BatchLoader[Batch] = BatchLoader(
        material.reader,
        material.index,
        order,
        trainer.state.position,
        BatchMaker(model, recipe, peers.share),
        peers.share,
        threads=spare_threads(peers.world),
    )
    try:
        trainer.run(loader)
    except torch.OutOfMemoryError as error:  # the order is the same every time: so would be the batch
        raise Misconfigured(
            str(error),
            reason=Reason.MEMORY_LIMIT,
            subject=f"the batch of step {trainer.state.step + 1}",
            next_step="lower batch_seconds or set gradient_checkpointing",
        ) from error
    finally:
        loader.close()
    return Trained(model, material, sample, trainer.state)


def follow(peers: Peers, session: Session) -> None:
    """The life of a process that does not lead."""
    scratch = session.scratch / f"rank-{peers.share.rank}"
    scratch.mkdir()
    train(replace(session, scratch=scratch), peers, metrics=_unheard, progress=no_progress, stop=Event())


def _unheard(step: int, figures: dict[str, float]) -> None:
    """Rank 0 reports for all."""


def check_features(manifest: DatasetManifest, wanted: FeaturesConfig, dataset: str) -> None:
    """A model understands only the features that it was made for."""
    given = FeaturesConfig(**manifest.features_config)
    if given != wanted:
        raise InputRejected(
            f"the dataset's features are {manifest.features} ({given.to_json()}), the model takes {wanted.to_json()}",
            reason=Reason.INVALID_ARGUMENT,
            subject=dataset,
            next_step="extract features for this model's family: extract-features --features",
        )


def gather(model: AcousticModel, shards: list[str], *, with_audio: bool = False) -> Material:
    """Index a split; what can teach this model nothing is dropped with its reason."""
    dropped: list[ItemOutcome] = []

    def judge(utterance_id: str, text: str, duration_s: float) -> bool:
        reason = model.rejects(text, duration_s)
        if reason is not None:
            dropped.append(
                ItemOutcome(item=utterance_id, outcome=Outcome.REJECTED, reason=reason, duration_s=duration_s)
            )
        return reason is None

    reader = ShardReader(shards, with_audio=with_audio)
    if with_audio and not reader.has_audio:
        log.warning("the dataset carries no audio: neither speed nor noise are changed")
    index = reader.index(model.features, judge)
    if dropped:
        log.warning("utterances that cannot teach this model", **count_outcomes(dropped))
    return Material(reader, index, tuple(dropped))


def take_validation_sample(
    model: AcousticModel, manifest: DatasetManifest, seconds: float, batch_frames: int
) -> ValidationSample | None:
    """About `seconds` of the validation split; None where there is none."""
    material = gather(model, manifest.uris("validation"))
    if not len(material.index):
        log.warning("no validation split: the last weights are kept, whatever they are worth")
        return None
    return take_sample(model, material.reader, material.index, seconds, batch_frames)
