"""Fixtures for tests on a real cluster (`make test-cluster`), with Airflow, S3 and MLflow on this machine.

Without a cluster all tests here are skipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from dags.common.settings import Settings
from local.airflow_api import AirflowApi
from local.ports import free_port
from local.services import Services
from local.status_table import StatusTable
from tests.cluster.installation import (
    BUCKET,
    CHECKOUT,
    JOBS,
    KEY,
    MLFLOW_SECRET,
    PASSWORDS,
    PLATFORM,
    SECRET,
    ClusterInstallation,
    Platform,
    Watcher,
    apply,
    host_address,
    kubeconfig_of,
    kubectl,
    manifests,
    s3_server,
)

SWITCH = "AIRSCRIPT_TEST_CLUSTER"
DAGS_TIMEOUT_S = 600.0
IMAGE = os.environ.get("AIRSCRIPT_TEST_IMAGE", "airscript/worker-cpu:0.1.0")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.timeout(1800))
            if not os.environ.get(SWITCH):
                item.add_marker(pytest.mark.skip(reason="needs a cluster: make test-cluster"))


@pytest.fixture(scope="session")
def cluster() -> None:
    """Applies the manifests, labels the nodes and creates the service accounts of Airflow's chart."""
    apply(manifests())
    accounts = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": PLATFORM}}
        for name in ("airflow-scheduler", "airflow-triggerer")
    ]
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET, "namespace": JOBS},
        "stringData": KEY,
    }
    passwords = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": MLFLOW_SECRET, "namespace": JOBS},
        "stringData": PASSWORDS,
    }
    apply([*accounts, secret, passwords])
    kubectl("label", "nodes", "--all", "--overwrite", "airscript.io/node=cpu", "karpenter.sh/capacity-type=on-demand")
    kubectl("uncordon", *kubectl("get", "nodes", "-o", "name").split())
    kubectl("delete", "pods", "--all", "--namespace", JOBS, "--grace-period=0", "--force")


@pytest.fixture(scope="session")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's channel, with a short archive: `archive/`, `inbox/`, `references/`."""
    folder = tmp_path_factory.mktemp("channel")
    folders = [f"--{name}={folder / name}" for name in ("archive", "inbox", "references")]
    subprocess.run(
        [sys.executable, "-m", "local.demo.synthesis", *folders, "--minutes=4"],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="session")
def platform(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """Airflow with pods on the cluster, S3 and MLflow on this machine."""
    home = tmp_path_factory.mktemp("airscript")
    profiles = home / "profiles.yaml"
    profiles.write_bytes((CHECKOUT / "k8s" / "overlays" / "local" / "profiles.yaml").read_bytes())
    for account in ("airflow-scheduler", "airflow-triggerer"):
        kubeconfig_of(account, home)
    installation = ClusterInstallation(
        home=home,
        airflow_port=free_port(),
        mlflow_port=free_port("0.0.0.0"),
        settings=Settings.from_environment({"AIRSCRIPT_HOME": str(home)}),
        references="",
        host=host_address(),
        s3_port=free_port("0.0.0.0"),
        profiles=profiles,
        image=IMAGE,
    )
    installation.write_accounts()
    services = Services(installation, command=installation.command)
    console = Console()
    with s3_server(installation.s3_port, home / "s3.log"):
        try:
            with StatusTable(console) as table:
                services.up(table, "up")
            api = AirflowApi(installation)
            platform = Platform(api, installation, keep_alive=services.restart_dead)
            platform.s3.create_bucket(Bucket=BUCKET)
            wait_for_dags(api)
            for dag_id in ("corpus_features", "nightly_transcription"):
                api.unpause(dag_id)
            subprocess.run(
                [sys.executable, "-m", "airflow", "pools", "set", "gpu", "2", "accelerators", "--include-deferred"],
                env=installation.environment(),
                check=True,
                capture_output=True,
            )
            yield platform
        finally:
            services.down()


def wait_for_dags(api: AirflowApi) -> None:
    """Wait until Airflow has read all DAGs that the tests run: on a busy machine one comes minutes after another."""
    deadline = time.monotonic() + DAGS_TIMEOUT_S
    while missing := {"corpus_features", "nightly_transcription", "finetune_acoustic_model"} - api.dag_ids():
        assert time.monotonic() < deadline, f"Airflow has not read {missing}: {api.import_errors()}"
        time.sleep(1)


@pytest.fixture(scope="session")
def dataset(platform: Platform, channel: Path) -> str:
    """URI of the manifest of a dataset that `corpus_features` made from the archive, with pods."""
    platform.upload(channel / "archive", "archive")
    pods = Watcher()
    run = platform.follow(platform.api.trigger("corpus_features", {"shards": 2, "name": "cluster"}), pods)
    assert run.state == "success", platform.describe(run)
    assert pods.steps() == ["assemble-dataset", *["extract-features"] * 2, *["prepare-corpus"] * 2, "scan-corpus"]
    (manifest,) = [key for key in platform.keys("work/assemble-dataset") if key.endswith("manifest.json")]
    return f"s3://{BUCKET}/{manifest}"


@pytest.fixture
def watcher(platform: Platform) -> Watcher:
    return Watcher()


@pytest.fixture
def profiles(platform: Platform) -> Iterator[Path]:
    """The profiles file. Tests may change it, and the next task reads it; restored afterwards."""
    path = platform.installation.profiles
    before = path.read_text()
    yield path
    path.write_text(before)


@pytest.fixture
def change_profile(profiles: Path) -> Callable[..., None]:
    """`change_profile("cpu-small", memory="64Mi")`."""

    def change(name: str, **fields: object) -> None:
        found = yaml.safe_load(profiles.read_text())
        found.setdefault(name, {}).update(fields)
        profiles.write_text(yaml.safe_dump(found))

    return change
