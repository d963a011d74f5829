"""The recipe on a form: every field of it, each of which may be left to the preset."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, get_args

from airflow.sdk import Param
from pydantic.fields import FieldInfo

from tasks.contract.arguments import RecipeFields

# What pydantic calls a bound, and what a form calls it.
_LIMITS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
_TITLES = {
    "steps": "Steps",
    "learning_rate": "Learning rate",
    "batch_seconds": "Batch (seconds)",
    "lora_rank": "LoRA rank",
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
_AS_PRESET = "as the preset"


def recipe_params() -> dict[str, Param]:
    """A form's fields with the description and the bounds that the step itself has."""
    return {name: _param(RecipeFields.model_fields[name], title) for name, title in _TITLES.items()}


def recipe_arguments() -> dict[str, Any]:
    """The train step's arguments that take what the form says."""
    return {name: f"{{{{ params.{name} }}}}" for name in _TITLES}


def _param(field: FieldInfo, title: str) -> Param:
    description = f"{field.description}; empty takes the preset's"
    return Param(None, title=title, description=description, **_schema(field))


def _schema(field: FieldInfo) -> dict[str, Any]:
    """Numbers with their bounds. A switch knows no third state, so yes and no are chosen from a list."""
    (kind,) = (k for k in get_args(field.annotation) if k is not type(None))
    if kind is bool:
        return _choice({"true": "yes", "false": "no"})
    if issubclass(kind, StrEnum):
        return _choice({choice.value: choice.value for choice in kind})
    limits = {limit: getattr(m, key) for m in field.metadata for key, limit in _LIMITS.items() if hasattr(m, key)}
    return {"type": ["null", "integer" if kind is int else "number"], **limits}


def _choice(shown: dict[str, str]) -> dict[str, Any]:
    return {"type": ["null", "string"], "enum": [None, *shown], "values_display": {"None": _AS_PRESET, **shown}}
