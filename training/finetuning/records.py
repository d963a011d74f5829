"""Records that `train` publishes beside the model, and how later steps read them."""

from __future__ import annotations

from tasks.contract import Frozen
from tasks.step import load_result, output_uri
from tasks.storage.records import read_one
from training.finetuning.recipe import Recipe

MODEL_FOLDER = "model"
RECIPE, CURVE = "recipe.json", "curve.json"


class Curve(Frozen):
    """`curve.json`: the run's learning curve."""

    losses: tuple[float | None, ...]
    """Loss of each step; None where it was not finite."""
    validation_wers: tuple[tuple[int, float], ...]
    """Step and word error rate of each validation."""


def load_recipe(result_uri: str) -> Recipe:
    """Load the recipe of a `train` step's result."""
    return read_one(Recipe, output_uri(result_uri, load_result(result_uri), RECIPE))


def load_curve(result_uri: str) -> Curve:
    """Load the learning curve of a `train` step's result."""
    return read_one(Curve, output_uri(result_uri, load_result(result_uri), CURVE))
