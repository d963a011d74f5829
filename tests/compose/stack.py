"""Runs docker-compose.yaml as a separate project, for tests on the same machine."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3

from dags.common.settings import Settings
from local.airflow_api import AirflowApi, DagRun
from local.ports import free_port
from local.settings import Credentials, Installation

CHECKOUT = Path(__file__).parents[2]
COMPOSE_FILE = CHECKOUT / "docker-compose.yaml"
OVERRIDE = CHECKOUT / "tests" / "compose" / "override.yaml"
EXAMPLE = CHECKOUT / ".env.example"
SWITCH = os.environ.get("AIRSCRIPT_TEST_COMPOSE", "")
"""`1`: with stand-ins for the public images. `public`: with the public images."""
PROJECT = "airscript-test"
ONE_SHOTS = {"airflow-init", "s3-bucket", "s3-certificate", "kafka-topics"}
"""Services that end when their work is done."""
COMPONENTS = ("prepare", "features", "diarize", "recognise", "captions")
PROGRAMS = CHECKOUT / "tests" / "compose" / "programs"
BUCKET = "airscript"
START_TIMEOUT_S = 600.0
RUN_TIMEOUT_S = 900.0


def compose_command() -> list[str] | None:
    """The command of Compose 2 or 1.29, whichever is installed."""
    docker = shutil.which("docker")
    if docker and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0:
        return [docker, "compose"]
    found = shutil.which("docker-compose")
    return [found] if found else None


def filled_in(values: dict[str, str]) -> str:
    """.env.example with generated secrets, `values` instead of its own, and those that it leaves out."""
    values = dict(values)
    lines = []
    for line in EXAMPLE.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            value = values.pop(name, value) or base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
            line = f"{name}={value}"
        lines.append(line)
    lines += [f"{name}={value}" for name, value in values.items()]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class StackInstallation(Installation):
    """The stack's address and password, for `AirflowApi`."""

    password: str = ""

    def credentials(self) -> Credentials:
        return Credentials(self.password, jwt_secret="")


