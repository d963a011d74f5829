"""Folders, ports and credentials of an installation on one machine, and the environment of its services."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dags.common.settings import CHECKOUT, Settings, as_uri

HOST = "127.0.0.1"
USER = "admin"
EXTRAS = ("s3", "kafka")
"""Services that `make up WITH="s3 kafka"` adds, in the order of their start."""
BUCKET = "airscript"


class UserError(Exception):
    """An error that the user can fix; the message says how."""


@dataclass(frozen=True)
class Credentials:
    """Generated once, kept in a file that only its owner can read."""

    password: str
    jwt_secret: str


@dataclass(frozen=True)
class Ports:
    """The ports of an installation. They are saved, so that other commands need not name them again."""

    airflow: int = 8080
    mlflow: int = 5000
    s3: int = 8333
    kafka: int = 9092

    @classmethod
    def of_last_start(cls, home: Path) -> Ports:
        """The ports with which the services of this home were last started; the defaults if they never were."""
        try:
            return cls(**json.loads((home / "ports.json").read_text()))
        except (OSError, ValueError, TypeError):
            return cls()

    def save(self, home: Path) -> None:
        write_private(home / "ports.json", json.dumps(self.__dict__))


@dataclass(frozen=True)
class Installation:
    """One installation: a home folder, ports and the locations of the data."""

    home: Path
    airflow_port: int
    mlflow_port: int
    settings: Settings
    references: str
    """URI prefix of the reference texts of the inbox; need not exist."""
    storage_port: int = field(default=Ports.s3, kw_only=True)
    broker_port: int = field(default=Ports.kafka, kw_only=True)
    extras: tuple[str, ...] = field(default=(), kw_only=True)
    """The services of `EXTRAS` that belong to it."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ, extras: Iterable[str] = ()) -> Installation:
        """Read the same variables as the DAGs, with the same defaults, as absolute paths.

        `extras`: further services, besides those that were started and not stopped. With `s3` its bucket is the
        storage, unless `AIRSCRIPT_STORAGE` is set.

        Raises:
            UserError: an invalid port, or a storage that is not a folder.
        """
        home = Path(environ.get("AIRSCRIPT_HOME") or CHECKOUT / ".airscript").expanduser().absolute()
        chosen = tuple(name for name in EXTRAS if name in extras or (home / "run" / f"{name}.json").exists())
        where = {"AIRSCRIPT_HOME": str(home), "AIRSCRIPT_RUNTIME": "local"}
        if "s3" in chosen and not environ.get("AIRSCRIPT_STORAGE"):
            where["AIRSCRIPT_STORAGE"] = f"s3://{BUCKET}"
        settings = Settings.from_environment({**environ, **where})
        if not settings.storage.startswith("file://") and "s3" not in chosen:
            raise UserError(
                f"AIRSCRIPT_STORAGE={settings.storage}: the local commands need a folder. Unset it, or set a path."
            )
        ports = Ports.of_last_start(home)
        return cls(
            home=home,
            airflow_port=_port(environ, "AIRSCRIPT_AIRFLOW_PORT", ports.airflow),
            mlflow_port=_port(environ, "AIRSCRIPT_MLFLOW_PORT", ports.mlflow),
            storage_port=_port(environ, "AIRSCRIPT_S3_PORT", ports.s3),
            broker_port=_port(environ, "AIRSCRIPT_KAFKA_PORT", ports.kafka),
            settings=settings,
            extras=chosen,
            references=as_uri(environ.get("AIRSCRIPT_REFERENCES") or f"{settings.storage}/references"),
        )

    @property
    def airflow_url(self) -> str:
        return f"http://{HOST}:{self.airflow_port}"

    @property
    def mlflow_url(self) -> str:
        return f"http://{HOST}:{self.mlflow_port}"

    @property
    def ports(self) -> Ports:
        return Ports(self.airflow_port, self.mlflow_port, self.storage_port, self.broker_port)

    @property
    def s3_url(self) -> str:
        return f"http://{HOST}:{self.storage_port}"

    @property
    def kafka_address(self) -> str:
        return f"{HOST}:{self.broker_port}"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def airflow_home(self) -> Path:
        return self.home / "airflow"

    @property
    def mlflow_home(self) -> Path:
        return self.home / "mlflow"

    @property
    def mlflow_login(self) -> Path:
        """The configuration of MLflow's login."""
        return self.mlflow_home / "login.ini"

    @property
    def storage_path(self) -> Path:
        return path_of(self.settings.storage)

    @property
    def receipts(self) -> Path:
        """The folder of the steps' receipts: `<role>/<dag_id>/<run_id>/<task_id>[-<map_index>].json` below it."""
        return self.storage_path / "runs"

    def credentials(self) -> Credentials:
        """The credentials of this home, generated on first use."""
        path = self.home / "credentials.json"
        if not path.exists():
            generated = Credentials(password=secrets.token_urlsafe(9), jwt_secret=secrets.token_urlsafe(48))
            write_private(path, json.dumps(generated.__dict__))
        return Credentials(**json.loads(path.read_text()))

    def environment(self, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
        """The environment of every service and step: the caller's, with this installation's settings."""
        credentials = self.credentials()
        # Settings of another Airflow of the same user must not leak into this one.
        inherited = {
            name: value for name, value in environ.items() if not name.startswith(("AIRFLOW__", "AIRFLOW_HOME"))
        }
        return {
            **inherited,
            **self._platform(environ),
            **self._airscript(),
            **self._airflow(credentials),
            **self._extras(credentials),
            "MLFLOW_TRACKING_URI": self.mlflow_url,
            "MLFLOW_TRACKING_USERNAME": USER,
            "MLFLOW_TRACKING_PASSWORD": credentials.password,
            "MLFLOW_AUTH_CONFIG_PATH": str(self.mlflow_login),
            "MLFLOW_AUTH_ADMIN_PASSWORD": credentials.password,
            "MLFLOW_FLASK_SERVER_SECRET_KEY": credentials.jwt_secret,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            # The server's job runner, which is not used here, takes 1.5 GB.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            # Several steps share the cores: waiting OpenMP threads must sleep, not spin.
            "OMP_WAIT_POLICY": "PASSIVE",
        }

    def _airscript(self) -> dict[str, str]:
        return {
            "AIRSCRIPT_HOME": str(self.home),
            "AIRSCRIPT_STORAGE": self.settings.storage,
            "AIRSCRIPT_CORPUS": self.settings.corpus,
            "AIRSCRIPT_INBOX": self.settings.inbox,
            "AIRSCRIPT_TRANSCRIPTS": self.settings.transcripts,
            "AIRSCRIPT_BASE_MODEL": self.settings.base_model,
            "AIRSCRIPT_RUNTIME": "local",
            "AIRSCRIPT_PROGRESS_SECONDS": "10",
        }

    def _extras(self, credentials: Credentials) -> dict[str, str]:
        found = {}
        if "s3" in self.extras:
            found = {
                "AWS_ENDPOINT_URL": self.s3_url,
                "AWS_ACCESS_KEY_ID": USER,
                "AWS_SECRET_ACCESS_KEY": credentials.password,
                "AWS_REGION": "us-east-1",  # for obstore
                "AWS_DEFAULT_REGION": "us-east-1",  # for boto3
            }
        if "kafka" in self.extras:
            arrivals = {
                "bootstrap.servers": self.kafka_address,
                "group.id": "airscript-arrivals",
                "enable.auto.commit": "false",
                "auto.offset.reset": "earliest",
            }
            found["AIRSCRIPT_KAFKA"] = self.kafka_address
            found["AIRFLOW_CONN_AIRSCRIPT_KAFKA"] = json.dumps({"conn_type": "kafka", "extra": arrivals})
        return found

    def _airflow(self, credentials: Credentials) -> dict[str, str]:
        return {
            "AIRFLOW_HOME": str(self.airflow_home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(CHECKOUT / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(CHECKOUT / "dags" / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": str(min(max(os.cpu_count() or 2, 2), 8)),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.airflow_url}/execution/",
            # A password, although the server listens on localhost only: triggering a DAG runs programs as its owner,
            # and the machine may have other accounts.
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.airflow_home / "passwords.json"),
            "AIRFLOW__API_AUTH__JWT_SECRET": credentials.jwt_secret,
            "AIRFLOW__API__BASE_URL": self.airflow_url,
            "AIRFLOW__API__HOST": HOST,
            "AIRFLOW__API__PORT": str(self.airflow_port),
            "AIRFLOW__API__WORKERS": "1",
            # On a busy machine the API server's first response to a task may take half a minute. With the default of
            # 5 s the task gives up and is retried.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.logs / "tasks"),
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
            # Reset a crashed scheduler's tasks as soon as its heartbeat is 30 s old (the default checks every 5 min).
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        }

    @staticmethod
    def _platform(environ: Mapping[str, str]) -> dict[str, str]:
        local = f"{HOST},localhost"
        proxies = ",".join(filter(None, (environ.get("NO_PROXY") or environ.get("no_proxy"), local)))
        settings = {"NO_PROXY": proxies, "no_proxy": proxies}
        if sys.platform == "darwin":
            # LocalExecutor forks after Objective-C classes have been loaded, for which macOS would kill its workers.
            settings["OBJC_DISABLE_INITIALIZE_FORK_SAFETY"] = "YES"
        return settings


def write_private(path: Path, text: str) -> None:
    """Write a file that no other user can read, not even while it is being written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    partial.replace(path)


def path_of(uri: str) -> Path:
    """The path of a `file://` URI."""
    return Path(unquote(urlsplit(uri).path))


def _port(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not text.isdecimal() or not 1024 <= int(text) <= 65535:
        raise UserError(f"{name}={text}: not a port. Set a number from 1024 to 65535, for example {default}.")
    return int(text)
