"""Latency from an event `media.arrived` to the first step of its run.

A whole Airflow on this machine with its default database, and a real broker that is started here or those of
`KAFKA_BOOTSTRAP`. The steps do nothing, so Airflow is idle when the next event comes. The measurement ends at the
first line of `plan-night`'s process.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.support.airflow_services import airflow
from benchmarks.support.harness import Report, Row, make_report, run
from benchmarks.support.kafka_brokers import brokers
from dags.common.settings import Settings
from local.airflow_api import AirflowApi
from local.ports import free_port
from local.settings import Installation
from tasks.contract.events import MediaArrived

DAG_ID = "transcribe_on_arrival"
EVENTS = 6  # after one for warm-up
TIMEOUT_S = 180.0
WORKER = """#!{python} -IS
import json, os, sys, time
began, step = time.time(), sys.argv[3]
given = dict(word[2:].split("=", 1) for word in sys.argv[4:] if "=" in word)
receipt, result = given["receipt"].removeprefix("file://"), given["output"] + "/result.json"
os.makedirs(os.path.dirname(receipt), exist_ok=True)
with open(receipt, "w") as file:
    json.dump({{"step": step, "status": "done", "result": result, "items": []}}, file)
with open({starts!r}, "a") as file:
    file.write(f"{{step}} {{began}}\\n")
"""


@dataclass(frozen=True)
class WithKafka(Installation):
    """An installation whose Airflow consumes from Kafka, and whose steps record when they start."""

    kafka: str = ""

    def environment(self, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
        extra = {
            "bootstrap.servers": self.kafka,
            "group.id": "airscript-arrivals",
            "enable.auto.commit": "false",
            "auto.offset.reset": "earliest",
        }
        return {
            **super().environment(environ),
            "AIRSCRIPT_KAFKA": self.kafka,
            "AIRFLOW_CONN_AIRSCRIPT_KAFKA": json.dumps({"conn_type": "kafka", "extra": extra}),
            "AIRSCRIPT_WORKER_PYTHON": str(self.home / "worker"),
        }


def publish_event(number: int, inbox: str) -> None:
    """Publish one event."""
    from tasks import kafka

    kafka.publish(
        MediaArrived(
            uri=f"{inbox}/gone-{number}.mp4",
            n_bytes=1,
            etag=str(number),
            programme=f"gone-{number}",
            produced_at=datetime.now(UTC),
        )
    )


def latency_s(number: int, installation: Installation, api: AirflowApi, starts: Path) -> float:
    """Seconds from one event to the start of its run's first step; waits for the end of the run."""
    before = len(api.runs(DAG_ID))
    sent = time.time()
    publish_event(number, installation.settings.inbox)
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        runs = api.runs(DAG_ID)
        if len(runs) > before and all(found.is_over for found in runs):
            lines = [line.split() for line in starts.read_text().splitlines()]
            return next(float(at) for step, at in lines if step == "plan-night" and float(at) > sent) - sent
        time.sleep(0.5)
    raise RuntimeError(f"no run has finished {TIMEOUT_S:g} s after event {number}: see {installation.logs}")


def measure() -> Report:
    with brokers() as addresses, tempfile.TemporaryDirectory() as folder:
        os.environ["AIRSCRIPT_KAFKA"] = addresses
        home, starts = Path(folder), Path(folder) / "starts"
        starts.touch()
        (home / "worker").write_text(WORKER.format(python=sys.executable, starts=str(starts)))
        (home / "worker").chmod(0o755)
        settings = Settings.from_environment({"AIRSCRIPT_HOME": folder})
        (home / "storage" / "inbox").mkdir(parents=True)
        installation = WithKafka(home, free_port(), free_port(), settings, "", kafka=addresses)
        with airflow(installation, DAG_ID) as (api, _):
            latencies_s = sorted([latency_s(number, installation, api, starts) for number in range(EVENTS + 1)][1:])
    row = Row(
        name="media.arrived to plan-night",
        median_s=latencies_s[len(latencies_s) // 2],
        spread_s=(latencies_s[0], latencies_s[-1]),
        rate=1 / latencies_s[len(latencies_s) // 2],
        ratio=1.0,
    )
    return make_report(
        "arrival",
        "from the event to the first line of the first step",
        "events a second",
        "none",
        ("apache-airflow", "apache-airflow-providers-apache-kafka", "confluent-kafka"),
        [row],
        [f"{EVENTS} events, one after the other", "bar: 10 s"],
    )


if __name__ == "__main__":
    run(__doc__ or "", measure)
