"""The instructions of docs/operating.md for systems that read the transcripts from S3, against a real S3 protocol."""

from __future__ import annotations

import json
import os
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

import pytest

from tasks import storage
from tasks.audio import SAMPLE_RATE_HZ
from tests.faults.night import Night
from tests.s3_servers import SEAWEEDFS, S3Server
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


def test_from_the_index_to_a_file_without_credentials(night: Night, s3_server: S3Server) -> None:
    bucket, client = s3_server.bucket, s3_server.client
    prefix = night.root.removeprefix(f"s3://{bucket}/")
    listed = client.list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/transcripts/_nights/")["Contents"]
    (index,) = [item["Key"] for item in listed if item["Key"].endswith("/index.jsonl")]
    lines = client.get_object(Bucket=bucket, Key=index)["Body"].read().splitlines()
    (row,) = [json.loads(line) for line in lines]
    folder = row["transcript"].removeprefix(f"s3://{bucket}/")
    manifest = json.loads(client.get_object(Bucket=bucket, Key=f"{folder}/manifest.json")["Body"].read())
    (subtitles,) = [file for file in manifest["files"] if file["name"].endswith(".srt")]
    key = f"{folder}/{subtitles['name']}"

    url = client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=3600)
    assert url.startswith(os.environ["AWS_ENDPOINT_URL"])
    with urllib.request.urlopen(url) as answer:
        assert len(answer.read()) == subtitles["bytes"]
    with pytest.raises(HTTPError, match="403"):
        urllib.request.urlopen(url.partition("?")[0])


def test_a_public_prefix(s3: str, s3_server: S3Server) -> None:
    """S3 accepts the policy of docs/operating.md, and lets everybody read that prefix and no other."""
    if s3_server.kind != SEAWEEDFS:
        pytest.skip("changes the policy of a whole bucket")
    for name in ("transcripts/news.txt", "inbox/news.wav"):
        storage.write(f"{s3}/{name}", b"good evening")
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{s3.removeprefix('s3://')}/transcripts/*",
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    s3_server.client.put_bucket_policy(Bucket=s3_server.bucket, Policy=json.dumps(policy))
    try:
        address = f"{s3_server.endpoint}/{s3.removeprefix('s3://')}"
        with urllib.request.urlopen(f"{address}/transcripts/news.txt") as answer:
            assert answer.read() == b"good evening"
        with pytest.raises(HTTPError, match="403"):
            urllib.request.urlopen(f"{address}/inbox/news.wav")
    finally:
        s3_server.client.delete_bucket_policy(Bucket=s3_server.bucket)
