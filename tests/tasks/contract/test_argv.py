"""Argument models survive a round trip through an argument vector."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from tasks.contract import STEPS, Misconfigured, StepArguments, StepDefinition, from_argv, to_argv

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


class Everything(StepArguments):
    """One field of each kind."""

    uri: str = Field(description="a URI")
    uris: tuple[str, ...] = Field((), description="several")
    number: int = Field(3, description="a number")
    share: float = Field(0.5, description="a share")
    yes: bool = Field(False, description="yes or no")


@settings(max_examples=300)
@given(
    st.builds(
        Everything,
        output=TEXT,
        uri=TEXT,
        uris=st.lists(TEXT, max_size=4).map(tuple),
        number=st.integers(),
        share=st.floats(allow_nan=False),
        yes=st.booleans(),
    )
)
def test_round_trip(arguments: Everything) -> None:
    assert from_argv(Everything, to_argv(arguments), "probe") == arguments


@pytest.mark.parametrize("definition", STEPS.values(), ids=list(STEPS))
def test_every_step_explains_itself(definition: StepDefinition) -> None:
    assert definition.arguments.__doc__
    for name, field in definition.arguments.model_fields.items():
        assert field.description, f"{definition.name}: {name} has no description"


def test_an_unknown_flag_names_the_program_and_its_help() -> None:
    with pytest.raises(Misconfigured, match=r"--numbr.*python -m tasks probe --help"):
        from_argv(Everything, ["--output=a", "--uri=b", "--numbr=3"], "python -m tasks probe")


def test_a_wrong_value_names_its_flag() -> None:
    with pytest.raises(Misconfigured, match="--number: Input should be a valid integer"):
        from_argv(Everything, ["--output=a", "--uri=b", "--number=three"], "probe")


@pytest.mark.parametrize("program", ["tasks", "training"])
def test_the_command_line_is_quick_and_light(program: str) -> None:
    code = f"""
import os, sys, tasks.command
tasks.command.main({program!r}, ["--help"])
assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"  # before torch reads it
heavy = {{"torch", "transformers", "mlflow", "pyannote", "av", "airflow", "numpy", "pyarrow"}} & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"python -m {program} <step>" in done.stdout


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["no-such-step"], "steps are scan-corpus"),
        (["scan-corpus"], "--output"),
        (["scan-corpus", "--x=1"], "--media"),
    ],
)
def test_a_wrong_command_ends_with_78(argv: list[str], message: str) -> None:
    done = subprocess.run([sys.executable, "-m", "tasks", *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 78
    assert message in done.stdout
