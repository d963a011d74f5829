"""The policies, evaluated by moto's IAM: with a role's credentials its steps run, and other locations are denied."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import settings
from moto.core.authorization import ActionAuthenticatorMixin

from tasks.contract import Receipt, Status
from tests.k8s.manifests import CHECKOUT, K8S

BUCKET = "airscript-111122223333"
ROLES = ("airflow", "airflow-reader", "corpus", "training", "transcription")


@pytest.fixture(scope="module")
def roles(s3_endpoint: str) -> Iterator[dict[str, dict[str, str]]]:
    """Environments with each role's credentials; the bucket has an archive of one programme and an empty inbox."""
    s3 = boto3.client("s3", endpoint_url=s3_endpoint)
    iam = boto3.client("iam", endpoint_url=s3_endpoint)
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="corpus/news.txt", Body=b"good evening")
    s3.put_object(Bucket=BUCKET, Key="corpus/news.wav", Body=b"RIFF")
    s3.put_object(Bucket=BUCKET, Key="transcripts/news/key/manifest.json", Body=b"{}")
    for weights in (CHECKOUT / "local" / "demo" / "base_model" / "weights").iterdir():
        if weights.is_file():
            s3.put_object(Bucket=BUCKET, Key=f"models/base/{weights.name}", Body=weights.read_bytes())
    environments = {}
    for role in ROLES:
        policy = (K8S / "eks" / "policies" / f"{role}.json").read_text()
        iam.create_user(UserName=role)
        iam.put_user_policy(UserName=role, PolicyName=role, PolicyDocument=policy)
        key = iam.create_access_key(UserName=role)["AccessKey"]
        environments[role] = {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
            "AWS_ENDPOINT_URL": s3_endpoint,
        }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
        patch.setattr(ActionAuthenticatorMixin, "request_count", 0)
        yield environments


def s3_of(environment: dict[str, str]) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


def run_step(environment: dict[str, str], step: str, *flags: str) -> None:
    uris = (f"--output=s3://{BUCKET}/work/{step}", f"--receipt=s3://{BUCKET}/runs/a_dag/a_run/{step}.json")
    command = [sys.executable, "-m", "tasks", step, *uris, *flags]
    done = subprocess.run(
        command, cwd=CHECKOUT, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_steps_run_with_their_roles_and_airflow_reads_their_receipts(roles: dict[str, dict[str, str]]) -> None:
    run_step(roles["corpus"], "scan-corpus", f"--media=s3://{BUCKET}/corpus")
    inbox, transcripts = f"--inbox=s3://{BUCKET}/inbox", f"--transcripts=s3://{BUCKET}/transcripts"
    run_step(roles["transcription"], "plan-night", inbox, transcripts, f"--model=s3://{BUCKET}/models/base")
    for role in ("airflow", "airflow-reader"):
        for step in ("scan-corpus", "plan-night"):
            found = s3_of(roles[role]).get_object(Bucket=BUCKET, Key=f"runs/a_dag/a_run/{step}.json")["Body"].read()
            assert Receipt.model_validate_json(found).status is Status.DONE
    s3_of(roles["airflow"]).delete_object(Bucket=BUCKET, Key="runs/a_dag/a_run/scan-corpus.json")


@pytest.mark.parametrize(
    ("role", "action", "key"),
    [
        ("corpus", "put_object", "corpus/news.txt"),
        ("corpus", "get_object", "transcripts/news/key/manifest.json"),
        ("transcription", "put_object", "work/train/key/model.safetensors"),
        ("transcription", "delete_object", "transcripts/news/key/manifest.json"),
        ("training", "put_object", "work/assemble-dataset/key/manifest.json"),
        ("training", "delete_object", "work/assemble-dataset/key/manifest.json"),
        ("airflow", "put_object", "work/train/key/result.json"),
        ("airflow-reader", "delete_object", "runs/a_dag/a_run/plan-night.json"),
    ],
)
def test_other_locations_are_denied(roles: dict[str, dict[str, str]], role: str, action: str, key: str) -> None:
    body = {"Body": b"other"} if action == "put_object" else {}
    with pytest.raises(ClientError, match="AccessDenied"):
        getattr(s3_of(roles[role]), action)(Bucket=BUCKET, Key=key, **body)


@pytest.mark.parametrize("role", ROLES)
def test_a_missing_key_is_reported_as_missing_not_as_denied(roles: dict[str, dict[str, str]], role: str) -> None:
    """The steps' storage and Airflow's receipts depend on the difference."""
    with pytest.raises(ClientError) as caught:
        s3_of(roles[role]).get_object(Bucket=BUCKET, Key="runs/nothing.json")
    assert caught.value.response["Error"]["Code"] == "NoSuchKey"
