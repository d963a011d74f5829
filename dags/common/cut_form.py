"""How media are heard and cut, on a form: fields of the prepare-corpus step with its own bounds and defaults."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Param

from tasks.contract.arguments import PrepareCorpus

_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_TITLES = {
    "track": "Audio track",
    "channel": "Channel",
    "audio_description": "Audio description",
    "min_duration_s": "Shortest utterance (seconds)",
    "max_duration_s": "Longest utterance (seconds)",
    "min_characters_per_s": "Fewest characters a second",
    "max_characters_per_s": "Most characters a second",
    "max_lost_share": "Largest lost share",
}


def cut_params() -> dict[str, Param]:
    """The form's fields."""
    schemas = PrepareCorpus.model_json_schema()["properties"]
    return {name: _param(title, schemas[name]) for name, title in _TITLES.items()}


def cut_arguments() -> dict[str, Any]:
    """The step's arguments that take what the form says."""
    return {name: f"{{{{ params.{name} }}}}" for name in _TITLES}


def _param(title: str, schema: dict[str, Any]) -> Param:
    kind, *null = schema.get("anyOf", [schema])
    bounds = {bound: kind[bound] for bound in _BOUNDS if bound in kind}
    told = schema["description"]
    return Param(
        schema["default"],
        type=["null", kind["type"]] if null else kind["type"],
        title=title,
        description=told[0].upper() + told[1:],
        **bounds,
    )
