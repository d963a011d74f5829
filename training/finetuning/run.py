"""Fine-tuning as the `train` step sees it: the MLflow run, the processes, and what is published at the end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import structlog
import torch

from tasks import storage
from tasks.contract import Frozen, Misconfigured, Preempted, Reason, StepError, canonical_json, count_outcomes
from tasks.contract.arguments import Train
from tasks.contract.recipe import PresetName
from tasks.dataset.integrity import verify_shards
from tasks.dataset.manifest import Split, load_manifest
from tasks.models import ModelReference, describe, fetch
from tasks.step import StepContext, StepOutput, code_version
from training.families.family import ModelFamily
from training.families.model_folder import save_acoustic_model, trainable_folder
from training.finetuning.distribution import launch_group
from training.finetuning.hardware import describe_hardware
from training.finetuning.loop import mean_of_last
from training.finetuning.recipe import Recipe, choose_preset, load_preset, resolve_base, resolve_recipe
from training.finetuning.records import CURVE, MODEL_FOLDER, RECIPE, Curve
from training.finetuning.session import RunSettings, TrainingResult, run_session, run_worker
from training.finetuning.spelling import SpellingChoice, learn_spelling
from training.registry import tracking

log = structlog.get_logger()

VERIFIED = "verified.json"  # beside the checkpoints: the shards that an attempt found intact


class MlflowRun(Frozen):
    """IDs kept beside the checkpoints, so that a resumed attempt logs to the same MLflow run."""

    run_id: str
    experiment_id: str


@dataclass(frozen=True)
class ResolvedInputs:
    """The step's arguments, with recipe, base model and dataset resolved."""

    arguments: Train
    preset: PresetName
    recipe: Recipe
    base: ModelReference
    dataset_version: str


def fine_tune(arguments: Train, context: StepContext) -> StepOutput:
    """Fine-tune a model; the step `training.steps.train`."""
    _, version = load_manifest(arguments.dataset)
    base = resolve_base(arguments, version)
    preset = arguments.preset or choose_preset(describe(base))
    resolved = ResolvedInputs(arguments, preset, resolve_recipe(arguments, preset), base, version)
    context.confirm("base", resolved.base.digest)
    run, live = _open_run(resolved, context)
    url = tracking.run_url(run.experiment_id, run.run_id)
    log.info("MLflow run", url=url)
    status, because = "FAILED", "fault: see the step's log"
    try:
        output = _train_and_publish(resolved, context, live)
        status, because = "FINISHED", ""
    except StepError as error:  # preempted, diverged or out of memory: tag the run with the reason
        status, because = "KILLED" if isinstance(error, Preempted) else "FAILED", str(error)
        raise
    finally:
        lost = live.close(status, because)
    labels = {
        **output.labels,
        "base": resolved.base.version,
        "base_uri": base.uri,
        "preset": preset,
        "dataset": arguments.dataset,
        "dataset_version": version,
        "hardware": describe_hardware(),
        "mlflow_run": run.run_id,
        "mlflow_url": url,
    }
    warnings = (*output.warnings, f"{lost} metrics could not be sent to MLflow") if lost else output.warnings
    return StepOutput(counts=output.counts, metrics=output.metrics, labels=labels, warnings=warnings)


def _train_and_publish(resolved: ResolvedInputs, context: StepContext, live: tracking.LiveRun) -> StepOutput:
    manifest, _ = load_manifest(resolved.arguments.dataset)
    verify_shards(manifest, (Split.TRAIN, Split.VALIDATION), storage.join(context.prefix, VERIFIED), context.progress)
    settings = RunSettings(
        dataset=resolved.arguments.dataset,
        base=trainable_folder(fetch(resolved.base, context.scratch)),
        recipe=resolved.recipe,
        checkpoints=storage.join(context.prefix, "checkpoints"),
        attempt=context.attempt,
        scratch=context.scratch,
    )
    world_size = resolved.arguments.workers or max(1, torch.cuda.device_count())
    # Several processes stop together, after a step. One stops at once where it has nothing to save.
    hold_all, hold_unsaved = (context.graceful, nullcontext) if world_size > 1 else (nullcontext, context.graceful)
    with hold_all(), launch_group(world_size, run_worker, settings) as group:
        result = run_session(
            settings,
            group,
            log_metrics=live.log,
            progress=context.progress,
            stop=context.stop,
            unsaved=hold_unsaved,
        )
    return _publish(context, resolved, settings, result)


