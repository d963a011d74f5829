"""Values of Airflow's chart: its keys and Airflow's options exist, and names agree with the manifests.

The chart is not an installable package. `KEYS` are the keys that we set, from its values.yaml (1.19) and its
scheduler's template (1.22); another key is a mistake, or has to be looked up and added. With `helm` and the chart
(`AIRSCRIPT_AIRFLOW_CHART`: its .tgz or folder) it is rendered and validated.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from typing import Any

import kubernetes_validate
import pytest
import yaml

from dags.common.alerts import URL_VARIABLE
from dags.common.settings import Settings
from tests.k8s.manifests import K8S, Manifest, in_namespace, of_kind, rendered

VALUES: dict[str, Any] = yaml.safe_load((K8S / "helm" / "airflow.yaml").read_text())
IMAGES: dict[str, Any] = yaml.safe_load((K8S / "helm" / "images.yaml").read_text())
COMPONENTS = ("scheduler", "triggerer", "dagProcessor", "apiServer")

_COMMON = "serviceAccount.name serviceAccount.annotations resources"
_PROBE = "livenessProbe.command livenessProbe.periodSeconds livenessProbe.timeoutSeconds"
_SILENT = f"{_COMMON} serviceAccount.automountServiceAccountToken"
KEYS = {
    "": (
        "airflowVersion uid gid nodeSelector executor allowPodLaunching extraEnv env data.metadataSecretName"
        " fernetKeySecretName apiSecretKeySecretName jwtSecretName rbac.create securityContexts.pod"
        " securityContexts.containers config images.airflow images.migrationsWaitTimeout redis.enabled flower.enabled"
        " postgresql.enabled pgbouncer.enabled workers.celery.persistence.enabled createUserJob.enabled"
        " ingress.apiServer.enabled"
    ),
    "migrateDatabaseJob": "args serviceAccount.automountServiceAccountToken resources",
    "databaseCleanup": "enabled retentionDays skipArchive serviceAccount.automountServiceAccountToken resources",
    "statsd": "serviceAccount.automountServiceAccountToken securityContexts.pod securityContexts.container resources",
    "scheduler": (
        f"{_COMMON} replicas strategy terminationGracePeriodSeconds safeToEvict podAnnotations"
        " startupProbe.failureThreshold startupProbe.command livenessProbe.command logGroomerSidecar.enabled"
    ),
    "triggerer": f"{_COMMON} replicas persistence.enabled {_PROBE} logGroomerSidecar.enabled",
    "dagProcessor": f"{_SILENT} {_PROBE} logGroomerSidecar.enabled",
    "apiServer": (
        f"{_SILENT} replicas podDisruptionBudget.enabled podDisruptionBudget.config allowPodLogReading"
        " startupProbe.failureThreshold"
    ),
}
KNOWN = {".".join(filter(None, (part, key))) for part, keys in KEYS.items() for key in keys.split()}

kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine")


def paths(value: Any, path: str = "") -> set[str]:
    """Dotted paths of a mapping, down to a known key or a leaf."""
    if path in KNOWN or not isinstance(value, dict):
        return {path}
    return {found for name, inner in value.items() for found in paths(inner, ".".join(filter(None, (path, name))))}


def environment() -> dict[str, Any]:
    variables = yaml.safe_load(VALUES["extraEnv"]) + IMAGES["env"]
    return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in variables}


def commands() -> list[list[str]]:
    """The commands of the migration job, as words."""
    shell, flag, script = VALUES["migrateDatabaseJob"]["args"]
    assert (shell, flag) == ("bash", "-c")
    return [shlex.split(command) for command in script.split("&&")]


@pytest.fixture(scope="module")
def aws() -> list[Manifest]:
    return rendered("overlays/aws")


def test_the_chart_has_every_key() -> None:
    assert paths(VALUES) | paths(IMAGES) == KNOWN


def test_airflow_has_every_configured_option() -> None:
    from airflow.configuration import conf

    described = conf.configuration_description
    for section, options in VALUES["config"].items():
        for option in options:
            assert option in described[section]["options"], f"[{section}] {option}"


def test_the_version_is_that_of_the_images() -> None:
    from airflow import __version__

    assert VALUES["airflowVersion"] == __version__


def test_the_dags_read_the_settings() -> None:
    plain = {name: value for name, value in environment().items() if isinstance(value, str)}
    read = Settings.from_environment(plain)
    assert read.runtime == "kubernetes"
    assert read.storage == "s3://airscript-111122223333"
    assert read.transcripts == f"{read.storage}/transcripts"
    assert (read.cpu_hour_price, read.gpu_hour_price) > (0, 0)
    known = {"AWS_REGION", "MLFLOW_TRACKING_URI", "PGSSLMODE", URL_VARIABLE}
    changed = {name for name in plain if Settings.from_environment({**plain, name: ""}) != read}
    assert set(environment()) <= changed | known | {"AIRSCRIPT_NAMESPACE", *(v["name"] for v in IMAGES["env"])}


@kubectl
def test_secrets_come_from_the_external_secret(aws: list[Manifest]) -> None:
    secret = of_kind(aws, "ExternalSecret")["airflow"]["spec"]
    keys = {item["secretKey"] for item in secret["data"]}
    # The chart's names for them.
    assert keys == {"connection", "fernet-key", "api-secret-key", "jwt-secret", "alert-url"}
    name = secret["target"]["name"]
    for value in ("fernetKeySecretName", "apiSecretKeySecretName", "jwtSecretName"):
        assert VALUES[value] == name
    assert VALUES["data"]["metadataSecretName"] == name
    assert environment()[URL_VARIABLE]["secretKeyRef"] == {"name": name, "key": "alert-url", "optional": True}
    assert not re.search(r"(?i)password|://[^/\s]*:[^/\s]*@", yaml.safe_dump(VALUES))


@kubectl
def test_the_accounts_that_launch_pods_have_the_rights(aws: list[Manifest]) -> None:
    bound = {
        binding["roleRef"]["name"]: binding["subjects"][0]["name"] for binding in of_kind(aws, "RoleBinding").values()
    }
    assert VALUES["scheduler"]["serviceAccount"]["name"] == bound["airscript-pod-launcher"]
    assert VALUES["triggerer"]["serviceAccount"]["name"] == bound["airscript-pod-watcher"]
    for component in COMPONENTS:
        uses_api = component in ("scheduler", "triggerer")
        assert VALUES[component]["serviceAccount"].get("automountServiceAccountToken", True) is uses_api


def test_airflow_has_the_commands() -> None:
    from airflow.cli.cli_parser import get_parser

    probes = [VALUES[component]["livenessProbe"]["command"] for component in ("triggerer", "dagProcessor")]
    for program, *words in commands() + probes:
        assert program == "airflow"
        get_parser().parse_args(words)


def test_no_probe_is_the_charts_default() -> None:
    """The defaults run /entrypoint, which our image does not have. Ours must use the scheduler's health port."""
    from airflow.configuration import conf

    with_commands = {"scheduler": ("startupProbe", "livenessProbe"), "triggerer": ("livenessProbe",)}
    for component, probes in (with_commands | {"dagProcessor": ("livenessProbe",)}).items():
        for probe in probes:
            assert "/entrypoint" not in " ".join(VALUES[component][probe]["command"])
    port = conf.getint("scheduler", "scheduler_health_check_server_port")
    assert f"http://localhost:{port}/health" in VALUES["scheduler"]["livenessProbe"]["command"][-1]
    assert VALUES["config"]["scheduler"]["enable_health_check"] == "True"


