"""`register-model`: a version in MLflow that carries everything needed to use it offline. The same model, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.contract import canonical_json
from tasks.contract.arguments import RegisterModel
from tasks.step import StepContext, StepOutput, load_result

if TYPE_CHECKING:
    from mlflow import MlflowClient

VERSION = 3
REGISTERED = "registered.json"


def inputs(arguments: RegisterModel) -> dict[str, str]:
    results = {
        "trained": arguments.trained,
        "converted": arguments.converted,
        "evaluation": arguments.evaluation,
        "comparison": arguments.comparison,
    }
    return {name: load_result(uri).content_digest for name, uri in results.items()}


def run(arguments: RegisterModel, context: StepContext) -> StepOutput:
    from tasks.contract import InputRejected, Reason
    from tasks.dataset.manifest import load_manifest
    from tasks.models import fetch, resolve
    from training.evaluation.records import EVALUATION, load_comparison, load_evaluation
    from training.finetuning.records import RECIPE, load_recipe
    from training.registry import tracking, versions
    from training.registry.content import content_digest
    from training.registry.packaging import CARD, pack
    from training.report.card import Sources, model_card
    from training.report.gather import REPORT, build_report

    trained, evaluated = load_result(arguments.trained), load_result(arguments.evaluation)
    evaluation = load_evaluation(arguments.evaluation)
    comparison = load_comparison(arguments.comparison)
    manifest, _ = load_manifest(trained.labels["dataset"])
    recipe = load_recipe(arguments.trained)
    converted = load_result(arguments.converted)
    model = fetch(resolve(converted.labels["model"]), context.scratch)
    digest = content_digest(model)
    if digest != evaluation.model_digest:
        raise InputRejected(
            f"the evaluation is of another model: {evaluation.model_version}",
            reason=Reason.INVALID_ARGUMENT,
            subject=arguments.evaluation,
            next_step="evaluate the model that convert-model's label `model` names",
        )
    sources = Sources(arguments.name, trained, recipe, converted, manifest)
    card = model_card(sources, evaluation, evaluated, comparison)
    facts = {
        "family": trained.labels["family"],
        "base": trained.labels["base"],
        "dataset": manifest.name,
        "dataset_version": trained.labels["dataset_version"],
        "code_version": trained.code_version,
        "normaliser": evaluation.normaliser,
        "wer": f"{evaluation.wer.value:.4f}",
        "wer_interval": f"{evaluation.wer.low:.4f} to {evaluation.wer.high:.4f}",
        "decision": comparison.decision.value,
    }
    client = tracking.connect()
    run_id = _run_of(client, trained.labels["mlflow_run"], arguments.name)
    found = versions.find_by_digest(client, arguments.name, digest)
    if found is None:
        kept = {EVALUATION: evaluation.model_dump_json(indent=1), RECIPE: recipe.model_dump_json(indent=1)}
        package = pack(model, {CARD: card, **kept}, {**facts, "model_digest": digest}, context.scratch)
        registration = versions.register(client, arguments.name, digest, package, run_id, facts, card)
    else:
        registration = versions.Registration(int(found.version), is_new=False)
    for metric in ("wer", "wer_low", "wer_high", "cer", "rtfx", "invented_words_per_minute"):
        client.log_metric(run_id, f"test_{metric}", evaluated.metrics[metric])
    client.set_registered_model_alias(arguments.name, versions.CHALLENGER, str(registration.version))
    page = build_report(arguments.name, arguments.trained, arguments.evaluation, comparison, manifest)
    client.log_text(run_id, page.decode(), REPORT)
    report = context.publish(REPORT, page)
    context.publish(CARD, card.encode())
    registered = {"name": arguments.name, "version": registration.version, "model_digest": digest}
    context.publish(REGISTERED, canonical_json(registered))
    return StepOutput(
        metrics={"wer": evaluation.wer.value},
        labels={
            "name": arguments.name,
            "version": str(registration.version),
            "model": f"models:/{arguments.name}/{registration.version}",
            "registered": "yes" if registration.is_new else "already",
            "report": report,
            "page": tracking.artifact_url(client.get_run(run_id).info.experiment_id, run_id, REPORT) or report,
            "url": tracking.version_url(arguments.name, registration.version),
        },
    )


def _run_of(client: MlflowClient, run_id: str, name: str) -> str:
    """The training's own MLflow run, or a new one where that was deleted."""
    from training.registry import tracking

    if tracking.has_run(client, run_id):
        return run_id
    experiment = tracking.experiment_id(client, name)
    return str(client.create_run(experiment, run_name="register").info.run_id)
