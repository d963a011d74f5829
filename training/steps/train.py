"""`train`: fine-tune a base model on a dataset. It can be killed at any moment and resumes from its checkpoint."""

from __future__ import annotations

from tasks.contract import digest_of
from tasks.contract.arguments import Train
from tasks.dataset.manifest import load_manifest
from tasks.step import StepContext, StepOutput
from training.finetuning.recipe import resolve_base, resolve_recipe

VERSION = 5


def inputs(arguments: Train) -> dict[str, str]:
    _, version = load_manifest(arguments.dataset)
    recipe = digest_of(resolve_recipe(arguments).model_dump(mode="json"))
    return {"dataset": version, "base": resolve_base(arguments).digest, "recipe": recipe}


def run(arguments: Train, context: StepContext) -> StepOutput:
    from training.finetuning.run import fine_tune

    return fine_tune(arguments, context)
