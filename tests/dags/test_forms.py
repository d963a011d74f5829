"""Forms built from the contract: defaults, bounds and descriptions of the fields, and what a submitted form gives."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import Param
from airflow.sdk.exceptions import ParamValidationError
from jinja2 import Environment

from dags.common.base_model import base_arguments
from dags.common.forms import FormField, params_of, template_arguments
from dags.corpus_features import CUTTING
from dags.finetune_acoustic_model import RECIPE
from tasks.contract.arguments import ConvertModel, CueProfileName, PlanNight, PrepareCorpus
from tasks.contract.recipe import RecipeFields

RECIPE_PARAMS = params_of(RecipeFields, RECIPE, inherited_from="the preset")


def submit(params: dict[str, Param], form: dict[str, Any]) -> dict[str, str]:
    """The step arguments that a form renders to, through Airflow's validation and Jinja as in a DAG run."""
    values = {name: param.resolve(form[name]) if name in form else param.resolve() for name, param in params.items()}
    return {
        name: Environment().from_string(template).render(params=values)
        for name, template in template_arguments(params).items()
    }


def submit_recipe(**form: Any) -> dict[str, Any]:
    return RecipeFields.model_validate(submit(RECIPE_PARAMS, form)).given()


def test_the_recipe_form_has_every_field_with_its_description() -> None:
    assert set(RECIPE_PARAMS) == set(RecipeFields.model_fields)
    for name, param in RECIPE_PARAMS.items():
        described = RecipeFields.model_fields[name].description or ""
        assert param.description == f"{described[0].upper()}{described[1:]}; empty takes the preset's"


def test_an_empty_recipe_form_leaves_everything_to_the_preset() -> None:
    assert submit_recipe() == {}


def test_filled_in_recipe_fields_are_passed_on() -> None:
    form = {
        "augment": "false",
        "precision": "bfloat16",
        "speed_share": 0.3,
        "patience": 4,
        "gradient_checkpointing": "true",
    }
    assert submit_recipe(**form) == {**form, "augment": False, "gradient_checkpointing": True}


@pytest.mark.parametrize(("name", "value"), [("augment", "perhaps"), ("speed_share", 1.5), ("precision", "int4")])
def test_the_form_rejects_what_the_step_would_reject(name: str, value: Any) -> None:
    with pytest.raises(ParamValidationError):
        submit_recipe(**{name: value})


def test_a_recipe_field_may_be_null() -> None:
    assert RECIPE_PARAMS["steps"].schema == {"type": ["null", "integer"], "minimum": 1, "title": "Steps"}
    assert RECIPE_PARAMS["augment"].schema["enum"] == [None, "true", "false"]
    assert RECIPE_PARAMS["precision"].schema["values_display"] == {
        "None": "as the preset",
        **{value: value for value in ("auto", "float32", "bfloat16")},
    }


def test_an_untouched_cutting_form_gives_the_steps_defaults() -> None:
    rendered = submit(params_of(PrepareCorpus, CUTTING), {})
    given = PrepareCorpus.model_validate(rendered | {"output": "s3://o", "shard": "s3://s"})
    assert given == PrepareCorpus(output="s3://o", shard="s3://s")


def test_defaults_bounds_and_choices_come_from_the_contract() -> None:
    track = params_of(PrepareCorpus, CUTTING)["track"]
    assert (track.value, track.schema) == (None, {"type": ["null", "integer"], "minimum": 0, "title": "Audio track"})
    quantization = params_of(ConvertModel, {"quantization": "Quantization"})["quantization"]
    assert quantization.value == "float16"
    assert quantization.schema["enum"] == ["float32", "float16", "int8", "int8_float16"]


def test_a_form_field_overrides_the_contract() -> None:
    shown = {"cues": FormField("Subtitles", "Subtitle rules", CueProfileName.STREAMING.value, {"examples": ["bbc-37"]})}
    cues = params_of(PlanNight, shown)["cues"]
    assert (cues.value, cues.description) == ("streaming-42", "Subtitle rules")
    assert cues.schema["enum"] == ["bbc-37", "streaming-42"]
    assert cues.schema["examples"] == ["bbc-37"]


CHAMPION, INSTALLED = "models:/acoustic-model@champion", "s3://speech/models/base"


@pytest.mark.parametrize(
    ("form", "train", "scan"),
    [
        ({}, (CHAMPION, INSTALLED), (CHAMPION, INSTALLED)),
        ({"base": "a/b"}, ("a/b", ""), ("a/b", "")),
        ({"features": "whisper-80"}, (CHAMPION, INSTALLED), ("", "")),
        ({"features": "whisper-80", "base": "a/b"}, ("a/b", ""), ("a/b", "")),
    ],
)
def test_without_a_base_it_is_the_champion_or_the_installations(
    form: dict[str, str], train: tuple[str, str], scan: tuple[str, str], cluster: dict[str, str]
) -> None:
    """A base in the form has no fallback: where it is missing, another one would be trained unnoticed."""
    values = {"base": None, "features": None} | form
    for arguments, expected in ((base_arguments(), train), (base_arguments("params.base or params.features"), scan)):
        rendered = [Environment().from_string(arguments[name]).render(params=values) for name in ("base", "fallback")]
        assert tuple(rendered) == expected
