"""The training recipe as forms, flags and presets set it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, Field

from tasks.contract.field_types import EMPTY_IS_NONE, OptionalBool, OptionalFloat, OptionalInt


class Precision(StrEnum):
    """Precision of the forward and backward pass; weights and optimizer state are always float32."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class PresetName(StrEnum):
    """The presets in `training/presets/`."""

    DEMO = "demo"
    WHISPER_SMALL_LORA = "whisper-small-lora"
    WHISPER_FROZEN_ENCODER = "whisper-frozen-encoder"
    WHISPER_LARGE_V3_TURBO = "whisper-large-v3-turbo"
    PARAKEET_CTC = "parakeet-ctc"


class RecipeFields(BaseModel):
    """The training recipe, as set by forms, flags and presets. An empty field takes the preset's value."""

    steps: OptionalInt = Field(None, ge=1, description="maximum number of optimizer steps")
    learning_rate: OptionalFloat = Field(None, gt=0, lt=1, description="peak learning rate")
    batch_seconds: OptionalFloat = Field(
        None,
        gt=0,
        description="seconds of audio per optimizer step, with padding, summed over all GPUs; augmentation may "
        "lengthen a batch by a factor of up to 1.22 and add one non-speech example",
    )
    seed: OptionalInt = Field(None, ge=0, description="seed of shuffling, augmentation and dropout")
    lora_rank: OptionalInt = Field(
        None, ge=0, le=512, description="train LoRA adapters of this rank; 0: train all weights"
    )
    frozen_encoder: OptionalBool = Field(
        None,
        description="train Whisper's decoder alone: each window is encoded once, so that steps cost a fraction, and "
        "features are not augmented",
    )
    join_seconds: OptionalFloat = Field(
        None,
        ge=0,
        le=30,
        description="join neighbouring utterances of a programme up to this many seconds for models with a fixed "
        "window (Whisper); 0: never",
    )
    written_form: OptionalBool = Field(
        None,
        description="give texts without capitals the form in which Whisper's base model writes the words it recognises",
    )
    tuned_share: OptionalFloat = Field(
        None,
        gt=0,
        le=1,
        description="share of the tuned weights in the published ones, the rest is the base model's (WiSE-FT): less "
        "is gained and less forgotten",
    )
    augment: OptionalBool = Field(
        None,
        description="augment features: warp time and frequency (VTLP), mask (SpecAugment), add non-speech examples; "
        "with frozen_encoder the latter only",
    )
    speed_share: OptionalFloat = Field(
        None, ge=0, le=1, description="share of utterances with speed perturbation; needs a dataset with audio"
    )
    noise_share: OptionalFloat = Field(
        None, ge=0, le=1, description="share of utterances with added noise; needs a dataset with audio"
    )
    precision: Annotated[Precision | None, EMPTY_IS_NONE] = Field(
        None, description="auto (bfloat16 on a GPU), float32, or bfloat16 (float32 on a processor without it)"
    )
    gradient_checkpointing: OptionalBool = Field(
        None, description="recompute activations in the backward pass: a third slower, a fraction of the memory"
    )
    validations: OptionalInt = Field(None, ge=1, description="number of validations over the whole run")
    validation_seconds: OptionalFloat = Field(
        None,
        gt=0,
        description="seconds of audio per validation; with too few, chance decides which checkpoint is best and when "
        "to stop early",
    )
    patience: OptionalInt = Field(
        None, ge=0, description="validations without a better WER before early stopping; 0: never"
    )

    def given(self) -> dict[str, Any]:
        """Return the fields that are set."""
        return {name: value for name in RecipeFields.model_fields if (value := getattr(self, name)) is not None}
