"""Starting, watching and stopping the services of an installation: MLflow, four of Airflow, and `EXTRAS`."""

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

from local import extras, processes
from local.airflow_api import AirflowApi, is_answering
from local.ports import require_free
from local.processes import Record
from local.settings import CHECKOUT, EXTRAS, HOST, USER, Installation, Ports, UserError, write_private
from local.status_table import StatusTable

START_TIMEOUT_S = 240.0
STEP_GRACE_S = 20.0
"""Grace period of the scheduler and its steps: training saves a checkpoint."""
SERVER_GRACE_S = 4.0
"""Grace period of the other services: they have nothing to save, and the API server often ignores SIGTERM."""
POLL_S = 0.4
MAX_RESTARTS = 3
AIRFLOW_SERVICES = ("api-server", "scheduler", "dag-processor", "triggerer")
SERVICES = ("mlflow", *AIRFLOW_SERVICES)
# A verified password is cached: MLflow hashes it with PBKDF2 at every request otherwise.
MLFLOW_LOGIN = """\
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:///{home}/users.db
admin_username = {user}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 300
"""


def command_line(installation: Installation, service: str) -> list[str]:
    """The command line of a service."""
    airflow = [sys.executable, "-m", "airflow"]
    match service:
        case "api-server":
            # Host, port and workers are in the environment, where the other services read them too.
            return [*airflow, "api-server"]
        case "scheduler" | "triggerer":
            # The API server reads the log files itself; log servers would only occupy more ports.
            return [*airflow, service, "--skip-serve-logs"]
        case "dag-processor":
            return [*airflow, service]
        case "mlflow":
            store = ["--backend-store-uri", f"sqlite:///{installation.mlflow_home / 'mlflow.db'}"]
            artifacts = ["--artifacts-destination", f"{installation.settings.storage}/mlflow", "--serve-artifacts"]
            address = ["--host", HOST, "--port", str(installation.mlflow_port), "--workers", "1"]
            login = ["--app-name", "basic-auth"]
            return [sys.executable, "-m", "mlflow", "server", *login, *store, *artifacts, *address]
        case "s3" | "kafka":
            return extras.command_line(installation, service)
    raise ValueError(service)


