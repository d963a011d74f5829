"""kill -9 at random moments of steps and of Airflow's scheduler, over a whole night of twenty programmes.

It takes a quarter of an hour, so it runs with `AIRSCRIPT_KILLS=50` only; other tests kill steps without Airflow.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from io import StringIO
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from dags.common.failures import StepPreempted
from dags.common.settings import Settings
from local import services as local_services
from local.airflow_api import AirflowApi
from local.ports import free_port
from local.processes import members, step_processes
from local.services import AIRFLOW_SERVICES, Services
from local.settings import Installation
from local.status_table import StatusTable
from tests.faults.conftest import KILLS, PROGRAMMES
from tests.faults.night import Night, assert_one_complete_set_each, complete_manifests

DAG_ID = "nightly_transcription"
SCHEDULER_SHARE = 0.1  # of the kills; the others are steps
LIMIT_S = 3000.0
MAX_PREEMPTIONS = StepPreempted.max_failures - 1  # of a task: one more fails it for good

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(KILLS < 50, reason="a quarter of an hour: AIRSCRIPT_KILLS=50"),
]


def test_a_night_whose_steps_and_scheduler_are_killed_is_complete(
    night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_services, "MAX_DEATHS", KILLS)
    home = tmp_path / "home"
    places = Settings.from_environment(
        {"AIRSCRIPT_HOME": str(home), "AIRSCRIPT_INBOX": night.at("inbox"), "AIRSCRIPT_TRANSCRIPTS": night.transcripts}
    )
    installation = Installation(home, free_port(), free_port(), places, "")
    services = Services(installation, names=AIRFLOW_SERVICES)
    rng, kinds, preempted, seen = random.Random(11), Counter[str](), Counter[str](), set[str]()
    try:
        with StatusTable(Console(file=StringIO())) as table:
            services.up(table, "up")
        api = AirflowApi(installation, on_retry=services.restart_dead)
        api.unpause(DAG_ID)
        run = api.trigger(DAG_ID, {"model": night.model, "batches": 4})
        deadline = time.monotonic() + LIMIT_S
        while not run.is_over and time.monotonic() < deadline:
            time.sleep(rng.uniform(0.5, 4.0))
            if kinds.total() < KILLS:
                kinds[kill(services, installation, rng, preempted)] += 1
                del kinds["nothing"]
            services.restart_dead()
            now = set(complete_manifests(night))
            assert seen <= now, "published sets stay"
            seen = now
            run = api.run(DAG_ID, run.dag_run_id)
        tasks = Counter((task.task_id, task.state) for task in api.task_instances(run))
        print(f"kills: {dict(kinds)}; tasks: {dict(tasks)}")
        assert run.state == "success", tasks
    finally:
        services.down()
    assert_one_complete_set_each(night, PROGRAMMES)
    assert kinds["scheduler"], kinds
    assert kinds.total() == KILLS, kinds


def kill(services: Services, installation: Installation, rng: random.Random, preempted: Counter[str]) -> str:
    """kill -9 a running step, or the scheduler with all its children except the steps.

    `preempted` counts the kills of each task's steps.
    """
    steps = step_processes(str(installation.settings.storage) + "/runs")
    if rng.random() < SCHEDULER_SHARE and "scheduler" in services.alive():
        running = {step.pid for step in steps}
        victims = [process for process in members(services.records()["scheduler"]) if process.pid not in running]
    else:
        victims = [step for step in steps if preempted[receipt_of(step)] < MAX_PREEMPTIONS][:1]
        preempted.update(map(receipt_of, victims))
    for process in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return "nothing" if not victims else "scheduler" if len(victims) > 1 else "step"


def receipt_of(step: psutil.Process) -> str:
    """The receipt's argument, equal for all tries of a task; empty if the step has just ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return next((word for word in step.cmdline() if word.startswith("--receipt=")), "")
    return ""
