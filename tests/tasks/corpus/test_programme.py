"""prepare-corpus, a programme at a time: whose fault is what, and what is left of damaged and overlapping material."""

from __future__ import annotations

import errno
from functools import partial

import pytest

from tasks import storage
from tasks.contract import ItemOutcome, Receipt, StepError
from tasks.media.limits import MediaLimits
from tasks.step import load_result, output_uri


def outcomes(receipt: Receipt) -> list[ItemOutcome]:
    lines = storage.read_bytes(output_uri(receipt.result, load_result(receipt.result), "outcomes.jsonl")).splitlines()
    return [ItemOutcome.model_validate_json(line) for line in lines]


def test_a_long_name_in_another_script_is_prepared(bucket) -> None:
    bucket.add("новости/" + "長" * 90)
    (prepared,) = bucket.prepare(bucket.scan(shards=1))
    assert prepared.counts["programmes_used"] == 1


def test_a_file_without_rights_costs_itself_alone(folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.add("good")
    folder.add("secret", seed=1)
    whole = storage.open_reader

    def guarded(uri: str):
        if uri.endswith("secret.srt"):
            raise PermissionError(errno.EACCES, "Permission denied", uri)
        return whole(uri)

    monkeypatch.setattr(storage, "open_reader", guarded)
    (prepared,) = folder.prepare(folder.scan(shards=1))
    assert prepared.counts["programmes_used"] == 1
    assert prepared.counts["rejected:unreadable"] == 1


def test_a_fault_of_the_machine_is_no_programmes_fault(folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.add("good")
    monkeypatch.setattr(storage, "read_bytes", lambda uri: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
    with pytest.raises(StepError, match="I/O error"):
        folder.prepare(folder.scan(shards=1))


def test_what_is_too_large_is_not_even_copied(bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.add("large")
    monkeypatch.setattr(storage, "local_copy", None)
    monkeypatch.setattr("tasks.media.limits.MediaLimits", partial(MediaLimits, max_bytes=1000))
    (prepared,) = bucket.prepare(bucket.scan(shards=1))
    assert prepared.counts["rejected:too_large"] == 1
