"""Fine-tuning as a step: the run in MLflow, its processes, and what is published in the end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import structlog
import torch

from tasks import storage
from tasks.contract import Frozen, Misconfigured, Preempted, Reason, StepError, canonical_json, count_outcomes
from tasks.contract.arguments import Train
from tasks.dataset.manifest import load_manifest
from tasks.models import ModelReference, fetch
from tasks.step import StepContext, StepOutput, code_version
from training.families.family import Family
from training.families.model_folder import save_acoustic_model
from training.finetuning.distribution import peers_of
from training.finetuning.hardware import hardware
from training.finetuning.loop import mean_of_last
from training.finetuning.recipe import Recipe, base_of, load_preset, resolve_base, resolve_recipe
from training.finetuning.records import CURVE, MODEL_FOLDER, RECIPE, Curve
from training.finetuning.session import Session, Trained, follow, train
from training.finetuning.spelling import learn_spelling
from training.registry import tracking

log = structlog.get_logger()


class MlflowRun(Frozen):
    """Kept beside the checkpoints, so that a resumed attempt goes on in the same MLflow run."""

    run_id: str
    experiment_id: str


@dataclass(frozen=True)
class Start:
    """What a run starts from, resolved."""

    arguments: Train
    recipe: Recipe
    base: ModelReference
    dataset_version: str


def fine_tune(arguments: Train, context: StepContext) -> StepOutput:
    """Run the step; see `training.steps.train`."""
    _, version = load_manifest(arguments.dataset)
    start = Start(arguments, resolve_recipe(arguments), resolve_base(arguments), version)
    context.confirm("base", start.base.digest)
    run, live = _open_run(start, context)
    url = tracking.run_url(run.experiment_id, run.run_id)
    log.info("MLflow run", url=url)
    status, because = "FAILED", "a fault: see the log of the step"
    try:
        output = _fine_tune(start, context, live)
        status, because = "FINISHED", ""
    except StepError as error:  # asked to stop, or diverged: the run's page says so
        status, because = "KILLED" if isinstance(error, Preempted) else "FAILED", str(error)
        raise
    finally:
        lost = live.close(status, because)
    labels = {
        **output.labels,
        "base": start.base.version,
        "base_uri": base_of(arguments),
        "dataset": arguments.dataset,
        "dataset_version": version,
        "hardware": hardware(),
        "mlflow_run": run.run_id,
        "mlflow_url": url,
    }
    warnings = (*output.warnings, f"{lost} metrics did not reach MLflow") if lost else output.warnings
    return StepOutput(counts=output.counts, metrics=output.metrics, labels=labels, warnings=warnings)


def _fine_tune(start: Start, context: StepContext, live: tracking.LiveRun) -> StepOutput:
    session = Session(
        dataset=start.arguments.dataset,
        base=fetch(start.base, context.scratch),
        recipe=start.recipe,
        checkpoints=storage.join(context.prefix, "checkpoints"),
        attempt=context.attempt,
        scratch=context.scratch,
    )
    world = start.arguments.workers or max(1, torch.cuda.device_count())
    with context.graceful(), peers_of(world, follow, session) as peers:
        trained = train(session, peers, metrics=live.log, progress=context.progress, stop=context.stop)
    return _publish(context, start, session, trained)


def _open_run(start: Start, context: StepContext) -> tuple[MlflowRun, tracking.LiveRun]:
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
    experiment = tracking.experiment_id(client, start.arguments.experiment)
    name = f"train-{context.key[:8]}"
    created = client.create_run(
        experiment, run_name=name, tags={"airscript.key": context.key, "airscript.code_version": code_version()}
    )
    run = MlflowRun(run_id=created.info.run_id, experiment_id=experiment)
    parameters = {
        **start.recipe.model_dump(mode="json"),
        "preset": start.arguments.preset,
        "dataset": start.arguments.dataset,
        "dataset_version": start.dataset_version,
        "base_model": start.base.version,
    }
    tracking.log_parameters(client, run.run_id, parameters)
    storage.write(uri, run.model_dump_json().encode())
    return run, tracking.LiveRun(client, run.run_id)


def _publish(context: StepContext, start: Start, session: Session, trained: Trained) -> StepOutput:
    model, material, sample, state = trained.model, trained.material, trained.sample, trained.state
    folder = context.scratch / MODEL_FOLDER
    save_acoustic_model(model.module, session.base, folder)
    spelling = None
    if sample and model.family is not Family.WHISPER:  # Whisper's decoder can spell
        spelling = learn_spelling(folder, material.reader.texts(), sample)
        log.info("spelling model", **spelling.facts())
    for path in sorted(folder.iterdir()):
        context.publish(f"{MODEL_FOLDER}/{path.name}", path)
    curve = Curve(
        losses=tuple(loss if math.isfinite(loss) else None for loss in state.losses), validation_wers=tuple(state.wers)
    )
    context.publish(CURVE, canonical_json(curve.model_dump(mode="json")))
    context.publish(RECIPE, canonical_json(start.recipe.model_dump(mode="json")))
    context.publish("outcomes.jsonl", "".join(o.model_dump_json() + "\n" for o in material.dropped).encode())
    metrics = {
        "loss": mean_of_last(state.losses, 20),
        "audio_hours_per_hour": state.audio_s / max(state.train_s, 1e-9),
        "waiting_share": state.waited_s / max(state.train_s, 1e-9),
        "trained_audio_hours": state.audio_s / 3600,
        "dataset_hours": material.index.hours,
        "train_seconds": state.train_s,
    }
    if sample is not None:
        metrics |= {"validation_wer": state.best_wer, "base_validation_wer": state.wers[0][1]}
    if spelling:
        metrics |= {"spelling_validation_wer": spelling.wer}
    return StepOutput(
        counts={"utterances": len(material.index), "steps": state.step, **count_outcomes(material.dropped)},
        metrics=metrics,
        labels={
            "family": model.family,
            "best_step": str(state.best_step if sample else state.step),
            "ended": "early" if state.step < start.recipe.steps else "at its last step",
        },
        warnings=tuple(_warnings(start, trained)),
    )


def _warnings(start: Start, trained: Trained) -> Iterator[str]:
    preset = load_preset(start.arguments.preset)
    if preset.family is not trained.model.family:
        yield f"preset {start.arguments.preset} is made for {preset.family}, and this is {trained.model.family}"
    if start.recipe.hears_audio and not trained.material.reader.has_audio:
        yield "the dataset carries no audio: neither speed nor noise were changed"
    if trained.sample is None:
        yield "the dataset has no validation split: the last weights are kept"
    elif trained.state.best_step == 0:
        yield "no step scored better than the base model: its weights are kept"
