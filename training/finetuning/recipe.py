"""The recipe of a run: a preset, with values from a form or command line over it.

A preset is a YAML file in `training/presets/` with every hyperparameter of the recipe and the reason beside it.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from tasks import storage
from tasks.contract import Frozen, InputRejected, Misconfigured, Reason
from tasks.contract.arguments import Train
from tasks.contract.recipe import Precision, PresetName, RecipeFields
from tasks.models import ModelReference, resolve
from training.families.family import ModelFamily

PRESETS = Path(__file__).parents[1] / "presets"


class Recipe(Frozen):
    """All hyperparameters, without defaults. `RecipeFields`, where people set them, describes each."""

    steps: int
    learning_rate: float
    batch_seconds: float
    seed: int
    lora_rank: int
    frozen_encoder: bool
    join_seconds: float
    written_form: bool
    tuned_share: float
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
    def needs_audio(self) -> bool:
        """Whether augmentation recomputes features from the dataset's audio."""
        return (self.speed_share > 0 or self.noise_share > 0) and not self.frozen_encoder


class Preset(Frozen):
    """A file of `training/presets/`."""

    description: str
    family: ModelFamily = Field(description="the model family it is tuned for")
    base: str = Field("", description="default base model")
    recipe: Recipe


def load_preset(name: PresetName) -> Preset:
    """Load a preset. Raises Misconfigured when a value in it is missing or out of bounds."""
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
    """Return the preset's recipe, overridden by the given fields."""
    return load_preset(arguments.preset).recipe.model_copy(update=arguments.given())


def base_uri(arguments: Train) -> str:
    """Return the base model's URI. Raises Misconfigured when neither the arguments nor the preset name one."""
    base = arguments.base or load_preset(arguments.preset).base
    if not base:
        raise Misconfigured(
            "has no default base model",
            reason=Reason.INVALID_ARGUMENT,
            subject=f"--preset={arguments.preset}",
            next_step="give --base",
        )
    return base


def resolve_base(arguments: Train) -> ModelReference:
    """Resolve the base model as the task's first attempt did.

    An alias moved since, or a newer revision on the hub, would start days of training over. So the first attempt
    stores its resolution beside the receipt, which all attempts of a task share.
    """
    base = base_uri(arguments)
    if not arguments.receipt:
        return resolve(base)
    record = arguments.receipt.removesuffix(".json") + ".base"
    requested, resolved = _read_resolution(record)
    if requested == base:
        return resolve(resolved)
    reference = resolve(base)
    storage.write(record, f"{base}\n{reference.uri}\n".encode())
    return reference


def _read_resolution(record: str) -> tuple[str, str]:
    """Return the URI requested and the URI resolved by an earlier attempt; empty strings where there was none."""
    try:
        requested, resolved = storage.read_bytes(record).decode().splitlines()
    except InputRejected:
        return "", ""
    return requested, resolved
