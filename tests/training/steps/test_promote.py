"""The fate of a registered challenger: who decided, which way, and what the registry records."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, RESOURCE_DOES_NOT_EXIST

from tasks import storage
from tasks.contract import InputRejected, Receipt, StepResult
from tasks.step import load_result
from tests.training.tones import Steps, registry
from training.registry.versions import CHAMPION, alias_version, find_by_digest, promote

NAME = "m"


@pytest.fixture
def client(mlflow_store: str) -> MlflowClient:
    """A champion, and a challenger that is version 2."""
    client = registry(mlflow_store, NAME, n_versions=2)
    promote(client, NAME, 1, "rule", "the first")
    return client


def write_result(folder: Path, step: str, inputs: dict[str, str] | None = None, **labels: str) -> str:
    uri = storage.file_uri(folder / step / "result.json")
    result = StepResult(
        step=step,
        step_version=1,
        key=str(labels),
        arguments={},
        inputs=inputs or {},
        labels=labels,
        finished_at=datetime(2026, 1, 1, tzinfo=UTC),
        code_version="0",
    )
    storage.write(uri, result.to_bytes())
    return uri


def decide(run: Steps, decision: str, champion: str = "m/1", **arguments: str) -> Receipt:
    reason = "as it was measured"
    comparison = write_result(run.folder, "compare-models", decision=decision, reason=reason, champion=champion)
    inputs = {"comparison": load_result(comparison).content_digest}
    registered = write_result(run.folder, "register-model", inputs, name=NAME, version="2")
    return run("promote-model", registered=registered, comparison=comparison, **arguments)


def tags(client: MlflowClient) -> dict[str, str]:
    found: dict[str, str] = client.get_model_version(NAME, "2").tags
    return found


@pytest.mark.parametrize("decision", ["keep", "same"])
def test_a_challenger_that_is_not_better_leaves_the_champion(client: MlflowClient, run: Steps, decision: str) -> None:
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
    assert tags(client)["refused_because"] == f"{who} decided no; the rule: as it was measured"


def test_the_better_is_promoted(client: MlflowClient, run: Steps) -> None:
    assert decide(run, "promote").labels["promoted"] == "yes"
    assert alias_version(client, NAME, CHAMPION) == 2
    assert (tags(client)["promoted_by"], tags(client)["promoted_because"]) == ("rule", "as it was measured")
    assert "refused_by" not in tags(client)


def test_a_stale_comparison_promotes_nothing(client: MlflowClient, run: Steps) -> None:
    """Its task was cleared after another model became champion."""
    done = decide(run, "promote", champion="m/0")
    assert (done.labels["promoted"], done.labels["champion"]) == ("no", "models:/m/1")
    assert tags(client)["refused_because"] == "it was compared with m/0, and the champion is m/1 by now"
    assert decide(run, "promote", champion="m/0", promote="yes", decided_by="ada").labels["promoted"] == "yes"


def test_the_comparison_of_another_model_is_refused(client: MlflowClient, run: Steps) -> None:
    registered = write_result(run.folder, "register-model", {"comparison": "of another run"}, name=NAME, version="2")
    comparison = write_result(run.folder, "compare-models", decision="promote", reason="", champion="m/1")
    with pytest.raises(InputRejected, match=r"not the comparison that m/2 was registered with"):
        run("promote-model", registered=registered, comparison=comparison)


def test_a_person_may_promote_what_the_rule_would_keep(client: MlflowClient, run: Steps) -> None:
    assert decide(run, "keep", promote="yes", decided_by="ada").labels["promoted"] == "yes"
    assert tags(client)["promoted_by"] == "ada"


def test_a_rolled_back_version_is_refused_with_the_reason(client: MlflowClient, run: Steps) -> None:
    client.set_model_version_tag(NAME, "2", "rolled_back_by", "Grace")
    assert decide(run, "promote").labels["promoted"] == "no"
    assert "rolled back by Grace" in tags(client)["refused_because"]


def test_a_failing_registry_is_not_taken_for_one_without_the_model(
    client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the same weights would become a new version without the rolled-back tag."""

    def fail(error_code: int) -> None:
        def search(filter_string: str) -> None:
            raise MlflowException("no answer", error_code=error_code)

        monkeypatch.setattr(client, "search_model_versions", search)

    fail(INTERNAL_ERROR)
    with pytest.raises(MlflowException, match="no answer"):
        find_by_digest(client, NAME, "0" * 64)
    fail(RESOURCE_DOES_NOT_EXIST)
    assert find_by_digest(client, NAME, "0" * 64) is None