def _open_run(resolved: ResolvedInputs, context: StepContext) -> tuple[MlflowRun, tracking.LiveRun]:
    """Open the MLflow run of this key: the one that an earlier attempt created, or a new one."""
    uri = storage.join(context.prefix, "mlflow-run.json")
    exists = storage.exists(uri)
    try:
        client = tracking.connect()
    except Misconfigured as error:
        if not exists:
            raise
        # The server answered when this run began, so it is down, not misconfigured: a fault, which is retried.
        raise StepError(
            error.message, reason=Reason.INTERNAL_ERROR, subject=error.subject, next_step="start the server, then retry"
        ) from error
    if exists:
        run = MlflowRun.model_validate_json(storage.read_bytes(uri))
        if tracking.reopen(client, run.run_id):
            return run, tracking.LiveRun(client, run.run_id)
    experiment = tracking.experiment_id(client, resolved.arguments.experiment)
    name = f"train-{context.key[:8]}"
    created = client.create_run(
        experiment, run_name=name, tags={"airscript.key": context.key, "airscript.code_version": code_version()}
    )
    run = MlflowRun(run_id=created.info.run_id, experiment_id=experiment)
    parameters = {
        **resolved.recipe.model_dump(mode="json"),
        "preset": resolved.preset,
        "dataset": resolved.arguments.dataset,
        "dataset_version": resolved.dataset_version,
        "base_model": resolved.base.version,
    }
    tracking.log_parameters(client, run.run_id, parameters)
    storage.write(uri, run.model_dump_json().encode())
    return run, tracking.LiveRun(client, run.run_id)


def _publish(
    context: StepContext, resolved: ResolvedInputs, settings: RunSettings, result: TrainingResult
) -> StepOutput:
    model, split, state = result.model, result.train_split, result.state
    folder = context.scratch / MODEL_FOLDER
    save_acoustic_model(model.module, settings.base, folder, resolved.recipe.tuned_share)
    spelling = None
    if (
        result.validation and model.family is not ModelFamily.WHISPER
    ):  # Whisper's decoder is a language model of its own
        spelling = learn_spelling(folder, split.reader.texts(), result.validation)
        log.info("spelling model", **spelling.figures())
    for path in sorted(folder.iterdir()):
        context.publish(f"{MODEL_FOLDER}/{path.name}", path)
    curve = Curve(
        losses=tuple(loss if math.isfinite(loss) else None for loss in state.losses), validation_wers=tuple(state.wers)
    )
    context.publish(CURVE, canonical_json(curve.model_dump(mode="json")))
    context.publish(RECIPE, canonical_json(resolved.recipe.model_dump(mode="json")))
    context.publish("outcomes.jsonl", "".join(o.model_dump_json() + "\n" for o in split.dropped).encode())
    return StepOutput(
        counts={"utterances": len(split.index), "steps": state.step, **count_outcomes(split.dropped)},
        metrics=_metrics(result, spelling),
        labels={
            "family": model.family,
            "best_step": str(state.best_step if result.validation else state.step),
            "ended": "early" if state.step < resolved.recipe.steps else "at its last step",
        },
        warnings=tuple(_warnings(resolved, result)),
    )


def _metrics(result: TrainingResult, spelling: SpellingChoice | None) -> dict[str, float]:
    state = result.state
    metrics = {
        "loss": mean_of_last(state.losses, 20),
        "audio_hours_per_hour": state.audio_s / max(state.train_s, 1e-9),
        "waiting_share": state.waited_s / max(state.train_s, 1e-9),
        "trained_audio_hours": state.audio_s / 3600,
        "dataset_hours": result.train_split.index.hours,
        "train_seconds": state.train_s,
    }
    if result.validation is not None:
        metrics |= {"validation_wer": state.best_wer, "base_validation_wer": state.wers[0][1]}
    if spelling:
        metrics["spelling_validation_wer"] = spelling.wer
    return metrics


def _warnings(resolved: ResolvedInputs, result: TrainingResult) -> Iterator[str]:
    name, family = resolved.preset, result.model.family
    tuned_for = load_preset(name).family
    if tuned_for is not family:
        yield f"preset {name} is tuned for {tuned_for}, and this model is {family}"
    if resolved.recipe.needs_audio and not result.train_split.reader.has_audio:
        yield "the dataset carries no audio: no speed change, no added noise"
    if result.validation is None:
        yield "the dataset has no validation split: the last weights are kept"
    elif result.state.best_step == 0:
        yield "no validation improved on the base model: its weights are kept"
