"""Airflow forms built from the contract's models: a `Param` has the default, bounds and description of a field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow.sdk import Param
from pydantic import BaseModel

_KEYWORDS = ("type", "enum", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength")
"""JSON Schema keywords that the form enforces."""
LINES = {"type": ["null", "string"], "format": "multiline", "minLength": 1}
"""JSON Schema of a text field of several lines that may stay empty."""


@dataclass(frozen=True)
class FormField:
    """Where a form differs from the contract; the rest comes from the model's field."""

    title: str
    description: str = ""
    default: Any = None
    schema: Mapping[str, Any] = field(default_factory=dict)
    """More JSON Schema: a pattern, examples."""


def params_of(
    model: type[BaseModel], fields: Mapping[str, str | FormField], *, inherited_from: str = ""
) -> dict[str, Param]:
    """Return a `Param` for each of `fields`, in this order; the values are titles or `FormField`s.

    With `inherited_from`, such as "the preset", every field starts empty, and an empty field takes that one's value.
    """
    schema = model.model_json_schema()
    params = {}
    for name, shown in fields.items():
        form = FormField(shown) if isinstance(shown, str) else shown
        field_schema = schema["properties"][name]
        type_schema, nullable = _resolve(field_schema, schema.get("$defs", {}))
        constraints = {keyword: type_schema[keyword] for keyword in _KEYWORDS if keyword in type_schema}
        help_text = field_schema["description"]
        description = form.description or help_text[0].upper() + help_text[1:]
        if inherited_from:
            description = f"{description}; empty takes {inherited_from}'s"
            constraints = _optional(constraints, f"as {inherited_from}")
        elif nullable:
            constraints["type"] = ["null", type_schema["type"]]
        constraints |= form.schema
        default = field_schema.get("default") if form.default is None else form.default
        params[name] = Param(
            None if default == "" and "null" in constraints["type"] else default,
            title=form.title,
            description=description,
            **constraints,
        )
    return params


def template_arguments(fields: Iterable[str]) -> dict[str, Any]:
    """Return step arguments as templates that take the values of the form's fields of the same names."""
    return {name: f"{{{{ params.{name} }}}}" for name in fields}


def _resolve(field_schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return the schema of a field's type, without references and `null`, and whether the field may be null."""
    type_schema, *null = field_schema.get("anyOf", [field_schema])
    if "$ref" in type_schema:
        type_schema = definitions[type_schema["$ref"].rpartition("/")[2]]
    return dict(type_schema), bool(null)


def _optional(constraints: Mapping[str, Any], empty: str) -> dict[str, Any]:
    """Allow null. A switch has no third state, so it becomes a list of yes and no; `empty` labels the empty choice."""
    if constraints["type"] == "boolean":
        choices = {"true": "yes", "false": "no"}
    elif "enum" in constraints:
        choices = {value: value for value in constraints["enum"]}
    else:
        return {**constraints, "type": ["null", constraints["type"]]}
    return {"type": ["null", "string"], "enum": [None, *choices], "values_display": {"None": empty, **choices}}