@dataclass
class Services:
    """The services of one installation. `command` can be replaced by a cheaper one in tests."""

    installation: Installation
    command: Callable[[Installation, str], list[str]] = command_line
    names: tuple[str, ...] = SERVICES
    _restarts: Counter[str] = field(default_factory=Counter)

    @cached_property
    def environment(self) -> dict[str, str]:
        return self.installation.environment()

    @cached_property
    def _api(self) -> AirflowApi:
        return AirflowApi(self.installation)

    @property
    def folder(self) -> Path:
        """The folder of the process records."""
        return self.installation.home / "run"

    def log(self, name: str) -> Path:
        return self.installation.logs / f"{name}.log"

    def records(self) -> dict[str, Record]:
        """Records of the services that were started and not stopped, alive or not."""
        return processes.records(self.folder)

    def alive(self) -> dict[str, Record]:
        """Records of the running services."""
        return {name: record for name, record in self.records().items() if record.is_alive}

    # ---- up -----------------------------------------------------------------------------------------------------

    def up(self, table: StatusTable, started_by: str) -> tuple[str, ...]:
        """Start the services that do not run yet, wait until they are healthy, and return their names.

        Raises:
            UserError: a port is taken, or a service exits or stays unhealthy; the message names its log.
        """
        alive = self.alive()
        missing = tuple(name for name in self.names if name not in alive)
        self._require_ports(missing, is_running=bool(alive))
        self._prepare()
        for record in alive.values():
            if started_by == "up" != record.started_by:
                # `up` takes over what a demo started, so that no demo stops it.
                processes.write(replace(record, started_by=started_by), self.folder)
        for name in self.names:
            table.set(name, "waiting" if name in missing else "running already")
        self._start_extras([name for name in missing if name in EXTRAS], started_by, table)
        started_at: dict[str, float] = {}
        if "mlflow" in missing:
            table.set("mlflow", "starting")
            started_at["mlflow"] = self._start("mlflow", started_by)
        if any(name in AIRFLOW_SERVICES for name in missing):
            self._migrate(table)
        for name in missing:
            if name != "mlflow" and name not in EXTRAS:
                table.set(name, "starting")
                started_at[name] = self._start(name, started_by)
        self._wait(started_at, table)
        return missing

    def _start_extras(self, names: list[str], started_by: str, table: StatusTable) -> None:
        """Start storage and broker, and make what the others expect there: the bucket, the topics."""
        started_at = {}
        for name in names:
            table.set(name, "starting")
            started_at[name] = self._start(name, started_by)
        self._wait(started_at, table)
        for name in names:
            extras.prepare(name, self.environment)

    def restart_dead(self) -> tuple[str, ...]:
        """Restart the services that have died since `up`, without waiting for their health; returns their names.

        Raises:
            UserError: a service died more than `MAX_RESTARTS` times.
        """
        recorded, alive = self.records(), self.alive()
        dead = tuple(name for name in self.names if name in recorded and name not in alive)
        for name in dead:
            self._restarts[name] += 1
            if self._restarts[name] > MAX_RESTARTS:
                raise UserError(
                    f"{name} died {MAX_RESTARTS + 1} times:\n{tail(self.log(name))}\nThe whole log: {self.log(name)}"
                )
            self._start(name, recorded[name].started_by)
        return dead

    def _require_ports(self, missing: tuple[str, ...], is_running: bool) -> None:
        last, ports = Ports.of_last_start(self.installation.home), self.installation.ports
        if is_running and last != ports:
            raise UserError(
                f"Airflow runs on port {last.airflow} and MLflow on {last.mlflow} already. "
                "To change the ports, run `make down` first."
            )
        added = [name for name in EXTRAS if name in missing]
        if is_running and added and "api-server" not in missing:
            raise UserError(f"Airflow runs already, without {' and '.join(added)}. To add that, run `make down` first.")
        for service, port, name, variable in (
            ("api-server", ports.airflow, "Airflow", "AIRSCRIPT_AIRFLOW_PORT"),
            ("mlflow", ports.mlflow, "MLflow", "AIRSCRIPT_MLFLOW_PORT"),
            ("s3", ports.s3, "S3", "AIRSCRIPT_S3_PORT"),
            ("kafka", ports.kafka, "Kafka", "AIRSCRIPT_KAFKA_PORT"),
        ):
            if service in missing:
                require_free(port, name, variable)

    def _prepare(self) -> None:
        self.installation.logs.mkdir(parents=True, exist_ok=True)
        if self.installation.settings.storage.startswith("file://"):
            self.installation.storage_path.mkdir(parents=True, exist_ok=True)
        for folder in (self.installation.airflow_home, self.installation.mlflow_home):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)  # the databases: who writes them decides which model is champion
        self.installation.ports.save(self.installation.home)
        write_private(
            self.installation.mlflow_login, MLFLOW_LOGIN.format(home=self.installation.mlflow_home, user=USER)
        )
        password = self.installation.credentials().password
        write_private(self.installation.airflow_home / "passwords.json", f'{{"{USER}": "{password}"}}')

    def _start(self, name: str, started_by: str) -> float:
        """Start a service, and return the time of its start in seconds since the epoch."""
        recorded = self.records().get(name)
        if recorded is not None:
            # Stop what a crashed service left behind: the old scheduler's workers would run beside the new one's.
            processes.stop(processes.members(recorded), SERVER_GRACE_S)
        processes.start(
            name,
            self.command(self.installation, name),
            environment=self.environment,
            folder=self.folder,
            log=self.log(name),
            started_by=started_by,
            cwd=CHECKOUT,
        )
        return time.time()

    def _migrate(self, table: StatusTable) -> None:
        """Create or migrate Airflow's database, once for each version of Airflow."""
        from importlib.metadata import version

        stamp = self.installation.airflow_home / f".database-of-{version('apache-airflow-core')}"
        if stamp.exists():
            return
        if not list(self.installation.airflow_home.glob(".database-of-*")):
            # No migration has ever finished here, so an existing database is incomplete.
            for incomplete in self.installation.airflow_home.glob("airflow.db*"):
                incomplete.unlink()
        table.set("database", "starting", "first start only")
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
                    table.tick()
                    time.sleep(POLL_S)
            finally:
                if migration.poll() is None:
                    migration.terminate()
                    migration.wait()
        if migration.returncode:
            raise UserError(f"Airflow's database could not be created:\n{tail(log)}\nThe whole log: {log}")
        stamp.touch()
        table.set("database", "ready")

    def _wait(self, started_at: dict[str, float], table: StatusTable) -> None:
        waiting, began = dict(started_at), time.monotonic()
        while waiting:
            alive = self.alive()
            for name in [name for name in waiting if name not in alive]:
                raise UserError(
                    f"{name} exited during its start:\n{tail(self.log(name))}\nThe whole log: {self.log(name)}"
                )
            healthy = self._healthy(waiting)
            for name in healthy:
                table.set(name, "ready")
                del waiting[name]
            if waiting and time.monotonic() - began > START_TIMEOUT_S:
                name = next(iter(waiting))
                raise UserError(
                    f"{', '.join(waiting)} not ready after {START_TIMEOUT_S:.0f} s:\n{tail(self.log(name))}\n"
                    f"The whole log: {self.log(name)}. On a busy machine try again: running services are kept."
                )
            table.tick()
            time.sleep(POLL_S)

    def _healthy(self, started_at: dict[str, float]) -> list[str]:
        healthy = [name for name in started_at if name in EXTRAS and extras.is_healthy(self.installation, name)]
        if "mlflow" in started_at and is_answering(f"{self.installation.mlflow_url}/health"):
            healthy.append("mlflow")
        if any(name in AIRFLOW_SERVICES for name in started_at):
            try:
                components = self._api.health()
            except httpx.HTTPError:
                return healthy
            # Warm-up: the first request to the execution API takes 7 s of a core, too long for the first task.
            if "api-server" in started_at and not is_answering(f"{self.installation.airflow_url}/execution/health"):
                return healthy
            healthy += [
                name
                for name in AIRFLOW_SERVICES
                if name in started_at and (name == "api-server" or components.is_healthy_since(name, started_at[name]))
            ]
        return healthy

    # ---- down ---------------------------------------------------------------------------------------------------

    def down(self, names: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Stop services (default: all) and their descendants; returns the names of those that were running.

        The scheduler goes first: otherwise it would mark the stopped tasks as failed and retry them. Storage and broker
        go last: the others leave them in order.
        """
        recorded = self.records()
        chosen = [name for name in recorded if names is None or name in names]
        stopped = []
        for batch in (
            [name for name in chosen if name == "scheduler"],
            [name for name in chosen if name != "scheduler" and name not in EXTRAS],
            [name for name in chosen if name in EXTRAS],
        ):
            to_stop = [process for name in batch for process in processes.members(recorded[name])]
            if "scheduler" in batch:
                to_stop += processes.step_processes(f"{self.installation.settings.storage}/runs")
            stopped += [name for name in batch if recorded[name].is_alive]
            grace_s = STEP_GRACE_S if "scheduler" in batch else SERVER_GRACE_S
            processes.stop(list({process.pid: process for process in to_stop}.values()), grace_s)
            for name in batch:
                (self.folder / f"{name}.json").unlink(missing_ok=True)
        return tuple(stopped)


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, indented."""
    if not log.exists():
        return "  (no log)"
    return "\n".join(f"  {line}" for line in log.read_text(errors="replace").splitlines()[-lines:]) or "  (empty log)"
