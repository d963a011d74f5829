"""Which model is evaluated when an alias moves during the step."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tasks.contract import Reason, StepError
from tasks.models import reference
from tests.training.tones import Steps, write_dataset, write_parakeet


@pytest.fixture
def moving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A champion that is rolled back right after a step has resolved it for its key."""
    before, after = (
        reference.resolve(str(write_parakeet(tmp_path / name, seed=seed))) for seed, name in enumerate("ab")
    )
    found = itertools.cycle((before, after))
    monkeypatch.setattr(reference, "resolve", lambda uri: next(found))
    return "models:/m@champion"


def test_a_rollback_before_the_model_is_loaded_is_retried(moving: str, run: Steps, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", n_train=2, n_test=1)
    with pytest.raises(StepError, match="changed while the step ran") as raised:
        run("evaluate", model=moving, dataset=dataset)
    assert raised.value.reason is Reason.CHANGED_WHILE_READ
    with pytest.raises(StepError, match="changed while the step ran"):
        run("train", base=moving, dataset=dataset, steps=1)
    assert not list(tmp_path.glob("work/*/*/result.json"))
