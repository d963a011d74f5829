"""The instructions of docs/operating.md for systems that read the transcripts from S3, against a real S3 protocol."""

from __future__ import annotations

import json
import os
import urllib.request
from pathlib import Path

import boto3
import pytest

from tasks import storage
from tasks.audio import SAMPLE_RATE_HZ
from tests.faults.night import Night
from tests.tasks.night.media import wav


@pytest.fixture
def night(s3: str, tmp_path: Path) -> Night:
    """A night of one programme of noise, on S3."""
    import numpy as np
    import torch

    from local.demo.base_model.model import export, make_model

    torch.set_num_threads(1)
    torch.manual_seed(1)
    export(make_model(hidden_size=32, n_layers=1), tmp_path)
    night = Night(s3, str(tmp_path), forks=False)
    storage.write(night.at("inbox", "news.wav"), wav(np.random.default_rng(3).normal(0, 0.05, 3 * SAMPLE_RATE_HZ)))
    night.run()
    return night


def test_from_the_index_to_a_file_without_credentials(night: Night, s3_endpoint: str) -> None:
    bucket = night.root.removeprefix("s3://")
    client = boto3.client("s3", endpoint_url=s3_endpoint)
    keys = [item["Key"] for item in client.list_objects_v2(Bucket=bucket, Prefix="transcripts/_nights/")["Contents"]]
    (index,) = [key for key in keys if key.endswith("/index.jsonl")]
    lines = client.get_object(Bucket=bucket, Key=index)["Body"].read().splitlines()
    (row,) = [json.loads(line) for line in lines]
    folder = row["transcript"].removeprefix(f"{night.root}/")
    manifest = json.loads(client.get_object(Bucket=bucket, Key=f"{folder}/manifest.json")["Body"].read())
    (subtitles,) = [file for file in manifest["files"] if file["name"].endswith(".srt")]

    url = client.generate_presigned_url(
        "get_object", Params={"Bucket": bucket, "Key": f"{folder}/{subtitles['name']}"}, ExpiresIn=3600
    )
    assert url.startswith(os.environ["AWS_ENDPOINT_URL"])
    assert "X-Amz-Signature" in url or "Signature=" in url
    with urllib.request.urlopen(url) as answer:
        assert len(answer.read()) == subtitles["bytes"]


def test_a_public_prefix(night: Night, s3_endpoint: str) -> None:
    """S3 accepts the policy of docs/operating.md."""
    bucket = night.root.removeprefix("s3://")
    client = boto3.client("s3", endpoint_url=s3_endpoint)
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/transcripts/*",
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    client.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    assert json.loads(client.get_bucket_policy(Bucket=bucket)["Policy"]) == policy
