"""Airflow with 100 to 800 mapped shards on PostgreSQL: seconds per task, and the scheduler's memory.

The steps do nothing, so that only Airflow's scheduler, its executor and our local operator are measured, with a DAG
from our step factory. A scheduler that scales takes as long for a task among 800 as among 100.
`AIRSCRIPT_SHARDS=100,400` runs fewer.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.support.airflow_services import airflow
from benchmarks.support.harness import Report, Row, make_report, run
from dags.common.settings import Settings
from local.airflow_api import AirflowApi
from local.ports import free_port
from local.services import Services
from local.settings import Installation

SIZES = tuple(int(size) for size in os.environ.get("AIRSCRIPT_SHARDS", "100,400,800").split(","))
TIMEOUT_S = 7200
DAG_ID = "shards"
DAG = f'''
from airflow.sdk import DAG, Param, task_group
from dags.common.step import step

with DAG("{DAG_ID}", schedule=None, params={{"shards": Param(100)}}):
    scan = step("scan-corpus", media="file:///nothing", shards="{{{{ params.shards }}}}")

    @task_group
    def shard(name, uri):
        return step("prepare-corpus", item=name, shard=uri).output

    shard.expand_kwargs(scan.output)
'''
WORKER = """#!{python} -IS
import json, sys
given = dict(word[2:].split("=", 1) for word in sys.argv[4:] if "=" in word)
count = int(given["shards"]) if "shards" in given else 0
items = [{{"name": f"part-{{n:05d}}", "uri": given["output"] + f"/{{n}}"}} for n in range(count)]
receipt = {{"step": sys.argv[3], "status": "done", "result": given["output"] + "/result.json", "items": items}}
path = given["receipt"].removeprefix("file://")
import os
os.makedirs(os.path.dirname(path), exist_ok=True)
open(path, "w").write(json.dumps(receipt))
"""


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Run a PostgreSQL server; yields Airflow's connection string."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    initdb = shutil.which("initdb") or (str(binaries[-1] / "initdb") if binaries else "")
    if not initdb:
        sys.exit("benchmarks.scheduling needs PostgreSQL's programs (Debian: apt-get install postgresql)")
    server, port, data = Path(initdb).with_name("postgres"), free_port(), folder / "data"
    # PostgreSQL refuses to run as root.
    user: dict[str, Any] = {"user": "postgres"} if os.geteuid() == 0 else {}
    if user:
        shutil.chown(folder, "postgres")
    subprocess.run([initdb, "-D", data, "-U", "airflow", "--auth=trust"], check=True, capture_output=True, **user)
    options = ["-p", str(port), "-h", "127.0.0.1", "-k", str(folder)]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([server, "-D", data, *options], **quiet, **user)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        time.sleep(1)
        yield f"postgresql+psycopg2://airflow@127.0.0.1:{port}/postgres"
    finally:
        process.terminate()
        process.wait()


@dataclass(frozen=True)
class OnPostgres(Installation):
    """An installation with another database, another DAG and a worker that does nothing."""

    database: str = ""

    def environment(self, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
        return {
            **super().environment(environ),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self.database,
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.home / "dags"),
            "AIRSCRIPT_WORKER_PYTHON": str(self.home / "worker"),
        }


@dataclass(frozen=True)
class Run:
    """A run: seconds from its first shard to its last, and peak memory."""

    shards: int
    seconds: float
    scheduler_mib: float
    api_mib: float


def follow(api: AirflowApi, services: Services, shards: int) -> Run:
    began, peaks = time.monotonic(), {"scheduler": 0.0, "api-server": 0.0}
    dag_run = api.trigger(DAG_ID, {"shards": shards})
    while time.monotonic() - began < TIMEOUT_S:
        for name in peaks:
            resident = psutil.Process(services.records()[name].pid).memory_info().rss / 2**20
            peaks[name] = max(peaks[name], resident)
        dag_run = api.run(DAG_ID, dag_run.dag_run_id)
        if dag_run.state == "success":
            done = [task for task in api.task_instances(dag_run) if task.map_index >= 0]
            assert len(done) == shards, len(done)
            first = min(task.start_date for task in done if task.start_date)
            last = max(task.end_date for task in done if task.end_date)
            return Run(shards, (last - first).total_seconds(), peaks["scheduler"], peaks["api-server"])
        if dag_run.is_over:
            break
        time.sleep(2)
    raise RuntimeError(f"{shards} shards: {dag_run.state} after {time.monotonic() - began:.0f} s")


def measure() -> Report:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as cluster:
        Path(cluster).chmod(0o755)
        home = Path(folder)
        (home / "dags").mkdir()
        (home / "dags" / "shards.py").write_text(DAG)
        (home / "worker").write_text(WORKER.format(python=sys.executable))
        (home / "worker").chmod(0o755)
        with postgres(Path(cluster)) as database:
            settings = Settings.from_environment({"AIRSCRIPT_HOME": folder})
            installation = OnPostgres(home, free_port(), free_port(), settings, "", database=database)
            runs = []
            with airflow(installation, DAG_ID) as (api, services):
                for shards in SIZES:
                    runs.append(follow(api, services, shards))
                    print(f"{shards} shards: {runs[-1].seconds / shards:.2f} s a task", file=sys.stderr)
                parallelism = installation.environment()["AIRFLOW__CORE__PARALLELISM"]
    first = runs[0]
    rows = [
        Row(
            name=f"{found.shards} shards",
            median_s=found.seconds,
            spread_s=(found.seconds, found.seconds),
            rate=found.shards / found.seconds,
            ratio=(found.shards / found.seconds) / (first.shards / first.seconds),
        )
        for found in runs
    ]
    notes = [f"{parallelism} parallel tasks, each with a process of Airflow's and one of ours"]
    notes += [
        f"{found.shards} shards: {found.seconds / found.shards:.2f} s a task; scheduler {found.scheduler_mib:.0f} MiB,"
        f" API server {found.api_mib:.0f} MiB at most"
        for found in runs
    ]
    return make_report(
        "scheduling",
        "a run's mapped tasks, steps that do nothing, PostgreSQL",
        "tasks a second",
        f"{first.shards} shards",
        ("apache-airflow", "psycopg2-binary"),
        rows,
        notes,
        {f"s_per_task_{found.shards}": found.seconds / found.shards for found in runs},
    )


if __name__ == "__main__":
    run(__doc__ or "", measure)
