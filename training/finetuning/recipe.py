"""What a run is trained with: a preset, and what a form or a command line sets over it.

A preset is a YAML file in `training/presets/` with every figure of the recipe and the reason beside it.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from tasks import storage
from tasks.contract import Frozen, InputRejected, Misconfigured, Reason
from tasks.contract.arguments import Precision, PresetName, RecipeFields, Train
from tasks.models import ModelReference, resolve
from training.families.family import Family

PRESETS = Path(__file__).parents[1] / "presets"


class Recipe(Frozen):
    """All figures, none left out. What each means stands where people set it, in `RecipeFields`."""

    steps: int
    learning_rate: float
    batch_seconds: float
    seed: int
    lora_rank: int
    augment: bool
    speed_share: float
    noise_share: float
    precision: Precision
    gradient_checkpointing: bool
    validations: int
    validation_seconds: float
    patience: int

    @property
    def validate_every(self) -> int:
        """Steps between two validations."""
        return max(1, round(self.steps / self.validations))

    @property
    def hears_audio(self) -> bool:
        """Whether features are made anew from the dataset's audio."""
        return self.speed_share > 0 or self.noise_share > 0


class Preset(Frozen):
    """A file of `training/presets/`."""

    description: str
    family: Family = Field(description="the family of models that it is made for")
    base: str = Field("", description="base model where none is given")
    recipe: Recipe


def load_preset(name: PresetName) -> Preset:
    """Raises Misconfigured when a figure in it is missing or out of its bounds."""
    import yaml

    path = PRESETS / f"{name}.yaml"
    try:
        preset = Preset.model_validate(yaml.safe_load(path.read_text("utf-8")))
        RecipeFields.model_validate(preset.recipe.model_dump())
    except (ValidationError, yaml.YAMLError) as error:
        raise Misconfigured(
            str(error), reason=Reason.INVALID_ARGUMENT, subject=str(path), next_step="correct the file"
        ) from None
    return preset


def resolve_recipe(arguments: Train) -> Recipe:
    """The preset with the given fields over it."""
    return load_preset(arguments.preset).recipe.model_copy(update=arguments.given())


def base_of(arguments: Train) -> str:
    """The base model's URI. Raises Misconfigured when neither the arguments nor the preset name one."""
    base = arguments.base or load_preset(arguments.preset).base
    if not base:
        raise Misconfigured(
            "names no base model of its own",
            reason=Reason.INVALID_ARGUMENT,
            subject=f"--preset={arguments.preset}",
            next_step="give --base",
        )
    return base


def resolve_base(arguments: Train) -> ModelReference:
    """The base model, exactly: what its URI meant when the task was first tried.

    An alias that has moved since, or a newer revision on the hub, would start days of training over. So the first
    attempt leaves beside the receipt, which all attempts of a task share, what it found.
    """
    base = base_of(arguments)
    if not arguments.receipt:
        return resolve(base)
    place = arguments.receipt.removesuffix(".json") + ".base"
    asked, found = _left_at(place)
    if asked == base:
        return resolve(found)
    reference = resolve(base)
    storage.write(place, f"{base}\n{reference.uri}\n".encode())
    return reference


def _left_at(place: str) -> tuple[str, str]:
    """What was asked for and what was found by an earlier attempt; empty where there was none."""
    try:
        asked, found = storage.read_bytes(place).decode().splitlines()
    except InputRejected:
        return "", ""
    return asked, found
