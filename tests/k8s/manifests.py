"""The manifests of `k8s/` as rendered by kustomize, for tests."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import yaml

CHECKOUT = Path(__file__).parents[2]
K8S = CHECKOUT / "k8s"
OVERLAYS = ("base", "overlays/local", "overlays/aws", "overlays/aws-live")
# Custom resources, whose schemas are not Kubernetes' own.
CUSTOM = {
    "EC2NodeClass",
    "NodePool",
    "ClusterSecretStore",
    "ExternalSecret",
    "Kafka",
    "KafkaNodePool",
    "KafkaTopic",
} | {"ScaledObject"}

Manifest = dict[str, Any]


@cache
def rendered(overlay: str) -> list[Manifest]:
    """All objects of an overlay. Do not modify: all tests share them."""
    done = subprocess.run(["kubectl", "kustomize", str(K8S / overlay)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr  # deprecations
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def of_kind(documents: list[Manifest], kind: str) -> dict[str, Manifest]:
    """Objects of a kind by name, or by `namespace/name` if several namespaces use the name."""
    found = [document for document in documents if document["kind"] == kind]
    names = [document["metadata"]["name"] for document in found]
    twice = {name for name in names if names.count(name) > 1}
    return {f"{d['metadata']['namespace']}/{n}" if n in twice else n: d for n, d in zip(names, found, strict=True)}


def in_namespace(documents: list[Manifest], kind: str, namespace: str) -> dict[str, Manifest]:
    return {
        d["metadata"]["name"]: d for d in documents if d["kind"] == kind and d["metadata"].get("namespace") == namespace
    }
