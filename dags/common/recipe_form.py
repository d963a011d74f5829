"""The recipe in the form of `finetune_acoustic_model`: titles of its fields, in their order."""

from __future__ import annotations

RECIPE = {
    "steps": "Steps",
    "learning_rate": "Learning rate",
    "batch_seconds": "Batch (seconds)",
    "lora_rank": "LoRA rank",
    "frozen_encoder": "Freeze the encoder",
    "join_seconds": "Join captions up to (seconds)",
    "written_form": "Write as the base does",
    "tuned_share": "Share of the tuned weights",
    "augment": "Augment features",
    "speed_share": "Share with another speed",
    "noise_share": "Share with noise",
    "precision": "Precision",
    "gradient_checkpointing": "Gradient checkpointing",
    "validations": "Validations",
    "validation_seconds": "Validation sample (seconds)",
    "patience": "Patience",
    "seed": "Seed",
}
