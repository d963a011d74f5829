"""The IAM policies give each service account the rights that its steps need, and no others."""

from __future__ import annotations

import fnmatch
import json
import shutil
from typing import Any

import pytest
import yaml

from dags.common.profiles import PLACEMENTS
from dags.common.receipts import task_receipt_uri
from tests.k8s.manifests import K8S, rendered

ACCOUNT = "arn:aws:iam::111122223333"
BUCKET = "arn:aws:s3:::airscript-111122223333"
POLICIES: dict[str, list[dict[str, Any]]] = {
    path.stem: json.loads(path.read_text())["Statement"] for path in sorted((K8S / "eks" / "policies").glob("*.json"))
}
CLUSTER: dict[str, Any] = yaml.safe_load((K8S / "eks" / "cluster.yaml").read_text())
ROLES = {placement.role for placement in PLACEMENTS.values()}
DECODING = ("prepare-corpus", "prepare-media")
PUT = "s3:PutObject"


def as_list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def may(role: str, action: str, key: str) -> bool:
    """Whether the role's policy allows the action, as IAM evaluates it; there are no denials."""
    resource = f"{BUCKET}/{key}" if key else BUCKET
    return any(
        action in as_list(statement["Action"])
        and any(fnmatch.fnmatchcase(resource, r) for r in as_list(statement["Resource"]))
        for statement in POLICIES[role]
    )


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_policies_have_no_wildcard_actions_or_other_resources(name: str) -> None:
    for statement in POLICIES[name]:
        assert statement["Effect"] == "Allow"
        assert not [action for action in as_list(statement["Action"]) if "*" in action]
        for resource in as_list(statement["Resource"]):
            of_ours = (BUCKET, "arn:aws:secretsmanager:eu-central-1:111122223333:secret:airscript/")
            assert resource.startswith(of_ours)
            assert resource != f"{BUCKET}/*"


@pytest.mark.parametrize("step", sorted(PLACEMENTS))
def test_a_step_can_write_its_own_output_and_receipt_and_not_those_of_other_roles(step: str) -> None:
    role = PLACEMENTS[step].role
    assert may(role, "s3:ListBucket", ""), "without it a missing key is reported as forbidden"
    assert may(role, "s3:GetObject", f"work/{step}/k/result.json")
    assert may(role, "s3:PutObject", f"work/{step}/k/result.json")
    receipt = task_receipt_uri("", step, "a_dag", "a_run", "a_task").removeprefix("/")
    assert may(role, "s3:PutObject", receipt)
    for reader in ("airflow", "airflow-reader"):
        assert may(reader, "s3:GetObject", receipt)
    for other in POLICIES.keys() - {role}:
        assert not may(other, "s3:PutObject", f"work/{step}/k/result.json")
        assert not may(other, "s3:PutObject", receipt), "a forged receipt would be taken for this step's"


@pytest.mark.parametrize("step", DECODING)
def test_steps_that_decode_have_a_role_of_their_own_with_the_least_rights(step: str) -> None:
    role = PLACEMENTS[step].role
    assert [other for other, placement in PLACEMENTS.items() if placement.role == role] == [step]
    for key in ("models/base/model.safetensors", "mlflow/1/a/model.safetensors", "logs/a", "transcripts/a/b.srt"):
        assert not may(role, "s3:GetObject", key)
    assert not {key for key in ("transcripts/a/b.srt", "work/publish/k/a.json", "mlflow/1/a") if may(role, PUT, key)}
    assert not any("s3:DeleteObject" in as_list(statement["Action"]) for statement in POLICIES[role])


def test_only_the_registrys_role_registers_and_promotes() -> None:
    assert {step for step, placement in PLACEMENTS.items() if placement.role == "registry"} == {
        "register-model",
        "register-import",
        "promote-model",
    }


def test_archive_and_inbox_are_read_only() -> None:
    for role in POLICIES:
        for action in ("s3:PutObject", "s3:DeleteObject"):
            assert not may(role, action, "corpus/a.mp4")
            assert not may(role, action, "inbox/a.mp4")
    assert {role for role in POLICIES if may(role, "s3:GetObject", "corpus/a.mp4")} == {"corpus", "corpus-decoding"}
    assert {role for role in POLICIES if may(role, "s3:GetObject", "inbox/a.mp4")} == {
        "transcription",
        "night-decoding",
        "corpus",  # media that people have reviewed
        "corpus-decoding",
    }


def test_transcripts_can_be_written_by_transcription_and_live_and_deleted_by_no_role() -> None:
    assert {role for role in POLICIES if may(role, "s3:PutObject", "transcripts/a/b.srt")} == {"transcription", "live"}
    assert not {role for role in POLICIES if may(role, "s3:DeleteObject", "transcripts/a/b.srt")}


