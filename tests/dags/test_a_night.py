"""A whole `nightly_transcription` through Airflow's own task runner and database, with a stand-in worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.contract import StepResult

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


@pytest.fixture
def run_night(airflow_home: Path, step_worker: Callable[..., None], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def run(n_batches: int, **behaviours: str) -> dict[str, Any]:
        step_worker(n_items=n_batches, **behaviours)
        shown = subprocess.run(
            [sys.executable, RUN_DAG, "nightly_transcription", json.dumps({"inbox": "s3://inbox"})],
            env={**os.environ, "AIRFLOW_HOME": str(airflow_home)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not shown.returncode, shown.stderr
        found: dict[str, Any] = json.loads(shown.stdout.splitlines()[-1])
        return found

    return run


def test_nothing_new_is_green_and_reported(run_night: Callable[..., dict[str, Any]]) -> None:
    night = run_night(n_batches=0)
    assert night["run"] == "success"
    assert night["tasks"]["report_night"] == "success"
    assert night["tasks"]["batch.publish"] == "skipped"
    assert night["tasks"]["night_complete"] == "success"


def test_a_failed_batch_stops_no_other_and_fails_the_run(
    run_night: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    night = run_night(n_batches=2, prepare_media="reject_second")
    assert night["run"] == "failed"
    assert night["tasks"] == {
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
    work = tmp_path / "home" / "storage" / "work"
    (published,) = (StepResult.from_bytes(file.read_bytes()) for file in work.glob("publish/*/result.json"))
    assert any("/diarize/" in uri for uri in published.inputs)
    (recognised,) = (StepResult.from_bytes(file.read_bytes()) for file in work.glob("recognise/*/result.json"))
    assert recognised.arguments["model"] == "models:/acoustic-model/1", "the version that plan-night found"
    (report,) = (StepResult.from_bytes(file.read_bytes()) for file in work.glob("report-night/*/result.json"))
    assert sum("/publish/" in uri for uri in report.inputs) == 1, "it reports the batch that succeeded"


def test_failed_diarization_costs_no_transcript(run_night: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    night = run_night(n_batches=1, diarize="misconfigure")
    assert night["run"] == "success"
    assert night["tasks"]["batch.diarize part-0"] == "failed"
    assert night["tasks"]["batch.publish part-0"] == "success"
    work = tmp_path / "home" / "storage" / "work"
    (published,) = (StepResult.from_bytes(file.read_bytes()) for file in work.glob("publish/*/result.json"))
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
