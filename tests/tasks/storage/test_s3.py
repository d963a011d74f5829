"""S3: keys that obstore cannot name, folder markers, and long names."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest

from tasks import storage
from tasks.contract import InputRejected, Reason


@pytest.mark.parametrize("name", ["я" * 120 + ".wav", "長" * 80, "e\u0301" * 90 + ".flac"])
def test_a_local_copy_has_a_valid_file_name(s3: str, tmp_path: Path, name: str) -> None:
    storage.write(f"{s3}/{name}", b"audio")
    assert storage.local_copy(f"{s3}/{name}", tmp_path).read_bytes() == b"audio"


UNSUPPORTED_KEYS = ["a//b.wav", "c/../c.wav", "d/./e.wav", "f\x01g.wav"]


def test_an_unsupported_key_does_not_hide_others(s3: str, s3_endpoint: str) -> None:
    """object_store rejects them: they are listed anyway, and reading one tells what is wrong with its key."""
    names = sorted(["a/a.wav", *UNSUPPORTED_KEYS, *(f"{n:04d}.wav" for n in range(1200)), "zoë.wav"])
    client = boto3.client("s3", endpoint_url=s3_endpoint)
    for name in names:
        client.put_object(Bucket=s3.removeprefix("s3://"), Key=f"in/{name}", Body=name.encode())
    listed = {item.uri.removeprefix(f"{s3}/in/"): item for item in storage.list_objects(f"{s3}/in")}
    assert list(listed) == names
    for name in [*names[:1200:100], "a/a.wav", "zoë.wav"]:
        assert storage.info(listed[name].uri) == listed[name]
    for name in UNSUPPORTED_KEYS:
        assert not storage.exists(listed[name].uri)
        with pytest.raises(InputRejected, match="rename the object") as caught:
            storage.read_bytes(listed[name].uri)
        assert caught.value.reason is Reason.UNREADABLE


def test_folder_markers_are_not_listed(s3: str, s3_endpoint: str) -> None:
    client = boto3.client("s3", endpoint_url=s3_endpoint)
    keys = ["day/", "day/2026-03-24/", "day/2026-03-24/news.mp4", "day/empty.wav", "day/notes"]
    for key in keys:
        client.put_object(Bucket=s3.removeprefix("s3://"), Key=key, Body=b"x" if key == "day/notes" else b"")

    def listed() -> list[str]:
        return [item.uri.removeprefix(f"{s3}/day/") for item in storage.list_objects(f"{s3}/day")]

    assert listed() == ["2026-03-24/news.mp4", "empty.wav", "notes"]
    client.put_object(Bucket=s3.removeprefix("s3://"), Key="day//odd", Body=b"x")  # this one makes boto3 list
    assert listed() == ["/odd", "2026-03-24/news.mp4", "empty.wav", "notes"]
