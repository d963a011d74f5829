"""The recipe's figures on a form: the fields of the train step, each of which may be left to the preset."""

from __future__ import annotations

from airflow.sdk import Param

from tasks.contract.arguments import Train

# What pydantic calls a bound, and what a form calls it.
_LIMITS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
_SHOWN = {
    "steps": ("Steps", "integer"),
    "learning_rate": ("Learning rate", "number"),
    "batch_seconds": ("Batch (seconds)", "number"),
    "lora_rank": ("LoRA rank", "integer"),
    "seed": ("Seed", "integer"),
}
FIGURES = tuple(_SHOWN)
"""Those that people change from run to run; the others are the preset's."""


def recipe_params() -> dict[str, Param]:
    """A form's fields with the description and the bounds that the step itself has."""
    return {name: _param(name, title, kind) for name, (title, kind) in _SHOWN.items()}


def _param(name: str, title: str, kind: str) -> Param:
    field = Train.model_fields[name]
    limits = {limit: getattr(m, key) for m in field.metadata for key, limit in _LIMITS.items() if hasattr(m, key)}
    description = f"{field.description}; empty takes the preset's"
    return Param(None, type=["null", kind], title=title, description=description, **limits)
