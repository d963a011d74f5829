"""Fixtures: Airflow in a temporary home, the DAGs with either runtime, and a stand-in worker."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from local.chromium import MISSING, find_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Airflow reads its configuration and creates its home on first import: keep it away from the developer's own.
if "airflow" not in sys.modules:
    _HOME = tempfile.mkdtemp(prefix="airscript-airflow-")
    atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
    for _name in [name for name in os.environ if name.startswith("AIRFLOW__")]:
        del os.environ[_name]
    os.environ["AIRFLOW_HOME"] = _HOME
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(Path(__file__).parents[2] / "dags")

FOREIGN = ("AIRSCRIPT_", "AWS_", "MLFLOW_TRACKING")  # variables of whoever runs the tests
CHECKOUT = Path(__file__).parents[2]
DAGS = CHECKOUT / "dags"
DAG_IDS = {
    "corpus_features",
    "finetune_acoustic_model",
    "import_model",
    "nightly_transcription",
    "transcribe_on_arrival",
}

# The settings of a cluster, used for the golden manifests.
CLUSTER = {
    "AIRSCRIPT_RUNTIME": "kubernetes",
    "AIRSCRIPT_STORAGE": "s3://speech",
    "AIRSCRIPT_BASE_MODEL": "s3://speech/models/base",
    "AIRSCRIPT_CPU_IMAGE": "registry.example/airscript/worker-cpu:1.2.3",
    "AIRSCRIPT_GPU_IMAGE": "registry.example/airscript/worker-gpu:1.2.3",
    "AIRSCRIPT_MLFLOW_URL": "https://mlflow.example",
    "AWS_REGION": "eu-central-1",
    "MLFLOW_TRACKING_URI": "http://mlflow.airscript.svc:5000",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """An environment without airscript's variables; call it to set some."""
    from dags.common.settings import settings

    for name in [name for name in os.environ if name.startswith(FOREIGN)]:
        monkeypatch.delenv(name)

    def set_variables(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()

    set_variables(AIRSCRIPT_HOME=str(tmp_path / "home"))
    yield set_variables
    settings.cache_clear()


@pytest.fixture
def cluster(environment: Callable[..., None]) -> dict[str, str]:
    """The settings of a cluster."""
    environment(**CLUSTER)
    return CLUSTER


@pytest.fixture(params=["local", "kubernetes"])
def runtime(request: pytest.FixtureRequest, environment: Callable[..., None]) -> str:
    """Each runtime in turn, with its settings."""
    environment(**(CLUSTER if request.param == "kubernetes" else {"AIRSCRIPT_RUNTIME": "local"}))
    return str(request.param)


@pytest.fixture
def load_dags() -> Callable[[], dict[str, Any]]:
    """Parses the DAG folder as the dag-processor does, with the current settings."""

    def load() -> dict[str, Any]:
        from airflow.dag_processing.dagbag import DagBag

        bag = DagBag(dag_folder=str(DAGS))
        assert bag.import_errors == {}
        assert set(bag.dag_ids) == DAG_IDS
        return dict(bag.dags)

    return load


@pytest.fixture
def step_worker(environment: Callable[..., None], tmp_path: Path) -> Callable[..., None]:
    """Configures the stand-in worker; call it to make steps misbehave."""

    def behave(n_items: int = 2, **behaviours: str) -> None:
        environment(**stand_in(tmp_path, n_items, **behaviours))

    behave()
    return behave


def stand_in(folder: Path, n_items: int, **behaviours: str) -> dict[str, str]:
    """The environment that makes a stand-in the worker. Its script is written into the folder."""
    script = folder / "worker"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).with_name("stand_in_worker.py")}" "$@"\n')
    script.chmod(0o755)
    pairs = ",".join(f"{step.replace('_', '-')}={behaviour}" for step, behaviour in behaviours.items())
    return {"AIRSCRIPT_WORKER_PYTHON": str(script), "STAND_IN": pairs, "STAND_IN_ITEMS": str(n_items)}


LABELS = {"promote": "if-better", "features": "whisper-128"}  # arguments that are no URIs


class Store(dict[str, Any]):
    """Airflow's task state store, kept over the tries of one task."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


@pytest.fixture
def task_context() -> Callable[..., dict[str, Any]]:
    """The task runner's context, as far as steps use it."""

    def context(task: Any, map_index: int = -1, try_number: int = 1, store: Store | None = None) -> dict[str, Any]:
        from airflow.sdk.execution_time.context import OutletEventAccessors

        pushed: dict[str, Any] = {}
        run_id = "manual__2026-01-02T03:04:05+00:00"
        ti = SimpleNamespace(
            dag_id=task.dag_id if task.has_dag() else "a_dag",
            task_id=task.task_id,
            run_id=run_id,
            map_index=map_index,
            try_number=try_number,
            max_tries=task.retries,
            pushed=pushed,
            xcom_push=lambda key, value: pushed.__setitem__(key, value),
            xcom_pull=lambda task_ids, map_indexes: f"s3://speech/work/{task_ids.split('.')[-1]}/result.json",
        )
        started = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        params = {name: param.value for name, param in task.dag.params.items()} if task.has_dag() else {}
        return {
            "ti": ti,
            "run_id": run_id,
            "dag_run": SimpleNamespace(logical_date=None, run_after=started),
            "dag": task.dag if task.has_dag() else None,
            "task": task,
            "params": params,
            "outlet_events": OutletEventAccessors(),
            "task_state_store": Store() if store is None else store,
        }

    return context


@pytest.fixture
def run_task() -> Callable[[Any, dict[str, Any]], Any]:
    """Runs a task's `execute` as the task runner does."""

    def run(task: Any, context: dict[str, Any]) -> Any:
        from airflow.sdk.bases.operator import ExecutorSafeguard

        token = ExecutorSafeguard.tracker.set(task)
        try:
            return task.execute(context)
        finally:
            ExecutorSafeguard.tracker.reset(token)

    return run


@pytest.fixture
def render() -> Callable[[Any, dict[str, Any]], Any]:
    """Renders a step task's fields: templates with the form's defaults, outputs of other tasks with stand-ins."""

    def render_task(task: Any, context: dict[str, Any]) -> Any:
        from airflow.sdk.definitions._internal.mixins import ResolveMixin

        from tasks.contract import STEPS

        jinja = task.dag.get_template_env()
        fields = STEPS[task.step].arguments.model_fields

        def value_of(name: str, value: Any) -> Any:
            if isinstance(value, ResolveMixin):
                uri = f"s3://speech/work/{name}/result.json"
                if name in LABELS:
                    return LABELS[name]
                return [uri, uri.replace("work", "play")] if "tuple" in str(fields[name].annotation) else uri
            return jinja.from_string(value).render(context) if isinstance(value, str) else value

        task.step_arguments = {name: value_of(name, value) for name, value in task.step_arguments.items()}
        task.item = "part-1" if isinstance(task.item, ResolveMixin) else task.item
        return task

    return render_task


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, without a window. Of one module: two drivers of Playwright do not run in one process."""
    found = find_chromium()
    if not found:
        pytest.skip(MISSING)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Chromium's own sandbox does not start as root, which containers are.
        arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        chromium = playwright.chromium.launch(executable_path=found, args=arguments)
        yield chromium
        chromium.close()
