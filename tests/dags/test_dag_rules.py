"""The rules for every DAG, in both runtimes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from dags.common.failures import RETRIES, StepRetryPolicy
from dags.common.launch import StepLauncher
from dags.common.profiles import PLACEMENTS, pod_profiles
from tasks.contract import STEPS, from_argv
from tests.dags.conftest import DAG_IDS

DAGS = Path(__file__).parents[2] / "dags"
FILES = sorted(DAGS.glob("[a-z]*.py"))
HEAVY = {"av", "datasets", "mlflow", "numpy", "obstore", "pyannote", "pyarrow", "torch", "transformers"}

Load = Callable[[], dict[str, Any]]


def steps_of(dag: Any) -> list[Any]:
    return [task for task in dag.tasks if isinstance(task, StepLauncher)]


def test_every_dag_follows_the_rules(runtime: str, load_dags: Load) -> None:
    for dag in load_dags().values():
        assert dag.doc_md, dag.dag_id
        for part in ("When it fails", "What is normal", "To resume", "Reads", "Writes"):
            assert part.lower() in dag.doc_md.lower(), (dag.dag_id, part)
        assert "airscript" in dag.tags
        assert dag.catchup is False
        assert dag.max_active_runs == 1
        assert {task.owner for task in dag.tasks} == {"speech-platform"}
        for name, param in dag.params.items():
            assert dag.params.get_param(name).description, (dag.dag_id, name)
            schema = dag.params.get_param(name).schema
            assert schema["title"], (dag.dag_id, name)
            constraints = {"pattern", "enum", "minLength", "minimum", "exclusiveMinimum"}
            assert constraints & set(schema) or schema["type"] == "boolean", (dag.dag_id, name, param)
        dag.params.validate()


def test_every_task_survives_a_transient_fault(runtime: str, load_dags: Load) -> None:
    for dag in load_dags().values():
        for task in dag.tasks:
            # The scheduler sets an empty task's state itself, so it cannot fail.
            assert task.retries > 0 or task.task_type == "EmptyOperator", task.task_id


def test_every_step_follows_the_rules(runtime: str, load_dags: Load) -> None:
    for dag in load_dags().values():
        for task in steps_of(dag):
            assert task.retries == RETRIES
            assert isinstance(task.retry_policy, StepRetryPolicy)
            assert task.execution_timeout > PLACEMENTS[task.step].profile.deadline
            assert task.doc_md
            mapped = task.get_closest_mapped_task_group() is not None
            assert (task.map_index_template is not None) == mapped, "mapped tasks are named after their item"


def test_tasks_downstream_of_an_optional_step_run_when_it_is_skipped(runtime: str, load_dags: Load) -> None:
    optional = [task for dag in load_dags().values() for task in steps_of(dag) if task.skip_if_argument_is_empty]
    assert optional
    for task in optional:
        assert {after.trigger_rule for after in task.downstream_list} == {"none_failed"}, task.task_id


def test_every_step_is_launched_by_some_dag(environment: object, load_dags: Load) -> None:
    assert {task.step for dag in load_dags().values() for task in steps_of(dag)} == set(STEPS)


def test_every_argument_vector_parses(
    runtime: str, load_dags: Load, task_context: Callable[..., Any], render: Callable[..., Any]
) -> None:
    seen = 0
    for dag in load_dags().values():
        for task in steps_of(dag):
            context = task_context(task)
            command = render(task, context).command(context)
            definition = STEPS[task.step]
            assert command[:3] == ["-m", definition.program, task.step]
            arguments = from_argv(definition.arguments, command[3:], prog=task.task_id)
            assert arguments.output.endswith(f"/work/{task.step}")
            assert arguments.receipt.endswith(
                f"/runs/{PLACEMENTS[task.step].role}/{dag.dag_id}/manual__2026-01-02T03-04-05-00-00/{task.task_id}.json"
            )
            seen += 1
    assert seen >= len(STEPS)


def test_both_runtimes_run_the_same_argument_vectors(
    environment: Callable[..., None], load_dags: Load, task_context: Callable[..., Any], render: Callable[..., Any]
) -> None:
    vectors = []
    for runtime in ("local", "kubernetes"):
        environment(AIRSCRIPT_RUNTIME=runtime)
        dags = load_dags()
        vectors.append(
            {
                (dag.dag_id, task.task_id): render(task, task_context(task)).command(task_context(task))
                for dag in dags.values()
                for task in steps_of(dag)
            }
        )
    assert vectors[0] == vectors[1]


def test_dags_survive_serialization(runtime: str, load_dags: Load) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    for dag in load_dags().values():
        restored = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
        assert set(restored.task_ids) == set(dag.task_ids)


def test_placements_name_every_step() -> None:
    assert set(PLACEMENTS) == set(STEPS)
    for name, placement in PLACEMENTS.items():
        assert bool(placement.profile.gpus) == STEPS[name].gpu, name
    for profile in pod_profiles().values():
        assert profile.grace_s < 120, "a Spot node gives two minutes"
        for other in filter(None, (profile.larger, profile.on_demand)):
            assert pod_profiles()[other].gpus == profile.gpus
            assert not pod_profiles()[other].spot


def test_dag_files_are_short_and_the_only_ones() -> None:
    assert {file.stem for file in FILES} == DAG_IDS
    for file in FILES:
        assert 60 <= len(file.read_text().splitlines()) <= 150, file.name


PARSE = """
import json, sys, time
import airflow.dag_processing.dagbag                 # what a dag-processor has imported before it parses
from airflow.sdk import (DAG, Asset, AssetOrTimeSchedule, BaseOperator, CronTriggerTimetable, Param, RetryPolicy,
                         XComArg, task, task_group)
