"""Which model an evaluation is of, where an alias moves meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.contract import Reason, StepError
from tests.training.tones import Steps, write_dataset, write_parakeet
from training.finetuning import recipe
from training.steps import evaluate


@pytest.fixture
def moving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A champion that is rolled back whenever a step has just found it for its key."""
    before, after = (
        evaluate.resolve(str(write_parakeet(tmp_path / name, seed=seed))) for seed, name in enumerate("ab")
    )
    for module in (evaluate, recipe):
        monkeypatch.setattr(module, "resolve", lambda uri, left=[before, after]: left.pop(0))
    return "models:/m@champion"


def test_a_rollback_before_the_model_is_loaded_makes_another_attempt(moving: str, run: Steps, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "data", n_train=2, n_test=1)
    with pytest.raises(StepError, match="another one than when the step began") as raised:
        run("evaluate", model=moving, dataset=dataset)
    assert raised.value.reason is Reason.CHANGED_WHILE_READ
    with pytest.raises(StepError, match="another one than when the step began"):
        run("train", base=moving, dataset=dataset, steps=1)
    assert not list(tmp_path.glob("work/*/*/result.json"))
