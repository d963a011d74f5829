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
from tasks.corpus.feature_names import name_of
from tasks.dataset.manifest import DatasetManifest
from tasks.features.config import FeaturesConfig
from tasks.models import ModelReference, resolve, resolve_or_fall_back
from tasks.models.description import ModelDescription
from tasks.models.folder import WHISPER_TYPE
from tasks.models.registry import REGISTERED, find_version
from training.families.family import ModelFamily
from training.finetuning.hardware import gpu_memory_bytes

PRESETS = Path(__file__).parents[1] / "presets"
MAX_SMALL_BYTES = 100_000_000  # below it a CTC model is small enough for the demo's rate: of all weights, on a CPU
MIN_LARGE_BYTES = 1_200_000_000  # Whisper medium in float16 has 1.5 GB, small in float32 has 1.0
MIN_FULL_GPU_BYTES = 40_000_000_000  # for all weights of a large Whisper, their gradients and the optimizer's state


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


def choose_preset(base: ModelDescription) -> PresetName:
    """Choose the preset of a model's family, for its size and for this machine's GPU."""
    if base.model_type != WHISPER_TYPE:
        return PresetName.DEMO if base.weights_bytes < MAX_SMALL_BYTES else PresetName.PARAKEET_CTC
    gpu_bytes = gpu_memory_bytes()
    if not gpu_bytes:
        return PresetName.WHISPER_FROZEN_ENCODER
    if gpu_bytes >= MIN_FULL_GPU_BYTES and base.weights_bytes >= MIN_LARGE_BYTES:
        return PresetName.WHISPER_LARGE_V3_TURBO
    return PresetName.WHISPER_SMALL_LORA


def require_fitting_preset(arguments: Train, base: ModelDescription) -> None:
    """Raise Misconfigured if the preset is for another family than a base model that nobody chose."""
    if arguments.preset is None or not arguments.fallback:
        return
    family = load_preset(arguments.preset).family
    if (family is ModelFamily.WHISPER) != (base.model_type == WHISPER_TYPE):
        raise Misconfigured(
            f"is a preset for {family}, and training would begin from a {base.model_type}",
            reason=Reason.INVALID_ARGUMENT,
            subject=f"--preset={arguments.preset}",
            next_step="leave the preset empty, or give a base model of its family",
        )


def resolve_recipe(arguments: Train, preset: PresetName) -> Recipe:
    """Return the preset's recipe, overridden by the given fields."""
    return load_preset(preset).recipe.model_copy(update=arguments.given())


def base_uri(arguments: Train) -> str:
    """Return the base model's URI. Raises Misconfigured when neither the arguments nor the preset name one."""
    base = arguments.base or (load_preset(arguments.preset).base if arguments.preset else "")
    if not base:
        raise Misconfigured(
            "has no default base model" if arguments.preset else "neither a base model nor a preset",
            reason=Reason.INVALID_ARGUMENT,
            subject=f"--preset={arguments.preset or ''}",
            next_step="give --base",
        )
    return base


def resolve_base(arguments: Train, dataset_version: str) -> ModelReference:
    """Resolve the base model as the task's first attempt did.

    An alias moved since, or a newer revision on the hub, would start days of training over. So the first attempt
    stores its resolution beside the receipt, which all attempts of a task share.
    """
    base = base_uri(arguments)
    if not arguments.receipt:
        return _resolve_first(arguments, base, dataset_version)
    record = arguments.receipt.removesuffix(".json") + ".base"
    requested, resolved = _read_resolution(record)
    if requested == base:
        return resolve(resolved)
    reference = _resolve_first(arguments, base, dataset_version)
    storage.write(record, f"{base}\n{reference.uri}\n".encode())
    return reference


def _resolve_first(arguments: Train, base: str, dataset_version: str) -> ModelReference:
    """Resolve the base model, the fallback where its alias does not exist.

    A champion's training on the dataset that it was trained on, begun by default, would go on for ever: each run of
    the same corpus would train the model of the one before. It begins where the champion's began, and is cached.
    """
    reference, _ = resolve_or_fall_back(base, arguments.fallback)
    if not (arguments.fallback and reference.uri.startswith(REGISTERED)):
        return reference
    tags = find_version(reference.uri).tags
    if tags.get("dataset_version") != dataset_version or "base_uri" not in tags:
        return reference
    return resolve_or_fall_back(tags["base_uri"], reference.uri)[0]


def require_matching_features(manifest: DatasetManifest, expected: FeaturesConfig, dataset: str) -> None:
    """Raise InputRejected unless the dataset has the features that the model takes."""
    actual = FeaturesConfig(**manifest.features_config)
    if actual != expected:
        raise InputRejected(
            f"the dataset has {manifest.features} features ({actual.to_json()}), the model takes {expected.to_json()}",
            reason=Reason.INVALID_ARGUMENT,
            subject=dataset,
            next_step=f"run corpus_features with the features {name_of(expected) or 'of this model'}, or train another",
        )


def _read_resolution(record: str) -> tuple[str, str]:
    """Return the URI requested and the URI resolved by an earlier attempt; empty strings where there was none."""
    try:
        requested, resolved = storage.read_bytes(record).decode().splitlines()
    except InputRejected:
        return "", ""
    return requested, resolved
