"""Fine-tuning as a step: data, model, MLflow and checkpoints brought together around the loop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import structlog
import torch

from tasks import storage
from tasks.contract import (
    Frozen,
    InputRejected,
    ItemOutcome,
    Misconfigured,
    Outcome,
    Preempted,
    Reason,
    StepError,
    canonical_json,
    count_outcomes,
)
from tasks.contract.arguments import Train
from tasks.corpus.dataset import DatasetManifest, load_manifest
from tasks.features.config import FeaturesConfig
from tasks.models import ModelReference, fetch, resolve
from tasks.step import StepContext, StepOutput, code_version
from training import tracking
from training.checkpoints import Checkpoints
from training.data.augmentation import augmentation_rng
from training.data.augmented_batches import Augmenter
from training.data.loader import BatchLoader
from training.data.order import EpochOrder, Position
from training.data.shards import ShardReader, Utterance, UtteranceIndex
from training.families import AcousticModel, Batch, load_acoustic_model
from training.families.acoustic import save_acoustic_model
from training.families.lora import add_adapters
from training.hardware import denormals_flushed, hardware, use_all_cores
from training.loop import Course, RunState, Trainer, mean_of_last
from training.spelling import learn_spelling
from training.validation import ValidationSample, take_sample

log = structlog.get_logger()

SAMPLE_SECONDS = 300.0  # of the validation split, decoded at every validation
VALIDATIONS = 10  # over the whole run
POOL_SECONDS = 4 * 3600.0  # held in memory: 115 MB of features at 50 frames a second
MODEL_FOLDER = "model"


class MlflowRun(Frozen):
    """Kept beside the checkpoints, so that a resumed attempt goes on in the same MLflow run."""

    run_id: str
    experiment_id: str


@dataclass(frozen=True)
class Material:
    """What a split offers a model."""

    reader: ShardReader
    index: UtteranceIndex
    dropped: tuple[ItemOutcome, ...]


def fine_tune(arguments: Train, context: StepContext) -> StepOutput:
    """Run the step; see `training.train`."""
    manifest, version = load_manifest(arguments.dataset)
    reference = resolve(arguments.base)
    run, live = _open_run(arguments, context, version, reference)
    url = tracking.run_url(run.experiment_id, run.run_id)
    log.info("MLflow run", url=url)
    status = "FAILED"
    try:
        output = _fine_tune(arguments, context, manifest, reference, live)
        status = "FINISHED"
    except Preempted:
        status = "KILLED"
        raise
    finally:
        lost = live.close(status)
    labels = {
        **output.labels,
        "base": reference.version,
        "dataset": arguments.dataset,
        "dataset_version": version,
        "hardware": hardware(),
        "mlflow_run": run.run_id,
        "mlflow_url": url,
    }
    warnings = (*output.warnings, f"{lost} metrics did not reach MLflow") if lost else output.warnings
    return StepOutput(counts=output.counts, metrics=output.metrics, labels=labels, warnings=warnings)


def _fine_tune(
    arguments: Train,
    context: StepContext,
    manifest: DatasetManifest,
    reference: ModelReference,
    live: tracking.LiveRun,
) -> StepOutput:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        use_all_cores()
    base = fetch(reference, context.scratch)
    model = load_acoustic_model(base, device)
    check_features(manifest, model.features, arguments.dataset)
    if arguments.lora_rank:
        add_adapters(model.module, model.family, arguments.lora_rank)
    material = gather(model, manifest.uris("train"))
    if not len(material.index):
        raise InputRejected(
            "no utterance of the train split can be used",
            reason=Reason.NO_INPUT,
            subject=arguments.dataset,
            next_step="look at outcomes in assemble-dataset's result: texts or durations do not fit this model",
        )
    batch_frames = round(arguments.batch_seconds * model.features.frame_rate_hz)
    sample = _sample(model, manifest, batch_frames)
    trainer = Trainer(
        model,
        Course(
            steps=arguments.steps,
            learning_rate=arguments.learning_rate,
            validate_every=max(1, round(arguments.steps / VALIDATIONS)),
            seed=arguments.seed,
        ),
        sample,
        Checkpoints(storage.join(context.prefix, "checkpoints"), context.attempt, context.scratch),
        metrics=live.log,
        progress=context.progress,
        stop=context.stop,
    )
    with context.graceful(), denormals_flushed():
        if trainer.resume():
            log.info("resumed", step=trainer.state.step, of=arguments.steps)
        loader = _loader(arguments, model, material, batch_frames, trainer.state.position)
        try:
            trainer.run(loader)
        finally:
            loader.close()
    return _publish(context, model, base, material, sample, trainer.state)


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


def gather(model: AcousticModel, shards: list[str]) -> Material:
    """Index a split; what can teach this model nothing is dropped with its reason."""
    dropped: list[ItemOutcome] = []

    def judge(utterance_id: str, text: str, duration_s: float) -> bool:
        reason = model.rejects(text, duration_s)
        if reason is not None:
            dropped.append(
                ItemOutcome(item=utterance_id, outcome=Outcome.REJECTED, reason=reason, duration_s=duration_s)
            )
        return reason is None

    reader = ShardReader(shards)
    index = reader.index(model.features, judge)
    if dropped:
        log.warning("utterances that cannot teach this model", **count_outcomes(dropped))
    return Material(reader, index, tuple(dropped))


def _sample(model: AcousticModel, manifest: DatasetManifest, batch_frames: int) -> ValidationSample | None:
    material = gather(model, manifest.uris("validation"))
    if not len(material.index):
        log.warning("no validation split: the last weights are kept, whatever they are worth")
        return None
    return take_sample(model, material.reader, material.index, SAMPLE_SECONDS, batch_frames)


def _loader(
    arguments: Train, model: AcousticModel, material: Material, batch_frames: int, start: Position
) -> BatchLoader[Batch]:
    rate_hz = model.features.frame_rate_hz
    order = EpochOrder(material.index, batch_frames, round(POOL_SECONDS * rate_hz), arguments.seed)
    augmenter = Augmenter(model) if arguments.augment else None

    def make(position: Position, utterances: list[Utterance]) -> Batch:
        if augmenter is None:
            return model.collate(utterances)
        return augmenter(utterances, augmentation_rng(arguments.seed, position))

    return BatchLoader(material.reader, material.index, order, start, make)


def _open_run(
    arguments: Train, context: StepContext, version: str, reference: ModelReference
) -> tuple[MlflowRun, tracking.LiveRun]:
    """The MLflow run of this key: a new one, or the one that an earlier attempt began."""
    uri = storage.join(context.prefix, "mlflow-run.json")
    began = storage.exists(uri)
    try:
        client = tracking.connect()
    except Misconfigured as error:
        if not began:
            raise
        # It answered when this run began: a server that is away is a fault, to be tried again, and no wrong setting.
        raise StepError(
            error.message, reason=Reason.INTERNAL_ERROR, subject=error.subject, next_step="start it, then start again"
        ) from error
    if began:
        run = MlflowRun.model_validate_json(storage.read_bytes(uri))
        if tracking.reopen(client, run.run_id):
            return run, tracking.LiveRun(client, run.run_id)
    experiment = tracking.experiment_id(client, arguments.experiment)
    name = f"train-{context.key[:8]}"
    created = client.create_run(
        experiment, run_name=name, tags={"airscript.key": context.key, "airscript.code_version": code_version()}
    )
    run = MlflowRun(run_id=created.info.run_id, experiment_id=experiment)
    parameters = {
        **arguments.canonical(),
        "dataset": arguments.dataset,
        "dataset_version": version,
        "base_model": reference.version,
    }
    tracking.log_parameters(client, run.run_id, parameters)
    storage.write(uri, run.model_dump_json().encode())
    return run, tracking.LiveRun(client, run.run_id)


def _publish(
    context: StepContext,
    model: AcousticModel,
    base: Path,
    material: Material,
    sample: ValidationSample | None,
    state: RunState,
) -> StepOutput:
    folder = context.scratch / MODEL_FOLDER
    save_acoustic_model(model.module, base, folder)
    spelling = learn_spelling(folder, material.reader.texts(), sample) if sample else None
    if spelling:
        log.info("spelling model", **spelling.facts())
    for path in sorted(folder.iterdir()):
        context.publish(f"{MODEL_FOLDER}/{path.name}", path)
    curve = {
        "losses": [loss if math.isfinite(loss) else None for loss in state.losses],
        "validation_wers": [[step, wer] for step, wer in state.wers],
    }
    context.publish("curve.json", canonical_json(curve))
    context.publish("outcomes.jsonl", "".join(o.model_dump_json() + "\n" for o in material.dropped).encode())
    metrics = {
        "loss": mean_of_last(state.losses, 20),
        "audio_seconds_per_second": state.audio_s / max(state.train_s, 1e-9),
        "trained_audio_hours": state.audio_s / 3600,
        "dataset_hours": material.index.hours,
        "train_seconds": state.train_s,
    }
    warnings: tuple[str, ...] = ()
    if sample is not None:
        metrics |= {"validation_wer": state.best_wer, "base_validation_wer": state.wers[0][1]}
        if spelling:
            metrics |= {"spelling_validation_wer": spelling.wer}
        if state.best_step == 0:
            warnings = ("no step scored better than the base model: its weights are kept",)
    else:
        warnings = ("the dataset has no validation split: the last weights are kept",)
    return StepOutput(
        counts={"utterances": len(material.index), "steps": state.step, **count_outcomes(material.dropped)},
        metrics=metrics,
        labels={"family": model.family, "best_step": str(state.best_step if sample else state.step)},
        warnings=warnings,
    )