@dataclass(frozen=True)
class Stack:
    """The project; its `.env` is in `folder`."""

    folder: Path
    compose: tuple[str, ...]

    @classmethod
    def prepare(cls, folder: Path) -> Stack:
        command = compose_command()
        if command is None:
            raise RuntimeError("neither docker compose nor docker-compose on this machine")
        ports = {f"AIRSCRIPT_{name}_PORT": str(free_port()) for name in ("AIRFLOW", "MLFLOW", "S3", "KAFKA")}
        settings = {"COMPOSE_PROJECT_NAME": PROJECT, "AIRSCRIPT_PARALLELISM": "2", "AIRSCRIPT_KAFKA": "kafka:9092"}
        (folder / ".env").write_text(filled_in({**settings, **ports}))
        files = [COMPOSE_FILE] if SWITCH == "public" else [COMPOSE_FILE, OVERRIDE]
        chosen = [argument for file in files for argument in ("--file", str(file))]
        project = ["--project-directory", str(CHECKOUT), "--env-file", str(folder / ".env")]
        return cls(folder, (*command, *project, *chosen))

    # ---- containers -------------------------------------------------------------------------------------------------

    def run(self, *arguments: str, stdin: str | None = None, profile: str = "live") -> str:
        """Run compose with a profile, by default the one with all services; returns its output.

        Raises:
            RuntimeError: it failed; the message has its output.
        """
        # The caller's variables would take precedence over the project's own.
        names = {line.partition("=")[0].removeprefix("# ") for line in EXAMPLE.read_text().splitlines()}
        environment = {name: value for name, value in os.environ.items() if name not in names}
        done = subprocess.run(
            [*self.compose, "--profile", profile, *arguments],
            cwd=CHECKOUT,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"compose {' '.join(arguments)}: {done.stdout[-2000:]}{done.stderr[-4000:]}")
        return done.stdout

    def up(self, profile: str) -> None:
        """Start the services of a profile that do not run yet, and wait until all are healthy.

        Raises:
            RuntimeError: a service did not become healthy in time; the message has its log.
        """
        self.run("build", "airflow-scheduler", profile=profile)  # from the current images
        self.run("up", "--detach", profile=profile)
        began = time.monotonic()
        while waiting := [name for name, state in self.states().items() if state not in ("healthy", "exited 0")]:
            if time.monotonic() - began > START_TIMEOUT_S:
                logs = self.run("logs", "--no-color", "--tail=40", *waiting)
                raise RuntimeError(f"not healthy after {START_TIMEOUT_S:.0f} s: {self.states()}\n{logs}")
            time.sleep(2)

    def down(self) -> None:
        self.run("down", "--volumes", "--remove-orphans", "--timeout", "10")

    def states(self) -> dict[str, str]:
        """The state of each service: `healthy`, `starting`, …, or `exited` with its code."""
        mine = ["docker", "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}"]
        containers = subprocess.check_output(mine, text=True).split()
        inspected = json.loads(subprocess.check_output(["docker", "inspect", *containers]))
        states = {}
        for container in inspected:
            state = container["State"]
            without_check = f"exited {state['ExitCode']}" if state["Status"] == "exited" else state["Status"]
            states[container["Config"]["Labels"]["com.docker.compose.service"]] = (
                state["Health"]["Status"] if state["Status"] == "running" and "Health" in state else without_check
            )
        return states

    def worker(self, *arguments: str, stdin: str | None = None) -> str:
        """Run the worker's interpreter in the scheduler's container, as a step does; returns its output."""
        return self.run("exec", "-T", "airflow-scheduler", "/opt/worker/python", *arguments, stdin=stdin)

    def program(self, name: str, *arguments: str) -> str:
        """Run one of `programs/` with the worker's interpreter; returns its output."""
        return self.worker("-", *arguments, stdin=(PROGRAMS / f"{name}.py").read_text())

    def read_topic(self, topic: str, key: str) -> list[tuple[float, dict[str, Any]]]:
        """All messages of a topic with this key, each with its time in seconds since 1970."""
        return [tuple(json.loads(line)) for line in self.program("read_topic", topic, key).splitlines()]

    # ---- clients ----------------------------------------------------------------------------------------------------

    @cached_property
    def environment(self) -> dict[str, str]:
        lines = (self.folder / ".env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))

    @cached_property
    def installation(self) -> StackInstallation:
        return StackInstallation(
            home=self.folder,
            airflow_port=int(self.environment["AIRSCRIPT_AIRFLOW_PORT"]),
            mlflow_port=int(self.environment["AIRSCRIPT_MLFLOW_PORT"]),
            settings=Settings.from_environment({"AIRSCRIPT_HOME": str(self.folder)}),
            references="",
            password=self.environment["AIRFLOW_ADMIN_PASSWORD"],
        )

    @cached_property
    def api(self) -> AirflowApi:
        return AirflowApi(self.installation)

    @cached_property
    def s3(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.environment['AIRSCRIPT_S3_PORT']}",
            aws_access_key_id=self.environment["S3_ACCESS_KEY"],
            aws_secret_access_key=self.environment["S3_SECRET_KEY"],
            region_name="us-east-1",
        )

    def upload(self, files: Sequence[Path], prefix: str) -> None:
        for path in files:
            self.s3.upload_file(str(path), BUCKET, f"{prefix}/{path.name}")

    def keys(self, prefix: str) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def read(self, key: str) -> bytes:
        return bytes(self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def follow(self, run: DagRun) -> DagRun:
        """Wait for the end of a run and return it."""
        began = time.monotonic()
        while not run.is_over:
            if time.monotonic() - began > RUN_TIMEOUT_S:
                raise AssertionError(
                    f"{run.dag_id} has not finished after {RUN_TIMEOUT_S:.0f} s:\n{self.describe(run)}"
                )
            time.sleep(2)
            run = self.api.run(run.dag_id, run.dag_run_id)
        return run

    def describe(self, run: DagRun) -> str:
        """The tasks of a run with their states, and the ends of the logs of those that failed."""
        lines: list[str] = []
        for task in self.api.task_instances(run):
            lines.append(f"{task.task_id} [{task.map_index}]: {task.state}, try {task.try_number}")
            if task.state not in ("success", "skipped", None):
                lines += [f"    {line}" for line in self.api.log_lines(run, task)[-25:]]
        return "\n".join(lines)