@kubectl
def test_the_disruption_budget_selects_the_triggerers_pods(aws: list[Manifest]) -> None:
    budget = in_namespace(aws, "PodDisruptionBudget", "airscript")["airflow-triggerer"]
    assert budget["spec"]["selector"]["matchLabels"] == {"tier": "airflow", "component": "triggerer"}
    assert VALUES["triggerer"]["replicas"] > budget["spec"]["maxUnavailable"]
    assert VALUES["apiServer"]["replicas"] > VALUES["apiServer"]["podDisruptionBudget"]["config"]["maxUnavailable"]


def test_the_chart_renders() -> None:
    chart = os.environ.get("AIRSCRIPT_AIRFLOW_CHART")
    if not chart or not shutil.which("helm"):
        pytest.skip("AIRSCRIPT_AIRFLOW_CHART names no chart, or there is no helm")
    files = [f"--values={K8S / 'helm' / name}" for name in ("airflow.yaml", "images.yaml")]
    done = subprocess.run(
        ["helm", "template", "airflow", chart, "--namespace=airscript", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for document in filter(None, yaml.safe_load_all(done.stdout)):
        kubernetes_validate.validate(document, "1.35", strict=True)
        assert document["kind"] not in ("Secret", "Role", "ClusterRole", "StatefulSet")
