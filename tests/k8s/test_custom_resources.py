"""Custom resources have only fields that their operators define.

`SHAPES` are the fields that our objects may use, from the schemas of Karpenter 1 (NodePool, EC2NodeClass), KEDA 2
(ScaledObject) and Strimzi 1 (KafkaTopic, KafkaNodePool). Kafka's are those of Strimzi's example. For
ClusterSecretStore and ExternalSecret no schema was available, so these only fix our own spelling. With a cluster's
definitions the same objects are validated against those:

    kubectl get customresourcedefinitions --output yaml > crds.yaml
    AIRSCRIPT_CRDS=crds.yaml pytest tests/k8s/test_custom_resources.py
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.k8s.manifests import CUSTOM, OVERLAYS, Manifest, rendered

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine")

ANY: dict[str, Any] = {}
"""A value, or a map with arbitrary keys."""
SHAPES: dict[tuple[str, str], dict[str, Any]] = {
    ("karpenter.sh/v1", "NodePool"): {
        "weight": ANY,
        "limits": ANY,
        "disruption": {
            "consolidationPolicy": ANY,
            "consolidateAfter": ANY,
            "budgets": {"nodes": ANY, "reasons": ANY, "schedule": ANY, "duration": ANY},
        },
        "template": {
            "metadata": {"labels": ANY, "annotations": ANY},
            "spec": {
                "nodeClassRef": {"group": ANY, "kind": ANY, "name": ANY},
                "requirements": {"key": ANY, "operator": ANY, "values": ANY, "minValues": ANY},
                "taints": {"key": ANY, "value": ANY, "effect": ANY},
                "expireAfter": ANY,
                "terminationGracePeriod": ANY,
            },
        },
    },
    ("karpenter.k8s.aws/v1", "EC2NodeClass"): {
        "role": ANY,
        "amiSelectorTerms": {"alias": ANY, "id": ANY},
        "subnetSelectorTerms": {"tags": ANY, "id": ANY},
        "securityGroupSelectorTerms": {"tags": ANY, "id": ANY, "name": ANY},
        "instanceStorePolicy": ANY,
        "blockDeviceMappings": {
            "deviceName": ANY,
            "ebs": {"volumeSize": ANY, "volumeType": ANY, "encrypted": ANY, "deleteOnTermination": ANY},
        },
        "metadataOptions": {"httpTokens": ANY, "httpPutResponseHopLimit": ANY},
        "tags": ANY,
    },
    ("external-secrets.io/v1", "ClusterSecretStore"): {
        "conditions": {"namespaces": ANY},
        "provider": {
            "aws": {
                "service": ANY,
                "region": ANY,
                "auth": {"jwt": {"serviceAccountRef": {"name": ANY, "namespace": ANY}}},
            }
        },
    },
    ("external-secrets.io/v1", "ExternalSecret"): {
        "refreshInterval": ANY,
        "secretStoreRef": {"kind": ANY, "name": ANY},
        "target": {"name": ANY},
        "data": {"secretKey": ANY, "remoteRef": {"key": ANY, "property": ANY}},
    },
    ("keda.sh/v1alpha1", "ScaledObject"): {
        "scaleTargetRef": {"name": ANY},
        "pollingInterval": ANY,
        "minReplicaCount": ANY,
        "maxReplicaCount": ANY,
        "advanced": {
            "horizontalPodAutoscalerConfig": {
                "behavior": {
                    "scaleDown": {
                        "stabilizationWindowSeconds": ANY,
                        "policies": {"type": ANY, "value": ANY, "periodSeconds": ANY},
                    }
                }
            }
        },
        "triggers": {"type": ANY, "metadata": ANY},
    },
    ("kafka.strimzi.io/v1", "KafkaTopic"): {"partitions": ANY, "replicas": ANY, "config": ANY},
    ("kafka.strimzi.io/v1", "KafkaNodePool"): {
        "replicas": ANY,
        "roles": ANY,
        "storage": {
            "type": ANY,
            "volumes": {"id": ANY, "type": ANY, "size": ANY, "kraftMetadata": ANY, "deleteClaim": ANY},
        },
        "resources": {"requests": ANY, "limits": ANY},
        "template": {"pod": {"affinity": ANY, "tolerations": ANY, "topologySpreadConstraints": ANY}},
    },
    ("kafka.strimzi.io/v1", "Kafka"): {
        "kafka": {
            "rack": {"topologyKey": ANY},
            "listeners": {"name": ANY, "port": ANY, "type": ANY, "tls": ANY, "networkPolicyPeers": ANY},
            "config": ANY,
        },
        "entityOperator": {"topicOperator": ANY},
    },
}


def unknown_fields(value: Any, shape: dict[str, Any], path: str = "spec") -> list[str]:
    if isinstance(value, list):
        return [name for item in value for name in unknown_fields(item, shape, path)]
    if not isinstance(value, dict) or shape is ANY:
        return []
    unknown = [f"{path}.{name}" for name in value if name not in shape]
    known = [name for name in value if name in shape]
    return unknown + [found for name in known for found in unknown_fields(value[name], shape[name], f"{path}.{name}")]


def custom(overlay: str) -> list[Manifest]:
    return [document for document in rendered(overlay) if document["kind"] in CUSTOM]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_all_fields_are_known(overlay: str) -> None:
    for document in custom(overlay):
        shape = SHAPES[document["apiVersion"], document["kind"]]
        assert unknown_fields(document["spec"], shape) == [], document["metadata"]["name"]


def test_a_misspelt_field_is_found() -> None:
    shape = SHAPES["karpenter.sh/v1", "NodePool"]
    assert unknown_fields({"template": {"spec": {"requirement": []}}}, shape) == ["spec.template.spec.requirement"]
    wrong = {"template": {"spec": {"taints": [{"key": "a"}, {"keys": "a"}]}}}
    assert unknown_fields(wrong, shape) == ["spec.template.spec.taints.keys"]


def test_every_shape_is_used() -> None:
    used = {(document["apiVersion"], document["kind"]) for overlay in OVERLAYS for document in custom(overlay)}
    assert used == set(SHAPES)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_objects_are_valid_by_a_clusters_definitions(overlay: str) -> None:
    if not (path := os.environ.get("AIRSCRIPT_CRDS")):
        pytest.skip("AIRSCRIPT_CRDS names no file of definitions")
    definitions = {
        (f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"]): version["schema"][
            "openAPIV3Schema"
        ]
        for crd in yaml.safe_load(Path(path).read_text())["items"]
        for version in crd["spec"]["versions"]
    }
    for document in custom(overlay):
        jsonschema.validate(document, definitions[document["apiVersion"], document["kind"]])
