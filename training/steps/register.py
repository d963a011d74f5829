"""`register-model`: register a version in MLflow that carries everything needed to use it offline.

A model with the same content is registered only once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.contract import InputRejected, Reason, canonical_json
from tasks.contract.arguments import RegisterModel
from tasks.step import StepContext, StepOutput, load_result

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tasks.dataset.manifest import DatasetManifest
    from training.evaluation.records import Comparison, Evaluation
    from training.finetuning.recipe import Recipe
    from training.report.model_card import Sources

VERSION = 5
REGISTERED = "registered.json"
TEST_METRICS = ("wer", "wer_low", "wer_high", "cer", "rtfx", "invented_words_per_minute")


def inputs(arguments: RegisterModel) -> dict[str, str]:
    results = {
        "trained": arguments.trained,
        "converted": arguments.converted,
        "evaluation": arguments.evaluation,
        "comparison": arguments.comparison,
    }
    return {name: load_result(uri).content_digest for name, uri in results.items()}


def run(arguments: RegisterModel, context: StepContext) -> StepOutput:
    from tasks.models import fetch, resolve
    from tasks.models.content import content_digest
    from training.evaluation.records import SliceKind, load_comparison, load_evaluation
    from training.registry import tracking, versions
    from training.registry.packaging import CARD, pack
    from training.report.model_card import render_model_card

    name, evaluated = arguments.name, load_result(arguments.evaluation)
    evaluation, comparison = load_evaluation(arguments.evaluation), load_comparison(arguments.comparison)
    sources = _load_sources(arguments)
    model = fetch(resolve(sources.converted.labels["model"]), context.scratch)
    digest = content_digest(model)
    require_same_model(digest, evaluation, arguments.evaluation)
    card = render_model_card(sources, evaluation, evaluated, comparison)
    client = tracking.connect()
    run_id = _run_id(client, sources.trained.labels["mlflow_run"], name)
    if existing := versions.find_by_digest(client, name, digest):
        registration = versions.Registration(int(existing.version), is_new=False)
    else:
        tags = _tags(sources, evaluation, comparison)
        texts = {CARD: card, **_records(evaluation, sources.recipe)}
        package = pack(model, texts, {**tags, "model_digest": digest}, context.scratch)
        registration = versions.register(client, name, digest, package, run_id, tags, card)
    for part in evaluation.slices:
        if part.kind is SliceKind.REVIEWED:
            client.log_metric(run_id, "test_wer_reviewed", part.words.rate)
    for metric in TEST_METRICS:
        client.log_metric(run_id, f"test_{metric}", evaluated.metrics[metric])
    client.set_registered_model_alias(name, versions.CHALLENGER, str(registration.version))
    links = _publish_report(arguments, context, comparison, sources.manifest, client, run_id)
    context.publish(CARD, card.encode())
    registered = {"name": name, "version": registration.version, "model_digest": digest}
    context.publish(REGISTERED, canonical_json(registered))
    return StepOutput(
        metrics={"wer": evaluation.wer.value},
        labels={
            "name": name,
            "version": str(registration.version),
            "model": f"models:/{name}/{registration.version}",
            "registered": "yes" if registration.is_new else "already",
            **links,
            "url": tracking.version_url(name, registration.version),
        },
    )


def _publish_report(
    arguments: RegisterModel,
    context: StepContext,
    comparison: Comparison,
    manifest: DatasetManifest,
    client: MlflowClient,
    run_id: str,
) -> dict[str, str]:
    """Publish the report in storage and in MLflow; return its URI and the URL of its page."""
    from training.registry import tracking
    from training.report.material import load_material
    from training.report.training_report import REPORT, render_training_report

    run = load_material(arguments.name, arguments.trained, arguments.evaluation, comparison, manifest)
    page = render_training_report(run)
    client.log_text(run_id, page, REPORT)
    report = context.publish(REPORT, page.encode())
    experiment = client.get_run(run_id).info.experiment_id
    return {"report": report, "page": tracking.artifact_url(experiment, run_id, REPORT) or report}


def _load_sources(arguments: RegisterModel) -> Sources:
    from tasks.dataset.manifest import load_manifest
    from training.finetuning.records import load_recipe
    from training.report.model_card import Sources

    trained = load_result(arguments.trained)
    manifest, _ = load_manifest(trained.labels["dataset"])
    recipe = load_recipe(arguments.trained)
    return Sources(arguments.name, trained, recipe, load_result(arguments.converted), manifest)


def require_same_model(digest: str, evaluation: Evaluation, subject: str) -> None:
    """Raise InputRejected unless the evaluation is of the model with this digest."""
    if digest != evaluation.model_digest:
        raise InputRejected(
            f"the evaluation is of another model: {evaluation.model_version}",
            reason=Reason.INVALID_ARGUMENT,
            subject=subject,
            next_step="evaluate the model that convert-model's label `model` names",
        )


def _tags(sources: Sources, evaluation: Evaluation, comparison: Comparison) -> dict[str, str]:
    trained = sources.trained
    return {
        "family": trained.labels["family"],
        "base": trained.labels["base"],
        "base_uri": trained.labels["base_uri"],
        "dataset": sources.manifest.name,
        "dataset_version": trained.labels["dataset_version"],
        "code_version": trained.code_version,
        "normaliser": evaluation.normaliser,
        "wer": f"{evaluation.wer.value:.4f}",
        "wer_interval": f"{evaluation.wer.low:.4f} to {evaluation.wer.high:.4f}",
        "decision": comparison.decision.value,
    }


def _records(evaluation: Evaluation, recipe: Recipe) -> dict[str, str]:
    """Return the records that are packaged beside the weights, as JSON by file name."""
    from training.evaluation.records import EVALUATION
    from training.finetuning.records import RECIPE

    return {EVALUATION: evaluation.model_dump_json(indent=1), RECIPE: recipe.model_dump_json(indent=1)}


def _run_id(client: MlflowClient, run_id: str, name: str) -> str:
    """Return the training's own MLflow run, or a new one where that was deleted."""
    from training.registry import tracking

    if tracking.has_run(client, run_id):
        return run_id
    experiment = tracking.experiment_id(client, name)
    return str(client.create_run(experiment, run_name="register").info.run_id)
