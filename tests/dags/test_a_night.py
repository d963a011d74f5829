"""A whole `nightly_transcription` through Airflow's own task runner and database, with a stand-in worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tasks.contract import StepResult
from tests.dags.conftest import FOREIGN, stand_in

pytestmark = pytest.mark.slow

RUN_DAG = Path(__file__).with_name("run_dag.py")
MISS_DEADLINE = Path(__file__).with_name("miss_deadline.py")


@pytest.fixture(scope="module")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Airflow with an empty database, in SQLite."""
    home = tmp_path_factory.mktemp("airflow")
    airflow = Path(sys.executable).with_name("airflow")
    subprocess.run(
        [airflow, "db", "migrate"], env={**os.environ, "AIRFLOW_HOME": str(home)}, check=True, capture_output=True
    )
    return home


@dataclass(frozen=True)
class Night:
    """A run's state, those of its tasks, and the folder of the results of its steps."""

    run: str
    tasks: dict[str, str]
    work: Path

    def results(self, step: str) -> list[StepResult]:
        return [StepResult.from_bytes(file.read_bytes()) for file in self.work.glob(f"{step}/*/result.json")]


@pytest.fixture(scope="module")
def nights(airflow_home: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Night]:
    """Three nights: without anything new, with a batch that fails, and with a diarization that fails."""
    behaviours: dict[str, dict[str, Any]] = {
        "nothing new": {"n_items": 0},
        "failed batch": {"n_items": 2, "prepare_media": "reject_second"},
        "failed diarization": {"n_items": 1, "diarize": "misconfigure"},
    }
    homes = {name: tmp_path_factory.mktemp("night") for name in behaviours}
    runs = [
        {
            "form": {"inbox": "s3://inbox"},
            "environment": {"AIRSCRIPT_HOME": str(homes[name] / "home"), **stand_in(homes[name], **behaviour)},
        }
        for name, behaviour in behaviours.items()
    ]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    shown = subprocess.run(
        [sys.executable, RUN_DAG, "nightly_transcription", json.dumps(runs)],
        env={**kept, "AIRFLOW_HOME": str(airflow_home)},
        cwd=tmp_path_factory.mktemp("cwd"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert not shown.returncode, shown.stderr
    found = [json.loads(line) for line in shown.stdout.splitlines() if line.startswith('{"run": ')]
    return {
        name: Night(work=homes[name] / "home" / "storage" / "work", **night)
        for name, night in zip(behaviours, found, strict=True)
    }


def test_nothing_new_is_green_and_reported(nights: dict[str, Night]) -> None:
    night = nights["nothing new"]
    assert night.run == "success"
    assert night.tasks["report_night"] == "success"
    assert night.tasks["batch.publish"] == "skipped"
    assert night.tasks["night_complete"] == "success"


def test_a_failed_batch_stops_no_other_and_fails_the_run(nights: dict[str, Night]) -> None:
    night = nights["failed batch"]
    assert night.run == "failed"
    assert night.tasks == {
        "plan_night": "success",
        "batch.prepare_media part-0": "success",
        "batch.prepare_media part-1": "failed",
        "batch.recognise part-0": "success",
        "batch.recognise 1": "upstream_failed",
        "batch.diarize part-0": "success",
        "batch.diarize 1": "upstream_failed",
        "batch.diarized_or_not 0": "success",
        "batch.diarized_or_not 1": "success",
        "batch.publish part-0": "success",
        "batch.publish 1": "upstream_failed",
        "report_night": "success",
        "night_complete": "upstream_failed",
    }
    (published,) = night.results("publish")
    assert any("/diarize/" in uri for uri in published.inputs)
    (recognised,) = night.results("recognise")
    assert recognised.arguments["model"] == "models:/acoustic-model/1", "the version that plan-night found"
    (report,) = night.results("report-night")
    assert sum("/publish/" in uri for uri in report.inputs) == 1, "it reports the batch that succeeded"


def test_failed_diarization_costs_no_transcript(nights: dict[str, Night]) -> None:
    night = nights["failed diarization"]
    assert night.run == "success"
    assert night.tasks["batch.diarize part-0"] == "failed"
    assert night.tasks["batch.publish part-0"] == "success"
    (published,) = night.results("publish")
    assert not any("/diarize/" in uri for uri in published.inputs)


def test_a_late_night_raises_an_alert(airflow_home: Path, tmp_path: Path) -> None:
    """From a run's start to the deadline's callback through Airflow itself, on SQLite."""
    shown = subprocess.run(
        [sys.executable, MISS_DEADLINE],
        env={**os.environ, "AIRFLOW_HOME": str(airflow_home)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(shown.stdout.splitlines()[-1])
    assert found == {"after_s": 5 * 3600, "states": ["running", "success"]}
    assert "nightly_transcription late is late" in shown.stdout + shown.stderr
