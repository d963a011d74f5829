"""The form is a view of the whole recipe."""

from __future__ import annotations

from typing import Any

import pytest

from dags.common.recipe_form import recipe_arguments, recipe_params
from tasks.contract.arguments import RecipeFields


def taken(**form: Any) -> dict[str, Any]:
    """What the train step is given when the form says so, through Airflow's checks and Jinja as a DAG's run goes."""
    from jinja2 import Environment

    params = {name: param.resolve(form[name]) if name in form else param.resolve() for name, param in _params().items()}
    rendered = {
        name: Environment().from_string(template).render(params=params) for name, template in recipe_arguments().items()
    }
    return RecipeFields.model_validate(rendered).given()


def _params() -> dict[str, Any]:
    return dict(recipe_params())


def test_every_field_is_there_with_what_it_means() -> None:
    assert set(recipe_params()) == set(RecipeFields.model_fields) == set(recipe_arguments())
    for name, param in recipe_params().items():
        assert RecipeFields.model_fields[name].description in (param.description or "")


def test_an_empty_form_leaves_everything_to_the_preset() -> None:
    assert taken() == {}


def test_what_is_filled_in_is_taken() -> None:
    form = {
        "augment": "false",
        "precision": "bfloat16",
        "speed_share": 0.3,
        "patience": 4,
        "gradient_checkpointing": "true",
    }
    assert taken(**form) == {**form, "augment": False, "gradient_checkpointing": True}


@pytest.mark.parametrize(("name", "value"), [("augment", "perhaps"), ("speed_share", 1.5), ("precision", "int4")])
def test_what_the_step_would_refuse_the_form_refuses(name: str, value: Any) -> None:
    from airflow.sdk.exceptions import ParamValidationError

    with pytest.raises(ParamValidationError):
        taken(**{name: value})
