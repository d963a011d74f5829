"""Airflow forms built from the contract's models: a `Param` has the default, bounds and description of its field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow.sdk import Param
from pydantic import BaseModel

_KEYWORDS = ("type", "enum", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength")
"""JSON Schema keywords that the form enforces."""


@dataclass(frozen=True)
class FormField:
    """What a form says differently from the contract; the rest comes from the model's field."""

    title: str
    description: str = ""
    default: Any = None
    schema: Mapping[str, Any] = field(default_factory=dict)
    """More JSON Schema: a pattern, examples."""


def params_of(
    model: type[BaseModel], fields: Mapping[str, str | FormField], *, inherited_from: str = ""
) -> dict[str, Param]:
    """The `Param` of each of the model's `fields`, given with its title or as a `FormField`, in this order.

    With `inherited_from` every field starts empty, and an empty field takes the value of what is named there.
    """
    schema = model.model_json_schema()
    params = {}
    for name, shown in fields.items():
        form = FormField(shown) if isinstance(shown, str) else shown
        given = schema["properties"][name]
        kind, nullable = _resolve(given, schema.get("$defs", {}))
        constraints = {keyword: kind[keyword] for keyword in _KEYWORDS if keyword in kind}
        described = given["description"]
        description = form.description or described[0].upper() + described[1:]
        if inherited_from:
            description = f"{description}; empty takes {inherited_from}'s"
            constraints = _optional(constraints, f"as {inherited_from}")
        elif nullable:
            constraints["type"] = ["null", kind["type"]]
        params[name] = Param(
            given.get("default") if form.default is None else form.default,
            title=form.title,
            description=description,
            **constraints | dict(form.schema),
        )
    return params


def template_arguments(fields: Iterable[str]) -> dict[str, Any]:
    """Step arguments that take the values of the form's fields of the same names."""
    return {name: f"{{{{ params.{name} }}}}" for name in fields}


def _resolve(given: Mapping[str, Any], definitions: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """A field's own schema without references and `null`, and whether it may be null."""
    kind, *null = given.get("anyOf", [given])
    if "$ref" in kind:
        kind = definitions[kind["$ref"].rpartition("/")[2]]
    return dict(kind), bool(null)


def _optional(constraints: Mapping[str, Any], empty: str) -> dict[str, Any]:
    """Allow null. A switch has no third state, so it becomes a list of yes and no; `empty` labels the empty choice."""
    if constraints["type"] == "boolean":
        choices = {"true": "yes", "false": "no"}
    elif "enum" in constraints:
        choices = {value: value for value in constraints["enum"]}
    else:
        return {**constraints, "type": ["null", constraints["type"]]}
    return {"type": ["null", "string"], "enum": [None, *choices], "values_display": {"None": empty, **choices}}
