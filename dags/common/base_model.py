"""The model that training begins from and datasets are made for: the champion, or the installation's base model."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param

from dags.common.settings import CHAMPION_MODEL, settings


def base_param(use: str) -> Param:
    """The form's field `base`; `use` says what the model is for."""
    return Param(
        None,
        type=["null", "string"],
        minLength=1,
        title="Base model",
        description=f"{use}: a folder, an s3:// prefix, models:/name@alias or a hub name; empty: the champion, or"
        " AIRSCRIPT_BASE_MODEL until there is one",
    )


def base_arguments(given: str = "params.base") -> dict[str, Any]:
    """Return a step's arguments `base` and `fallback` as templates.

    Where the expression `given` is true, there is only what the form says, and no default.
    """
    return {
        "base": f"{{{{ params.base or ('' if {given} else '{CHAMPION_MODEL}') }}}}",
        "fallback": f"{{{{ '' if {given} else '{settings().base_model}' }}}}",
    }
