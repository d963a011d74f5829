"""`register-import`: register an imported model in MLflow. One with the same content is registered once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.contract import StepResult, canonical_json
from tasks.contract.arguments import RegisterImport
from tasks.step import StepContext, StepOutput, load_result
from training.steps.promote import NOT_COMPARED
from training.steps.register import REGISTERED, TEST_METRICS, require_same_model

if TYPE_CHECKING:
    from training.evaluation.records import Evaluation

VERSION = 1


def inputs(arguments: RegisterImport) -> dict[str, str]:
    optional = {"evaluation": arguments.evaluation, "comparison": arguments.comparison}
    return {
        "imported": load_result(arguments.imported).content_digest,
        "converted": load_result(arguments.converted).content_digest,
        **{name: load_result(uri).content_digest if uri else NOT_COMPARED for name, uri in optional.items()},
    }


def run(arguments: RegisterImport, context: StepContext) -> StepOutput:
    from tasks.models import fetch, resolve
    from tasks.models.content import content_digest
    from training.evaluation.records import load_comparison, load_evaluation
    from training.registry import tracking, versions
    from training.registry.packaging import CARD, pack
    from training.report.import_card import render_import_card

    imported, converted = load_result(arguments.imported), load_result(arguments.converted)
    evaluation = load_evaluation(arguments.evaluation) if arguments.evaluation else None
    evaluated = load_result(arguments.evaluation) if arguments.evaluation else None
    comparison = load_comparison(arguments.comparison) if arguments.comparison else None
    model = fetch(resolve(converted.labels["model"]), context.scratch)
    digest = content_digest(model)
    if evaluation:
        require_same_model(digest, evaluation, arguments.evaluation)
    card = render_import_card(arguments.name, imported, converted, digest, evaluation, evaluated, comparison)
    client = tracking.connect()
    if existing := versions.find_by_digest(client, arguments.name, digest):
        registration = versions.Registration(int(existing.version), is_new=False)
    else:
        experiment = tracking.experiment_id(client, arguments.name)
        run_id = str(client.create_run(experiment, run_name="import").info.run_id)
        tags = _tags(imported, evaluation)
        package = pack(model, {CARD: card}, {**tags, "model_digest": digest}, context.scratch)
        registration = versions.register(client, arguments.name, digest, package, run_id, tags, card)
        if evaluated:
            for metric in TEST_METRICS:
                client.log_metric(run_id, f"test_{metric}", evaluated.metrics[metric])
        client.set_terminated(run_id)
    version = str(registration.version)
    client.set_registered_model_alias(arguments.name, versions.CHALLENGER, version)
    report = context.publish(CARD, card.encode())
    registered = {"name": arguments.name, "version": registration.version, "model_digest": digest}
    context.publish(REGISTERED, canonical_json(registered))
    return StepOutput(
        metrics={"wer": evaluation.wer.value} if evaluation else {},
        labels={
            "name": arguments.name,
            "version": version,
            "model": f"models:/{arguments.name}/{version}",
            "registered": "yes" if registration.is_new else "already",
            "licence": imported.labels["licence"],
            "report": report,
            "url": tracking.version_url(arguments.name, registration.version),
        },
    )


def _tags(imported: StepResult, evaluation: Evaluation | None) -> dict[str, str]:
    tags = {name: imported.labels[name] for name in ("family", "features", "base", "licence")}
    if evaluation:
        tags["dataset_version"] = evaluation.dataset_version
        tags["wer"] = f"{evaluation.wer.value:.4f}"
    return tags | {"code_version": imported.code_version, "imported_from": imported.labels["base_uri"]}