import airflow.providers.standard.operators.hitl, airflow.providers.standard.operators.empty
if sys.argv[1] == "kubernetes":
    import airflow.providers.cncf.kubernetes.operators.pod
import importlib.util
times = {}
for file in sys.argv[2:]:
    spec = importlib.util.spec_from_file_location("parsed", file)
    before = time.process_time()
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    times[file] = time.process_time() - before
print(json.dumps({"times": times, "modules": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


@pytest.mark.parametrize("name", ["local", "kubernetes"])
def test_parsing_is_quick_and_light(name: str, tmp_path: Path) -> None:
    variables = {**os.environ, "AIRSCRIPT_RUNTIME": name}
    parsed = subprocess.run(
        [sys.executable, "-c", PARSE, name, *map(str, FILES)],
        env=variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(parsed.stdout.splitlines()[-1])
    # Processor seconds, so that the load of the machine does not count.
    assert max(found["times"].values()) < 1.0, found["times"]
    provider = {"numpy"} if name == "kubernetes" else set()
    assert not (HEAVY - provider) & set(found["modules"])


@pytest.mark.parametrize("first", [True, False], ids=["dag folder first on the path", "elsewhere"])
def test_the_package_is_found_from_any_working_directory(first: bool, tmp_path: Path) -> None:
    code = "import dags.common.settings, tasks.contract; print(dags.common.settings.CHECKOUT)"
    path = f"import sys; sys.path.insert(0, {str(DAGS)!r}); " if first else ""
    shown = subprocess.run(
        [sys.executable, "-c", path + code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == str(DAGS.parent)


def test_docs_name_only_tasks_that_exist(environment: object, load_dags: Load) -> None:
    dags = load_dags()
    known = {part for dag in dags.values() for task in dag.task_ids for part in task.split(".")} | set(dags)
    steps = {name.replace("-", "_") for name in STEPS}
    for dag in dags.values():
        named = set(re.findall(r"`([a-z]+(?:_[a-z]+)+)`", dag.doc_md))
        assert named <= known | steps, (dag.dag_id, named - known)


def test_the_first_night_is_the_next_one(environment: object, load_dags: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """An Airflow that is installed at half past one has no champion yet."""
    from airflow.serialization.decoders import decode_timetable
    from airflow.serialization.encoders import encode_timetable
    from airflow.timetables import trigger
    from airflow.timetables.base import TimeRestriction

    timetable = decode_timetable(encode_timetable(load_dags()["nightly_transcription"].timetable))
    now = datetime(2026, 11, 27, 1, 30, tzinfo=UTC)
    monkeypatch.setattr(trigger, "utcnow", lambda: now)
    found = timetable.next_dagrun_info(
        last_automated_data_interval=None, restriction=TimeRestriction(earliest=None, latest=None, catchup=False)
    )
    assert found.run_after == datetime(2026, 11, 28, 1, 0, tzinfo=UTC)
