"""The rollback command, and which version it restores."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner, Result

from tasks.contract import ExitCode
from tests.training.tones import registry
from training.registry.rollback import app
from training.registry.versions import CHAMPION, alias_version, promote

NAME = "m"


@pytest.fixture
def client(mlflow_store: str) -> MlflowClient:
    """A registry of three versions, none of them champion yet."""
    return registry(mlflow_store, NAME, n_versions=3)


def roll_back(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["--by", "Ada", "--because", "names were wrong", "--name", NAME, *arguments])


def promote_all(client: MlflowClient, *versions: int) -> None:
    for version in versions:
        promote(client, NAME, version, "rule", "better")


def test_the_command_moves_the_alias_back_and_tags_the_version(client: MlflowClient) -> None:
    promote_all(client, 1, 2)
    done = roll_back()
    assert done.exit_code == ExitCode.DONE
    assert "version 1 again, version 2 marked as rolled back" in done.stdout
    assert alias_version(client, NAME, CHAMPION) == 1
    tags = client.get_model_version(NAME, "2").tags
    assert tags["rolled_back_by"].startswith("Ada at ")
    assert tags["rolled_back_because"] == "names were wrong"


@pytest.mark.parametrize("config", ["{}", "{"], ids=["unreachable brokers", "malformed settings"])
def test_a_rollback_succeeds_during_a_kafka_outage(
    client: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str
) -> None:
    settings = tmp_path / "kafka.json"
    settings.write_text(config)
    monkeypatch.setenv("AIRSCRIPT_KAFKA", "127.0.0.1:1")
    monkeypatch.setenv("AIRSCRIPT_KAFKA_CONFIG", str(settings))
    monkeypatch.setattr("tasks.kafka.clients.FLUSH_S", 0.5)
    promote_all(client, 1, 2)
    done = roll_back()
    assert done.exit_code == ExitCode.DONE
    assert "version 1 again" in done.stdout
    assert "rollback done" in done.stderr
    assert alias_version(client, NAME, CHAMPION) == 1


def test_the_command_reports_what_is_missing(client: MlflowClient) -> None:
    nothing = roll_back()
    assert nothing.exit_code == ExitCode.INPUT_REJECTED
    assert "has no champion to roll back from" in nothing.stderr
    promote_all(client, 1)
    assert "first champion" in roll_back().stderr
    assert roll_back("--to", "9").exit_code == ExitCode.INPUT_REJECTED
    assert "is the champion already" in roll_back("--to", "1").stderr
    assert "rolled_back_by" not in client.get_model_version(NAME, "1").tags


def test_a_rolled_back_version_is_skipped(client: MlflowClient) -> None:
    promote_all(client, 1, 2, 3)
    client.set_model_version_tag(NAME, "2", "rolled_back_by", "Grace")
    assert roll_back().exit_code == ExitCode.DONE
    assert alias_version(client, NAME, CHAMPION) == 1


def test_no_version_is_left_after_two_that_replaced_each_other_failed(client: MlflowClient) -> None:
    promote_all(client, 1, 2, 1)
    assert roll_back().exit_code == ExitCode.DONE
    assert alias_version(client, NAME, CHAMPION) == 2
    assert roll_back().exit_code == ExitCode.INPUT_REJECTED
    assert alias_version(client, NAME, CHAMPION) == 2


def test_choosing_a_tagged_version_clears_its_tag(client: MlflowClient) -> None:
    promote_all(client, 1, 2)
    roll_back()
    assert roll_back("--to", "2").exit_code == ExitCode.DONE
    assert "rolled_back_by" not in client.get_model_version(NAME, "2").tags
