"""Faults that a cluster inflicts on pods: each run ends as the retry policy says, and no work is repeated."""

from __future__ import annotations

import os
import signal
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from local import processes
from tests.cluster.installation import BASE_MODEL, BUCKET, JOBS, KEY, Platform, Watcher, kubectl

PROGRAMMES = ("headlines-noon", "weather-late", "weather", "talk-extra", "sport-today")


@pytest.fixture
def night(platform: Platform, channel: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    """The conf of a run on an inbox with one programme for this test."""
    name = request.node.name
    stem = PROGRAMMES[zlib.crc32(name.encode()) % len(PROGRAMMES)]
    source = next(path for path in sorted((channel / "inbox").iterdir()) if path.stem.endswith(stem))
    platform.s3.upload_file(str(source), BUCKET, f"faults/{name}/inbox/{name}{source.suffix}")
    return {
        "inbox": f"s3://{BUCKET}/faults/{name}/inbox",
        "transcripts": f"s3://{BUCKET}/faults/{name}/transcripts",
        "model": BASE_MODEL,
        "batches": 1,
    }


def published(platform: Platform, night: dict[str, Any]) -> list[str]:
    prefix = night["transcripts"].removeprefix(f"s3://{BUCKET}/")
    return [key for key in platform.keys(prefix) if key.endswith("/manifest.json")]


def running(pods: list[dict[str, Any]], step: str) -> str | None:
    """The name of a running pod of `step`."""
    for pod in pods:
        labels, status = pod["metadata"]["labels"], pod["status"]
        started = any("running" in c.get("state", {}) for c in status.get("containerStatuses", ()))
        if labels.get("app.kubernetes.io/component") == step and started and "deletionTimestamp" not in pod["metadata"]:
            return str(pod["metadata"]["name"])
    return None


class Once:
    """Calls `act` at the first poll at which the step runs, and `undo` eight polls later."""

    def __init__(self, step: str, act: Callable[[str], None], undo: Callable[[], None] = lambda: None) -> None:
        self.step, self.act, self.undo = step, act, undo
        self.polls_since = -1

    def __call__(self, pods: list[dict[str, Any]]) -> None:
        if self.polls_since < 0:
            if name := running(pods, self.step):
                self.act(name)
                self.polls_since = 0
            return
        self.polls_since += 1
        if self.polls_since == 8:
            self.undo()


def test_a_deleted_pod(platform: Platform, night: dict[str, Any], watcher: Watcher) -> None:
    delete = Once("recognise", lambda name: kubectl("delete", "pod", name, "-n", JOBS, "--wait=false") and None)
    run = platform.follow(platform.api.trigger("nightly_transcription", night), watcher, act=delete)
    assert run.state == "success", platform.describe(run)
    assert len(published(platform, night)) == 1
    assert watcher.steps().count("recognise") == 2
    assert platform.tries(run)["batch.recognise[0]"] == ("success", 2)


def test_a_drained_node(platform: Platform, night: dict[str, Any], watcher: Watcher) -> None:
    node = kubectl("get", "nodes", "-o", "name").split()[0].removeprefix("node/")

    def drain(_name: str) -> None:
        kubectl("drain", node, "--force", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s")

    act = Once("recognise", drain, undo=lambda: kubectl("uncordon", node) and None)
    run = platform.follow(platform.api.trigger("nightly_transcription", night), watcher, act=act)
    assert run.state == "success", platform.describe(run)
    assert len(published(platform, night)) == 1
    assert platform.tries(run)["batch.recognise[0]"] == ("success", 2)


def test_out_of_memory_is_retried_with_the_larger_profile(
    platform: Platform, night: dict[str, Any], watcher: Watcher, change_profile: Callable[..., None]
) -> None:
    change_profile("cpu-small", memory="24Mi")
    run = platform.follow(platform.api.trigger("nightly_transcription", night), watcher)
    assert run.state == "success", platform.describe(run)
    assert len(published(platform, night)) == 1
    profiles = [pod.profile for pod in watcher.pods.values() if pod.step == "plan-night"]
    assert sorted(profiles) == ["cpu-large", "cpu-small"]


def test_an_image_that_cannot_be_pulled(
    platform: Platform, night: dict[str, Any], watcher: Watcher, change_profile: Callable[..., None]
) -> None:
    change_profile("cpu-small", image="registry.invalid/airscript/worker-cpu:9.9.9", start_timeout_s=15)
    run = platform.follow(platform.api.trigger("nightly_transcription", night), watcher)
    assert run.state == "failed"
    assert platform.tries(run)["plan_night"] == ("failed", 3)
    log = platform.describe(run)
    assert "StepStartTimeout" in log
    assert "registry.invalid" in log, "the reason names the image"
    assert not published(platform, night)


def test_a_rejected_input_is_not_retried(platform: Platform, night: dict[str, Any], watcher: Watcher) -> None:
    run = platform.api.trigger("nightly_transcription", {**night, "model": "models:/acoustic-model@champion"})
    run = platform.follow(run, watcher)
    assert run.state == "failed"
    assert platform.tries(run)["plan_night"] == ("failed", 1)
    assert watcher.steps().count("plan-night") == 1
    assert "StepInputRejected" in platform.describe(run)


def test_the_scheduler_killed_while_pods_run(platform: Platform, night: dict[str, Any], watcher: Watcher) -> None:
    def kill(_name: str) -> None:
        records = processes.records(platform.installation.home / "run")
        for service in ("scheduler", "triggerer"):
            for process in processes.members(records[service]):
                os.kill(process.pid, signal.SIGKILL)

    run = platform.follow(platform.api.trigger("nightly_transcription", night), watcher, act=Once("recognise", kill))
    assert run.state == "success", platform.describe(run)
    assert len(published(platform, night)) == 1
    assert watcher.steps().count("recognise") == 1, "the retry reattached to the running pod"


def test_no_secret_is_logged(platform: Platform) -> None:
    """Neither the logs of the earlier runs nor Airflow's database contain a credential."""
    tokens = [
        path.read_text().split("token: ")[1].split()[0] for path in platform.installation.home.glob("*.kubeconfig")
    ]
    secrets = [secret.encode() for secret in (KEY["AWS_SECRET_ACCESS_KEY"], *tokens)]
    places = [*platform.installation.logs.rglob("*.log"), *platform.installation.airflow_home.glob("airflow.db*")]
    assert any(path.suffix == ".log" for path in places)
    telling = [str(path) for path in places for secret in secrets if secret in path.read_bytes()]
    assert not telling
