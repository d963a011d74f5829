"""airscript on a cluster: Airflow on this machine, its pods on the cluster.

S3 and MLflow are processes on this machine at an address that pods can reach. Airflow's scheduler and triggerer have
only the tokens of their service accounts, so that they can do only what the manifests allow.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import yaml

from dags.common.profiles import MLFLOW_ACCOUNTS
from local.airflow_api import AirflowApi, DagRun, TaskInstance
from local.services import command_line
from local.settings import Installation

CHECKOUT = Path(__file__).parents[2]
JOBS, PLATFORM = "airscript-jobs", "airscript"
BUCKET = "speech"
SECRET = "storage"
MLFLOW_SECRET = "mlflow"
PASSWORDS = {name: f"airscript-test-{name}" for name in sorted(set(MLFLOW_ACCOUNTS.values()))}
"""Passwords of MLflow's accounts, in a secret of the pods' namespace."""
KEY = {"AWS_ACCESS_KEY_ID": "airscript-test", "AWS_SECRET_ACCESS_KEY": "airscript-test-secret"}
APPLIED = (
    *("Namespace", "ServiceAccount", "Role", "RoleBinding", "ResourceQuota", "LimitRange"),
    *("PriorityClass", "NetworkPolicy"),
)
BASE_MODEL = "/opt/airscript/local/demo/base_model/weights"
"""Path of the base model in the worker image."""


def kubectl(*arguments: str, stdin: str | None = None, check: bool = True) -> str:
    """Run `kubectl` as the cluster's administrator; returns its output."""
    done = subprocess.run(["kubectl", *arguments], input=stdin, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def manifests() -> list[dict[str, Any]]:
    """The manifests of `k8s/overlays/local` that concern step pods."""
    rendered = yaml.safe_load_all(kubectl("kustomize", str(CHECKOUT / "k8s" / "overlays" / "local")))
    return [manifest for manifest in rendered if manifest["kind"] in APPLIED]


def apply(objects: list[dict[str, Any]]) -> None:
    kubectl("apply", "--filename", "-", stdin=yaml.safe_dump_all(objects))


def host_address() -> str:
    """This machine's address as seen from the cluster's node."""
    if address := os.environ.get("AIRSCRIPT_HOST_ADDRESS"):
        return address
    nodes = json.loads(kubectl("get", "nodes", "--output", "json"))["items"]
    node = next(a["address"] for a in nodes[0]["status"]["addresses"] if a["type"] == "InternalIP")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((node, 9))
        return str(probe.getsockname()[0])


def kubeconfig_of(service_account: str, folder: Path) -> Path:
    """Write a kubeconfig with the token of a service account of the platform's namespace."""
    config = yaml.safe_load(kubectl("config", "view", "--raw", "--minify", "--flatten"))
    token = kubectl("create", "token", service_account, "--namespace", PLATFORM, "--duration", "6h").strip()
    config["users"] = [{"name": service_account, "user": {"token": token}}]
    config["contexts"][0]["context"]["user"] = service_account
    path = folder / f"{service_account}.kubeconfig"
    path.write_text(yaml.safe_dump(config))
    path.chmod(0o600)
    return path


@dataclass(frozen=True)
class ClusterInstallation(Installation):
    """An installation whose steps run on a cluster, with storage and MLflow at addresses that pods can reach."""

    host: str = ""
    s3_port: int = 0
    profiles: Path = Path()
    image: str = ""

    @property
    def s3_url(self) -> str:
        return f"http://{self.host}:{self.s3_port}"

    @property
    def accounts(self) -> Path:
        """The configuration of MLflow's login with an account for each role."""
        return self.mlflow_home / "accounts.ini"

    def write_accounts(self) -> None:
        """Write MLflow's accounts, as the cluster does before its server starts."""
        self.mlflow_home.mkdir(parents=True, exist_ok=True)
        variables = {
            "DATABASE": f"sqlite:///{self.mlflow_home / 'mlflow.db'}",
            "MLFLOW_AUTH_CONFIG_PATH": str(self.accounts),
            **{name.upper(): password for name, password in PASSWORDS.items()},
        }
        subprocess.run(
            [sys.executable, str(CHECKOUT / "images" / "mlflow" / "accounts.py")],
            env=self.environment() | variables,
            check=True,
            capture_output=True,
        )

    def environment(self, environ: Any = os.environ) -> dict[str, str]:
        inherited = {name: value for name, value in environ.items() if not name.startswith("AIRSCRIPT_")}
        return {
            **super().environment(inherited),
            **KEY,
            "AIRSCRIPT_RUNTIME": "kubernetes",
            "AIRSCRIPT_STORAGE": f"s3://{BUCKET}",
            "AIRSCRIPT_CORPUS": f"s3://{BUCKET}/archive",
            "AIRSCRIPT_INBOX": f"s3://{BUCKET}/inbox",
            "AIRSCRIPT_TRANSCRIPTS": f"s3://{BUCKET}/transcripts",
            "AIRSCRIPT_BASE_MODEL": BASE_MODEL,
            "AIRSCRIPT_CPU_IMAGE": self.image,
            "AIRSCRIPT_GPU_IMAGE": self.image,
            "AIRSCRIPT_PROFILES": str(self.profiles),
            "AIRSCRIPT_POD_SECRET": SECRET,
            "AIRSCRIPT_MLFLOW_SECRET": MLFLOW_SECRET,
            "AWS_ENDPOINT_URL": self.s3_url,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "MLFLOW_TRACKING_URI": f"http://{self.host}:{self.mlflow_port}",
        }

    def command(self, installation: Installation, service: str) -> list[str]:
        """The command of a service, with the kubeconfig of its own service account."""
        if service == "mlflow":
            plain = command_line(installation, service)
            plain[plain.index("--host") + 1] = "0.0.0.0"
            login = ["env", f"MLFLOW_AUTH_CONFIG_PATH={self.accounts}"]
            return [*login, *plain, "--allowed-hosts", f"{self.host}:{self.mlflow_port},127.0.0.1:{self.mlflow_port}"]
        account = {"triggerer": "airflow-triggerer"}.get(service, "airflow-scheduler")
        return ["env", f"KUBECONFIG={self.home / f'{account}.kubeconfig'}", *command_line(installation, service)]


@dataclass(frozen=True)
class StepPod:
    """A pod that the watcher has seen."""

    name: str
    step: str
    profile: str
    item: str


class Watcher:
    """Records all step pods created after it was; pods of earlier runs may still be terminating."""

    def __init__(self) -> None:
        self.pods: dict[str, StepPod] = {}
        self._before: set[str] = set()
        self._before = {pod["metadata"]["uid"] for pod in self.look()}
        self.pods.clear()

    def look(self) -> list[dict[str, Any]]:
        """Record and return the current pods."""
        pods: list[dict[str, Any]] = json.loads(kubectl("get", "pods", "-n", JOBS, "-o", "json"))["items"]
        found = [pod for pod in pods if pod["metadata"]["uid"] not in self._before]
        for pod in found:
            labels = pod["metadata"]["labels"]
            self.pods[pod["metadata"]["uid"]] = StepPod(
                pod["metadata"]["name"],
                labels.get("app.kubernetes.io/component", ""),
                labels.get("airscript.io/profile", ""),
                labels.get("airscript.io/item", ""),
            )
        return found

    def steps(self) -> list[str]:
        return sorted(pod.step for pod in self.pods.values())


@dataclass
class Platform:
    """What the tests use: Airflow's API, the bucket, and the cluster."""

    api: AirflowApi
    installation: ClusterInstallation
    keep_alive: Any

    @property
    def s3(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.installation.s3_url,
            region_name="us-east-1",
            aws_access_key_id=KEY["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEY["AWS_SECRET_ACCESS_KEY"],
        )

    def upload(self, folder: Path, prefix: str) -> None:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.s3.upload_file(str(path), BUCKET, f"{prefix}/{path.relative_to(folder).as_posix()}")

    def keys(self, prefix: str) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", ())]

    def read(self, key: str) -> bytes:
        return bytes(self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def follow(self, run: DagRun, watcher: Watcher, timeout_s: float = 900, act: Any = None) -> DagRun:
        """Wait for the end of a run; `act` is called with the current pods at every poll."""
        began = time.monotonic()
        while time.monotonic() - began < timeout_s:
            pods = watcher.look()
            if act is not None:
                act(pods)
            self.keep_alive()
            run = self.api.run(run.dag_id, run.dag_run_id)
            if run.is_over:
                return run
            time.sleep(1)
        raise AssertionError(f"{run.dag_id} has not finished after {timeout_s:.0f} s:\n{self.describe(run)}")

    def stop(self, run: DagRun) -> None:
        """Stop a run by marking it as failed."""
        self.api.send("PATCH", f"/api/v2/dags/{run.dag_id}/dagRuns/{quote(run.dag_run_id)}", {"state": "failed"})

    def tries(self, run: DagRun) -> dict[str, tuple[str | None, int]]:
        """State and tries of each task of a run."""
        return {
            task.task_id + (f"[{task.map_index}]" if task.map_index >= 0 else ""): (task.state, task.try_number)
            for task in self.api.task_instances(run)
        }

    def describe(self, run: DagRun) -> str:
        """The tasks of a run with their states, and the ends of the logs of those that failed."""
        lines: list[str] = []
        for task in self.api.task_instances(run):
            lines.append(f"{task.task_id} [{task.map_index}]: {task.state}, try {task.try_number}")
            if task.state not in ("success", "skipped", None):
                lines += [f"    {line}" for line in self.log(run, task)[-25:]]
        return "\n".join(lines)

    def log(self, run: DagRun, task: TaskInstance) -> list[str]:
        return self.api.log_lines(run, task)


@contextmanager
def s3_server(port: int, log: Path) -> Iterator[None]:
    """moto's server. It supports conditional puts, which steps rely on."""
    with log.open("wb") as sink:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "--host", "0.0.0.0", "--port", str(port)],
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
        try:
            for _ in range(100):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.2)
            yield
        finally:
            server.terminate()
            server.wait()
