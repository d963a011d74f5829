"""The five services of a laptop and how they are started, watched and stopped."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import httpx

from local import processes
from local.airflow_api import AirflowApi, is_answering
from local.board import Board
from local.ports import require_free
from local.processes import Record
from local.settings import CHECKOUT, HOST, USER, Laptop, LaptopError, Ports, write_private

START_LIMIT_S = 240.0
STEP_GRACE_S = 20.0
"""For the scheduler and what it runs: a training saves a checkpoint."""
SERVER_GRACE_S = 4.0
"""For all else: nothing to save, and the API server often does not end by itself."""
POLL_S = 0.4
MAX_DEATHS = 3
AIRFLOW_SERVICES = ("api-server", "scheduler", "dag-processor", "triggerer")
SERVICES = ("mlflow", *AIRFLOW_SERVICES)


def command(laptop: Laptop, service: str) -> list[str]:
    """The command line of one service."""
    airflow = [sys.executable, "-m", "airflow"]
    match service:
        case "api-server":
            # Host, port and workers stand in the environment, where the other services read them too.
            return [*airflow, "api-server"]
        case "scheduler" | "triggerer":
            # The API server reads the log files itself; a log server each would only take another port.
            return [*airflow, service, "--skip-serve-logs"]
        case "dag-processor":
            return [*airflow, service]
        case "mlflow":
            store = ["--backend-store-uri", f"sqlite:///{laptop.mlflow_home / 'mlflow.db'}"]
            artifacts = ["--artifacts-destination", f"{laptop.places.storage}/mlflow", "--serve-artifacts"]
            address = ["--host", HOST, "--port", str(laptop.mlflow_port), "--workers", "1"]
            return [sys.executable, "-m", "mlflow", "server", *store, *artifacts, *address]
    raise ValueError(service)


@dataclass
class Services:
    """Airflow and MLflow of one laptop. `command` is a parameter so that tests can run something cheaper."""

    laptop: Laptop
    command: Callable[[Laptop, str], list[str]] = command
    names: tuple[str, ...] = SERVICES
    _deaths: Counter[str] = field(default_factory=Counter)

    @cached_property
    def environment(self) -> dict[str, str]:
        return self.laptop.environment()

    @cached_property
    def _api(self) -> AirflowApi:
        return AirflowApi(self.laptop)

    @property
    def folder(self) -> Path:
        """Where the records of started processes lie."""
        return self.laptop.home / "run"

    def log(self, name: str) -> Path:
        return self.laptop.logs / f"{name}.log"

    def records(self) -> dict[str, Record]:
        """The services that were started and not stopped, alive or not."""
        return processes.records(self.folder)

    def alive(self) -> dict[str, Record]:
        """The services that run now."""
        return {name: record for name, record in self.records().items() if record.is_alive}

    # ---- up -----------------------------------------------------------------------------------------------------

    def up(self, board: Board, started_by: str) -> tuple[str, ...]:
        """Start what does not run yet, wait until all of it is healthy, and return the names of what was started.

        Raises:
            LaptopError: a port is taken, or a service ends or stays unhealthy; names the log.
        """
        alive = self.alive()
        missing = tuple(name for name in self.names if name not in alive)
        self._require_ports(missing, is_running=bool(alive))
        self._prepare()
        for record in alive.values():
            if started_by == "up" != record.started_by:
                processes.write(replace(record, started_by=started_by), self.folder)  # no demo's to stop any more
        for name in self.names:
            board.set(name, "waiting" if name in missing else "runs already")
        born: dict[str, float] = {}
        if "mlflow" in missing:
            board.set("mlflow", "starting")
            born["mlflow"] = self._start("mlflow", started_by)
        if any(name in AIRFLOW_SERVICES for name in missing):
            self._migrate(board)
        for name in missing:
            if name != "mlflow":
                board.set(name, "starting")
                born[name] = self._start(name, started_by)
        self._wait(born, board)
        return missing

    def revive(self) -> tuple[str, ...]:
        """Start again what has died since `up`, without waiting until it is ready; returns its names.

        Raises:
            LaptopError: a service died too often to go on with it.
        """
        recorded, alive = self.records(), self.alive()
        dead = tuple(name for name in self.names if name in recorded and name not in alive)
        for name in dead:
            self._deaths[name] += 1
            if self._deaths[name] > MAX_DEATHS:
                raise LaptopError(
                    f"{name} died {MAX_DEATHS + 1} times:\n{tail(self.log(name))}\nThe whole log: {self.log(name)}"
                )
            self._start(name, recorded[name].started_by)
        return dead

    def _require_ports(self, missing: tuple[str, ...], is_running: bool) -> None:
        there = Ports.chosen_last(self.laptop.home)
        if is_running and there != self.laptop.ports:
            raise LaptopError(
                f"Airflow runs on port {there.airflow} and MLflow on {there.mlflow} already. "
                "To move them, `make down` first."
            )
        if "api-server" in missing:
            require_free(self.laptop.airflow_port, "Airflow", "AIRSCRIPT_AIRFLOW_PORT")
        if "mlflow" in missing:
            require_free(self.laptop.mlflow_port, "MLflow", "AIRSCRIPT_MLFLOW_PORT")

    def _prepare(self) -> None:
        for folder in (
            self.laptop.airflow_home,
            self.laptop.mlflow_home,
            self.laptop.logs,
            self.laptop.storage_path,
        ):
            folder.mkdir(parents=True, exist_ok=True)
        self.laptop.ports.remember(self.laptop.home)
        password = self.laptop.credentials().password
        write_private(self.laptop.airflow_home / "passwords.json", f'{{"{USER}": "{password}"}}')

    def _start(self, name: str, started_by: str) -> float:
        """Start one service; returns when, in seconds since the epoch."""
        recorded = self.records().get(name)
        if recorded is not None:
            # What a crashed service left behind (the scheduler's workers) would work on beside the new one.
            processes.stop(processes.members(recorded), SERVER_GRACE_S)
        processes.start(
            name,
            self.command(self.laptop, name),
            environment=self.environment,
            folder=self.folder,
            log=self.log(name),
            started_by=started_by,
            cwd=CHECKOUT,
        )
        return time.time()

    def _migrate(self, board: Board) -> None:
        """Make Airflow's database, once for each version of Airflow."""
        from importlib.metadata import version

        stamp = self.laptop.airflow_home / f".database-of-{version('apache-airflow-core')}"
        if stamp.exists():
            return
        if not list(self.laptop.airflow_home.glob(".database-of-*")):
            # No migration has ever ended here: what lies there is half a database.
            for half in self.laptop.airflow_home.glob("airflow.db*"):
                half.unlink()
        board.set("database", "starting", "made once")
        log = self.log("database")
        with log.open("wb") as sink:
            migration = subprocess.Popen(
                [sys.executable, "-m", "airflow", "db", "migrate"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )
            try:
                while migration.poll() is None:
                    board.tick()
                    time.sleep(POLL_S)
            finally:
                if migration.poll() is None:
                    migration.terminate()
                    migration.wait()
        if migration.returncode:
            raise LaptopError(f"Airflow's database could not be made:\n{tail(log)}\nThe whole log: {log}")
        stamp.touch()
        board.set("database", "ready")

    def _wait(self, born: dict[str, float], board: Board) -> None:
        waiting, began = dict(born), time.monotonic()
        while waiting:
            alive = self.alive()
            for name in [name for name in waiting if name not in alive]:
                raise LaptopError(
                    f"{name} ended while it started:\n{tail(self.log(name))}\nThe whole log: {self.log(name)}"
                )
            healthy = self._healthy(waiting)
            for name in healthy:
                board.set(name, "ready")
                del waiting[name]
            if waiting and time.monotonic() - began > START_LIMIT_S:
                name = next(iter(waiting))
                raise LaptopError(
                    f"{', '.join(waiting)} not ready after {START_LIMIT_S:.0f} s:\n{tail(self.log(name))}\n"
                    f"The whole log: {self.log(name)}. On a busy machine start again: what runs is kept."
                )
            board.tick()
            time.sleep(POLL_S)

    def _healthy(self, born: dict[str, float]) -> list[str]:
        healthy = []
        if "mlflow" in born and is_answering(f"{self.laptop.mlflow_url}/health"):
            healthy.append("mlflow")
        if any(name in AIRFLOW_SERVICES for name in born):
            try:
                components = self._api.health()
            except httpx.HTTPError:
                return healthy
            # The first request to the part that tasks talk to takes 7 s of a core: better now than in the first task.
            if "api-server" in born and not is_answering(f"{self.laptop.airflow_url}/execution/health"):
                return healthy
            healthy += [
                name
                for name in AIRFLOW_SERVICES
                if name in born and (name == "api-server" or components.is_healthy_since(name, born[name]))
            ]
        return healthy

    # ---- down ---------------------------------------------------------------------------------------------------

    def down(self, names: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Stop services (all of them by default) with everything they started; returns the names of those that ran.

        The scheduler first, so that it does not mark what is being stopped as failed and start it again.
        """
        recorded = self.records()
        chosen = [name for name in recorded if names is None or name in names]
        stopped = []
        for batch in (
            [name for name in chosen if name == "scheduler"],
            [name for name in chosen if name != "scheduler"],
        ):
            family = [process for name in batch for process in processes.members(recorded[name])]
            if "scheduler" in batch:
                family += processes.steps_of(f"{self.laptop.places.storage}/runs")
            stopped += [name for name in batch if recorded[name].is_alive]
            grace_s = STEP_GRACE_S if "scheduler" in batch else SERVER_GRACE_S
            processes.stop(list({process.pid: process for process in family}.values()), grace_s)
            for name in batch:
                (self.folder / f"{name}.json").unlink(missing_ok=True)
        return tuple(stopped)


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, indented."""
    if not log.exists():
        return "  (no log)"
    return "\n".join(f"  {line}" for line in log.read_text(errors="replace").splitlines()[-lines:]) or "  (empty log)"
