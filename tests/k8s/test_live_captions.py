"""The stream workers' manifests agree with their code."""

from __future__ import annotations

import json
import re
import shutil
from typing import Any

import pytest

from tasks.contract import from_argv
from tasks.contract.events import (
    CaptionFinal,
    CaptionPartial,
    MediaArrived,
    ModelPromoted,
    TranscriptFailed,
    TranscriptPublished,
    TranscriptReviewed,
)
from tasks.kafka import DEAD_LETTER_SUFFIX
from tasks.streaming.command import ARGUMENTS, StreamFeed
from tasks.streaming.runtime import messages
from tasks.streaming.runtime.session import Component
from tasks.streaming.runtime.worker import COMMIT_EVERY_S, SNAPSHOT_EVERY_S
from tests.k8s.manifests import CHECKOUT, K8S, Manifest, in_namespace, of_kind, rendered

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine")

WORKERS = sorted(set(ARGUMENTS) - {"feed"})


@pytest.fixture(scope="module")
def components() -> dict[str, Component]:
    """As the workers' modules declare them; to be had from them only with a model, whose libraries load for seconds."""
    found = {}
    for name in WORKERS:
        source = (CHECKOUT / "tasks" / "streaming" / "components" / f"{name}.py").read_text()
        ((declared, reads),) = re.findall(r'\bComponent\(\s*"(\w+)",\s*(\w+),', source)
        found[declared] = Component(declared, getattr(messages, reads), lambda session, saved: pytest.fail(session), 1)
    assert sorted(found) == WORKERS
    return found


@pytest.fixture(scope="module")
def live() -> list[Manifest]:
    return rendered("overlays/aws-live")


def worker(live: list[Manifest], name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    spec = in_namespace(live, "Deployment", "airscript-live")[name]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    return spec, container


def environment(live: list[Manifest]) -> dict[str, str]:
    (data,) = [
        document["data"]
        for name, document in in_namespace(live, "ConfigMap", "airscript-live").items()
        if name.startswith("live-")
    ]
    return data


def test_each_component_except_the_feeder_is_deployed_and_scaled(live: list[Manifest]) -> None:
    assert sorted(in_namespace(live, "Deployment", "airscript-live")) == WORKERS
    scaled = of_kind(live, "ScaledObject")
    assert sorted(scale["spec"]["scaleTargetRef"]["name"] for scale in scaled.values()) == WORKERS


@pytest.mark.parametrize("name", WORKERS)
def test_the_worker_accepts_its_arguments(live: list[Manifest], name: str) -> None:
    _, container = worker(live, name)
    assert container["command"] == ["python", "-m", "tasks", "stream"]
    first, *flags = container["args"]
    for variable, value in environment(live).items():
        flags = [flag.replace(f"$({variable})", value) for flag in flags]
    assert first == name
    arguments: Any = from_argv(ARGUMENTS[name], flags, prog=name)
    assert arguments.metrics_port == container["ports"][0]["containerPort"]
    assert "$(" not in "".join(flags)
    assert "replace-me" not in json.dumps(environment(live))


@pytest.mark.parametrize("name", WORKERS)
def test_it_is_scaled_by_the_lag_of_its_own_topic_and_group(
    live: list[Manifest], components: dict[str, Component], name: str
) -> None:
    spec = of_kind(live, "ScaledObject")[name]["spec"]
    (trigger,) = spec["triggers"]
    assert trigger["metadata"]["topic"] == components[name].consumes.TOPIC
    assert trigger["metadata"]["consumerGroup"] == f"airscript-{name}"  # tasks/streaming/runtime/worker.py
    assert trigger["metadata"]["bootstrapServers"] == environment(live)["AIRSCRIPT_KAFKA"]
    topic = of_kind(live, "KafkaTopic")[components[name].consumes.TOPIC]
    healthy_lag = round((SNAPSHOT_EVERY_S + COMMIT_EVERY_S) * 1000 / StreamFeed.model_fields["block_ms"].default)
    assert int(trigger["metadata"]["lagThreshold"]) > 2 * healthy_lag, "two healthy channels need no other worker"
    assert spec["maxReplicaCount"] == topic["spec"]["partitions"] + 1


@pytest.mark.parametrize("name", WORKERS)
def test_it_is_probed_and_restricted(live: list[Manifest], name: str) -> None:
    spec, container = worker(live, name)
    assert {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")} == {
        "/live",
        "/ready",
    }
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]


def test_every_topic_of_the_workers_exists(live: list[Manifest], components: dict[str, Component]) -> None:
    topics = {name: topic["spec"] for name, topic in of_kind(live, "KafkaTopic").items()}
    events = (
        *(CaptionPartial, CaptionFinal, MediaArrived, ModelPromoted),
        *(TranscriptFailed, TranscriptPublished, TranscriptReviewed),
    )
    streamed = {each.consumes.TOPIC for each in components.values()}
    states = {each.state_topic for each in components.values()}
    dead = {topic + DEAD_LETTER_SUFFIX for topic in (*streamed, MediaArrived.TOPIC)}
    assert set(topics) == {event.TOPIC for event in events} | streamed | states | dead
    # docs/live-captions.md: the same number for all, so that a state is in the partition of its messages.
    assert len({topics[name]["partitions"] for name in streamed | states}) == 1
    assert all(topics[name]["config"]["cleanup.policy"] == "compact,delete" for name in states)


def test_the_brokers_allow_the_workers_session_timeout(live: list[Manifest]) -> None:
    kafka = of_kind(live, "Kafka")["airscript"]["spec"]["kafka"]
    timeout_ms = json.loads((K8S / "live-captions" / "kafka.json").read_text())["session.timeout.ms"]
    assert kafka["config"]["group.min.session.timeout.ms"] <= timeout_ms
    assert kafka["config"]["auto.create.topics.enable"] is False


def test_network_policies_admit_exactly_the_clients_of_kafka(live: list[Manifest]) -> None:
    (listener,) = of_kind(live, "Kafka")["airscript"]["spec"]["kafka"]["listeners"]
    (peer,) = listener["networkPolicyPeers"]
    admitted = set(peer["namespaceSelector"]["matchExpressions"][0]["values"])
    leaving = {
        policy["metadata"]["namespace"]
        for policy in of_kind(live, "NetworkPolicy").values()
        for rule in policy["spec"].get("egress", ())
        if {"protocol": "TCP", "port": listener["port"]} in rule.get("ports", ())
    }
    assert leaving == {"airscript", "airscript-jobs", "airscript-live"}
    assert admitted == leaving | {"keda"}
