"""What becomes of a registered challenger: who decided, which way, and what the registry says of it afterwards."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tasks import storage
from tasks.contract import Receipt, StepResult
from tests.training.tones import Steps
from training.registry.versions import CHAMPION, alias_version, promote

NAME = "m"


@pytest.fixture
def client(mlflow_store: str) -> MlflowClient:
    """A champion, and a challenger that is version 2."""
    client = MlflowClient(mlflow_store)
    client.create_registered_model(NAME)
    for number in range(2):
        client.create_model_version(NAME, f"file:///nowhere/{number}")
    promote(client, NAME, 1, "rule", "the first")
    return client


def write_result(folder: Path, step: str, **labels: str) -> str:
    uri = storage.file_uri(folder / step / "result.json")
    result = StepResult(
        step=step,
        step_version=1,
        key=str(labels),
        arguments={},
        inputs={},
        labels=labels,
        finished_at=datetime(2026, 1, 1, tzinfo=UTC),
        code_version="0",
    )
    storage.write(uri, result.to_bytes())
    return uri


def decide(run: Steps, decision: str, **arguments: str) -> Receipt:
    return run(
        "promote-model",
        registered=write_result(run.folder, "register-model", name=NAME, version="2"),
        comparison=write_result(run.folder, "compare-models", decision=decision, reason="as it was measured"),
        **arguments,
    )


def tags(client: MlflowClient) -> dict[str, str]:
    found: dict[str, str] = client.get_model_version(NAME, "2").tags
    return found


@pytest.mark.parametrize("decision", ["keep", "same"])
def test_what_is_not_better_leaves_the_champion_where_it_is(client: MlflowClient, run: Steps, decision: str) -> None:
    done = decide(run, decision)
    assert (done.labels["promoted"], done.labels["champion"]) == ("no", "models:/m/1")
    assert alias_version(client, NAME, CHAMPION) == 1
    assert "promoted_by" not in tags(client)
    assert (tags(client)["refused_by"], tags(client)["refused_because"]) == ("rule", "as it was measured")
    assert datetime.fromisoformat(tags(client)["refused_at"])


@pytest.mark.parametrize("who", ["ada", "nobody within 24 h"])
def test_a_refusal_is_recorded_though_the_rule_would_promote(client: MlflowClient, run: Steps, who: str) -> None:
    assert decide(run, "promote", promote="no", decided_by=who).labels["promoted"] == "no"
    assert alias_version(client, NAME, CHAMPION) == 1
    assert tags(client)["refused_by"] == who
    assert tags(client)["refused_because"] == f"{who} said no; the rule: as it was measured"


def test_the_better_is_promoted(client: MlflowClient, run: Steps) -> None:
    assert decide(run, "promote").labels["promoted"] == "yes"
    assert alias_version(client, NAME, CHAMPION) == 2
    assert (tags(client)["promoted_by"], tags(client)["promoted_because"]) == ("rule", "as it was measured")
    assert "refused_by" not in tags(client)


def test_a_person_may_promote_what_the_rule_would_keep(client: MlflowClient, run: Steps) -> None:
    assert decide(run, "keep", promote="yes", decided_by="ada").labels["promoted"] == "yes"
    assert tags(client)["promoted_by"] == "ada"


def test_what_was_rolled_back_is_refused_with_the_reason(client: MlflowClient, run: Steps) -> None:
    client.set_model_version_tag(NAME, "2", "rolled_back_by", "Grace")
    assert decide(run, "promote").labels["promoted"] == "no"
    assert "rolled back by Grace" in tags(client)["refused_because"]
