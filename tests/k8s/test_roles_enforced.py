"""The policies, evaluated by moto's IAM: with a role's credentials its steps run, and other locations are denied."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import wave
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import settings
from moto.core.authorization import ActionAuthenticatorMixin

from dags.common.profiles import PLACEMENTS
from dags.common.receipts import task_receipt_uri
from tasks.contract import Receipt, Status
from tests.k8s.manifests import CHECKOUT, K8S

BUCKET = "airscript-111122223333"
STEP_ROLES = ("corpus", "corpus-decoding", "night-decoding", "registry", "training", "transcription")
ROLES = ("airflow", "airflow-reader", "desk", *STEP_ROLES)


@pytest.fixture(scope="module")
def roles(moto_endpoint: str) -> Iterator[dict[str, dict[str, str]]]:
    """Environments with each role's credentials; the bucket has an archive and an inbox of one programme each."""
    s3 = boto3.client("s3", endpoint_url=moto_endpoint)
    iam = boto3.client("iam", endpoint_url=moto_endpoint)
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="corpus/news.txt", Body=b"good evening")
    for place in ("corpus", "inbox"):
        s3.put_object(Bucket=BUCKET, Key=f"{place}/news.wav", Body=silence())
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
            "AWS_ENDPOINT_URL": moto_endpoint,
        }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
        patch.setattr(ActionAuthenticatorMixin, "request_count", 0)
        yield environments


def silence() -> bytes:
    """Two seconds of silence, as WAV."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 16000, 0, "NONE", ""))
        sound.writeframes(bytes(2 * 2 * 16000))
    return file.getvalue()


def s3_of(environment: dict[str, str]) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


def receipt_key(step: str) -> str:
    return task_receipt_uri("", step, "a_dag", "a_run", step).removeprefix("/")


def run_step(roles: dict[str, dict[str, str]], step: str, *flags: str) -> Receipt:
    """Run a step with its role's credentials; returns the receipt, read with Airflow's."""
    uris = (f"--output=s3://{BUCKET}/work/{step}", f"--receipt=s3://{BUCKET}/{receipt_key(step)}")
    command = [sys.executable, "-m", "tasks", step, *uris, *flags]
    environment = {**os.environ, **roles[PLACEMENTS[step].role]}
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = [
        s3_of(roles[role]).get_object(Bucket=BUCKET, Key=receipt_key(step))["Body"].read()
        for role in ("airflow", "airflow-reader")
    ]
    assert found[0] == found[1]
    receipt = Receipt.model_validate_json(found[0])
    assert receipt.status is Status.DONE
    return receipt


def test_steps_run_with_their_roles_and_airflow_reads_their_receipts(roles: dict[str, dict[str, str]]) -> None:
    (shard,) = run_step(roles, "scan-corpus", f"--media=s3://{BUCKET}/corpus").items
    assert run_step(roles, "prepare-corpus", f"--shard={shard.uri}").counts["programmes"] == 1
    inbox, transcripts = f"--inbox=s3://{BUCKET}/inbox", f"--transcripts=s3://{BUCKET}/transcripts"
    (batch,) = run_step(roles, "plan-night", inbox, transcripts, f"--model=s3://{BUCKET}/models/base").items
    assert run_step(roles, "prepare-media", f"--batch={batch.uri}").counts["programmes"] == 1
    s3_of(roles["airflow"]).delete_object(Bucket=BUCKET, Key=receipt_key("scan-corpus"))


@pytest.mark.parametrize("role", STEP_ROLES)
def test_a_role_cannot_forge_the_receipts_of_another(roles: dict[str, dict[str, str]], role: str) -> None:
    for step, placement in PLACEMENTS.items():
        for attempt in (receipt_key(step), f"work/{step}/key/result.json"):
            if placement.role == role:
                s3_of(roles[role]).put_object(Bucket=BUCKET, Key=attempt, Body=b"{}")
            else:
                with pytest.raises(ClientError, match="AccessDenied"):
                    s3_of(roles[role]).put_object(Bucket=BUCKET, Key=attempt, Body=b"{}")


@pytest.mark.parametrize(
    ("role", "action", "key"),
    [
        ("corpus", "put_object", "corpus/news.txt"),
        ("corpus", "put_object", "transcripts/news/key/manifest.json"),
        ("transcription", "put_object", "work/train/key/model.safetensors"),
        ("transcription", "delete_object", "transcripts/news/key/manifest.json"),
        ("night-decoding", "put_object", "transcripts/news/key/manifest.json"),
        ("night-decoding", "get_object", "models/base/config.json"),
        ("night-decoding", "get_object", "corpus/news.wav"),
        ("corpus-decoding", "get_object", "transcripts/news/key/manifest.json"),
        ("training", "put_object", "work/assemble-dataset/key/manifest.json"),
        ("training", "delete_object", "work/assemble-dataset/key/manifest.json"),
        ("airflow", "put_object", "work/train/key/result.json"),
        ("desk", "put_object", "transcripts/news/key/manifest.json"),
        ("airflow-reader", "delete_object", "runs/transcription/a_dag/a_run/plan-night.json"),
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
        s3_of(roles[role]).get_object(
            Bucket=BUCKET, Key=f"runs/{role}/nothing.json" if role in STEP_ROLES else "runs/nothing.json"
        )
    assert caught.value.response["Error"]["Code"] == "NoSuchKey"