def test_the_desk_can_write_reviews_and_no_transcripts() -> None:
    written = (
        "transcripts/news/0123456789ab/reviews/0001.json",
        "transcripts/_reviews/2026-03-23/index.jsonl",
        "inbox/_vocabulary.txt",
    )
    assert all(may("desk", PUT, key) for key in written)
    for key in ("transcripts/news/0123456789ab/manifest.json", "transcripts/_ledger/a", "runs/a", "logs/a", "work/a"):
        assert not may("desk", PUT, key)
    assert not any("s3:DeleteObject" in as_list(statement["Action"]) for statement in POLICIES["desk"])
    readable = [resource for s in POLICIES["airflow-reader"] if s["Sid"] == "Read" for resource in s["Resource"]]
    desk = [resource for s in POLICIES["desk"] if s["Sid"] == "Read" for resource in s["Resource"]]
    own = ("/inbox/_vocabulary.txt", "/report.html", "/README.md")  # the vocabulary, and the reports of runs
    assert [resource for resource in desk if not resource.endswith(own)] == readable
    assert may("desk", "s3:GetObject", "work/assemble-dataset/0123/report.html")
    assert not may("desk", "s3:GetObject", "work/assemble-dataset/0123/manifest.json")


def test_live_captions_can_read_the_audio_of_feeders() -> None:
    assert may("live", "s3:GetObject", "blocks/channel-one/000000000.pcm")
    assert not may("live", "s3:PutObject", "blocks/channel-one/000000000.pcm")


def test_airflow_can_read_and_delete_receipts_and_write_logs() -> None:
    for action, key in (("s3:GetObject", "runs/a"), ("s3:DeleteObject", "runs/a"), ("s3:PutObject", "logs/a")):
        assert may("airflow", action, key)
    assert {role for role in POLICIES if may(role, "s3:GetObject", "logs/a")} == {"airflow", "airflow-reader", "desk"}
    assert not any("s3:PutObject" in as_list(s["Action"]) for s in POLICIES["airflow-reader"])


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine")
def test_every_account_with_a_role_has_it_in_the_cluster() -> None:
    values = yaml.safe_load((K8S / "helm" / "airflow.yaml").read_text())
    accounts = [
        (document["metadata"]["namespace"], document["metadata"]["name"], document["metadata"].get("annotations", {}))
        for document in rendered("overlays/aws-live")
        if document["kind"] == "ServiceAccount"
    ]
    accounts += [
        ("airscript", part["serviceAccount"]["name"], part["serviceAccount"].get("annotations", {}))
        for part in values.values()
        if isinstance(part, dict) and "name" in part.get("serviceAccount", {})
    ]
    asked = {(namespace, name): found["eks.amazonaws.com/role-arn"] for namespace, name, found in accounts}
    made = {
        (
            entry["metadata"]["namespace"],
            entry["metadata"]["name"],
        ): f"arn:aws:iam::111122223333:role/{entry['roleName']}"
        for entry in CLUSTER["iam"]["serviceAccounts"]
    }
    assert asked == made


def test_every_policy_belongs_to_a_role_and_every_role_to_a_policy() -> None:
    attached = {
        arn.rpartition("/airscript-")[2]
        for entry in CLUSTER["iam"]["serviceAccounts"]
        for arn in entry["attachPolicyARNs"]
        if entry["roleOnly"]
    }
    assert attached == set(POLICIES)
    assert set(POLICIES) >= ROLES


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine")
def test_the_cluster_is_the_one_that_the_manifests_expect() -> None:
    name = CLUSTER["metadata"]["name"]
    discovery = {"karpenter.sh/discovery": name}
    assert CLUSTER["metadata"]["tags"] == discovery
    (node_class,) = [d["spec"] for d in rendered("overlays/aws") if d["kind"] == "EC2NodeClass"]
    assert node_class["securityGroupSelectorTerms"] == [{"tags": discovery}]
    assert all(discovery.items() <= term["tags"].items() for term in node_class["subnetSelectorTerms"])
    assert CLUSTER["iamIdentityMappings"][0]["arn"] == f"{ACCOUNT}:role/{node_class['role']}"
    (nodes,) = CLUSTER["managedNodeGroups"]
    values = yaml.safe_load((K8S / "helm" / "airflow.yaml").read_text())
    assert values["nodeSelector"].items() <= nodes["labels"].items()
    (mlflow,) = [d for d in rendered("overlays/aws") if d["kind"] == "Deployment"]
    assert mlflow["spec"]["template"]["spec"]["nodeSelector"] == values["nodeSelector"]
    for addon in CLUSTER["addons"]:
        assert json.loads(addon.get("configurationValues", "{}")) is not None
    # Network policies are enforced only if the CNI plugin does it.
    assert "enableNetworkPolicy" in {a["name"]: a for a in CLUSTER["addons"]}["vpc-cni"]["configurationValues"]
