"""`train`: fine-tune a base model on a dataset. It can be killed at any moment and resumes from its checkpoint."""

from __future__ import annotations

from tasks.contract import digest_of
from tasks.contract.arguments import Train
from tasks.dataset.manifest import load_manifest
from tasks.models import describe
from tasks.step import StepContext, StepOutput
from training.finetuning.recipe import (
    choose_preset,
    require_fitting_preset,
    require_matching_features,
    resolve_base,
    resolve_recipe,
)

VERSION = 5


def inputs(arguments: Train) -> dict[str, str]:
    manifest, version = load_manifest(arguments.dataset)
    base = resolve_base(arguments, version)
    description = describe(base)
    require_matching_features(manifest, description.features, arguments.dataset)
    require_fitting_preset(arguments, description)
    recipe = resolve_recipe(arguments, arguments.preset or choose_preset(description))
    return {"dataset": version, "base": base.digest, "recipe": digest_of(recipe.model_dump(mode="json"))}


def run(arguments: Train, context: StepContext) -> StepOutput:
    from training.finetuning.run import fine_tune

    return fine_tune(arguments, context)
