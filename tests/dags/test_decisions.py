"""The two decisions of the DAGs themselves: which dataset to train on, and whether to promote."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskAwaitingInput

from dags.common.approval import QUESTION, PromotionGate
from dags.common.assets import DATASET, choose_dataset
from tasks.contract.arguments import PromoteModel
from tests.dags.stand_in_worker import COMPARED


def events(*manifests: str) -> list[Any]:
    return [SimpleNamespace(extra={"manifest": manifest}) for manifest in manifests]


def chosen(form: str | None, triggering: list[Any], known: list[Any]) -> str:
    found: str = choose_dataset.function(
        params={"dataset": form},
        triggering_asset_events={DATASET: triggering} if triggering else {},
        inlet_events={DATASET: known},
    )
    return found


def test_the_form_takes_precedence_then_the_event_then_the_newest() -> None:
    assert chosen("s3://form", events("s3://event"), events("s3://old", "s3://new")) == "s3://form"
    assert chosen(None, events("s3://event"), events("s3://old", "s3://new")) == "s3://event"
    assert chosen(None, [], events("s3://old", "s3://new")) == "s3://new"


def test_without_any_dataset_the_error_names_the_next_step() -> None:
    with pytest.raises(AirflowFailException, match="run corpus_features"):
        chosen(None, [], [])


def gate(promote: str) -> PromotionGate:
    return PromotionGate(task_id="decide", promote=promote, subject="Promote?")


def arguments_from(decision: dict[str, str]) -> PromoteModel:
    """The decision as arguments of promote-model."""
    return PromoteModel(output="s3://o", registered="s3://r", comparison="s3://c", **decision)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("promote", "user", "decided_by"),
    [("yes", "ada", "ada"), ("no", "ada", "ada"), ("yes", None, "form"), ("if-better", "ada", "rule")],
)
def test_the_form_decides_without_waiting(
    task_context: Callable[..., Any], run_task: Callable[..., Any], promote: str, user: str | None, decided_by: str
) -> None:
    """The user who triggered the run with the form is recorded as the one who decided."""
    task = gate(promote)
    decision = run_task(task, task_context(task) | {"dag_run": SimpleNamespace(triggering_user_name=user)})
    assert decision == {"promote": promote, "decided_by": decided_by}
    assert arguments_from(decision).decided_by == decided_by


def test_ask_waits_for_a_person(
    task_context: Callable[..., Any], run_task: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(
        "airflow.providers.standard.operators.hitl.upsert_hitl_detail", lambda **detail: asked.update(detail)
    )
    task = gate("ask")
    context = task_context(task)
    context["ti"].id = "id"
    context["task_instance"] = context["ti"]
    with pytest.raises(TaskAwaitingInput):
        run_task(task, context)
    assert asked["defaults"] == ["Keep the champion"]
    assert task.response_timeout


@pytest.mark.parametrize(
    ("answer", "user", "promote", "decided_by"),
    [
        ("Promote", {"id": "7", "name": "ada"}, "yes", "ada"),
        ("Keep the champion", {"id": "7", "name": "ada"}, "no", "ada"),
        ("Keep the champion", None, "no", "nobody within 24 h"),
    ],
)
def test_an_answer_becomes_a_decision(
    task_context: Callable[..., Any], answer: str, user: dict[str, str] | None, promote: str, decided_by: str
) -> None:
    task = gate("ask")
    event = {
        "chosen_options": [answer],
        "params_input": {},
        "responded_at": datetime.now(UTC),
        "responded_by_user": user,
    }
    decision = task.execute_complete(task_context(task), event)
    assert decision == {"promote": promote, "decided_by": decided_by}
    assert arguments_from(decision).promote == promote


def test_the_question_shows_the_reports_figures() -> None:
    from jinja2 import Environment, StrictUndefined

    shown = {
        "metrics": dict.fromkeys(COMPARED, 0.25) | {"challenger_wer": 0.0567, "champion_rtfx": 137.2},
        "decision": "keep",
        "reason": "worse in genre sport",
        "resampled": "31 utterances",
        "most_worse": "genre sport 12.00 % against 9.00 %",
        "out_of_domain": "not evaluated",
        "model": "models:/acoustic-model/7",
        "url": "http://mlflow/7",
        "report": "s3://speech/report.html",
    }

    class Pulled:
        def xcom_pull(self, task_ids: str, key: str) -> Any:
            return shown[key]

    text = Environment(undefined=StrictUndefined).from_string(QUESTION).render(ti=Pulled())
    for part in (
        "5.67 %",
        "137",
        "**keep**: worse in genre sport",
        "12.00 % against 9.00 %",
        "s3://speech/report.html",
    ):
        assert part in text
    assert len([line for line in text.splitlines() if line.count("|") == 4]) == 5, "a header and three rows"
