"""prepare-corpus, one programme at a time: causes of failures, damaged and overlapping material."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest

from tasks import storage
from tasks.contract import InputRejected, ItemOutcome, Outcome, Reason, Receipt, Status, StepError
from tasks.corpus.assembly import selection
from tasks.dataset import flac
from tasks.dataset.manifest import Split, load_manifest, read_batches
from tasks.dataset.schema import open_parquet
from tasks.media.decoding.isolated import IsolatedAudio
from tasks.media.limits import MediaLimits
from tasks.step import load_result, output_uri
from tests.tasks.corpus.conftest import captions, sound
from tests.tasks.media.making import Track, encode


def outcomes(receipt: Receipt) -> list[ItemOutcome]:
    lines = storage.read_bytes(output_uri(receipt.result, load_result(receipt.result), "outcomes.jsonl")).splitlines()
    return [ItemOutcome.model_validate_json(line) for line in lines]


def test_a_long_name_in_another_script_is_prepared(moto_bucket) -> None:
    moto_bucket.add("новости/" + "長" * 90)
    (prepared,) = moto_bucket.prepare(moto_bucket.scan(shards=1))
    assert prepared.counts["programmes_used"] == 1


def test_an_unreadable_file_loses_only_itself(folder, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_machine_faults_are_not_blamed_on_a_programme(folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.add("good")
    monkeypatch.setattr(storage, "read_bytes", lambda uri: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
    with pytest.raises(StepError, match="I/O error"):
        folder.prepare(folder.scan(shards=1))


def test_programmes_lost_to_a_transient_fault_are_retried(folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel kills one programme's decoder for lack of memory: the next run uses it, and is cached."""
    folder.add("first")
    folder.add("second", seed=1)
    scan = folder.scan(shards=1)

    def killed(audio: IsolatedAudio) -> Iterator[np.ndarray]:
        monkeypatch.undo()
        os.kill(audio.pid, signal.SIGKILL)
        yield from audio

    monkeypatch.setattr(IsolatedAudio, "__iter__", killed)
    (spoiled,) = folder.prepare(scan)
    assert spoiled.counts["rejected:memory_limit"] == 1
    assert spoiled.counts["programmes_used"] == 1
    (whole,) = folder.prepare(scan)
    assert (whole.status, whole.counts["programmes_used"]) == (Status.DONE, 2)
    assert folder.prepare(scan)[0].status is Status.CACHED


def test_a_file_that_is_too_large_is_not_copied(bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.add("large")
    monkeypatch.setattr(storage, "local_copy", None)
    monkeypatch.setattr("tasks.media.limits.MediaLimits", partial(MediaLimits, max_bytes=1000))
    (prepared,) = bucket.prepare(bucket.scan(shards=1))
    assert prepared.counts["rejected:too_large"] == 1


def put(pipeline, name: str, medium: bytes, transcript: bytes) -> None:
    storage.write(storage.join(pipeline.media, name), medium)
    storage.write(storage.join(pipeline.media, name.rpartition(".")[0] + ".srt"), transcript)


def test_captions_beyond_a_truncated_end_are_not_blamed(folder) -> None:
    whole = sound(60.0, 0)
    put(folder, "nearly.wav", whole[: len(whole) * 93 // 100], captions(60.0))
    put(folder, "half.wav", whole[: len(whole) // 2], captions(60.0))
    scan = folder.scan(shards=1)
    (prepared,) = folder.prepare(scan)
    assert prepared.counts["dropped:truncated"] >= 1
    assert prepared.counts["rejected:truncated"] == 1
    assert not [name for name in prepared.counts if "out_of_range" in name]
    found = {o.item: o for o in outcomes(prepared)}
    assert (found["nearly"].outcome, found["nearly"].reason) == (Outcome.DONE_WITH_WARNINGS, Reason.TRUNCATED)
    assert "are missing" in found["nearly"].detail
    assert "partial copy" in found["half"].detail
    assert prepared.counts["warned:truncated"] == 1
    assert prepared.metrics["hours_missing"] * 3600 == pytest.approx(60.0 * 0.07, abs=0.1)
    assembled = folder.assemble(scan, folder.extract([prepared]))
    for name in ("README.md", "report.html"):
        page = storage.read_bytes(output_uri(assembled.result, load_result(assembled.result), name)).decode()
        assert "4.2 s are missing at the end of truncated files. Programmes with a warning: 1 truncated." in page


def test_utterances_over_lost_audio_are_dropped(folder) -> None:
    """A twentieth of the packets is destroyed: kept utterances contain hardly any of the silence inserted for it."""
    noise = np.random.default_rng(0).standard_normal((1, 48_000 * 60)).astype(np.float32) * 0.1
    medium = bytearray(encode("mp4", Track(noise, "aac", bit_rate=64_000)))
    at, n_bytes = len(medium) * 4 // 10, len(medium) // 20
    medium[at : at + n_bytes] = bytes(n_bytes)
    put(folder, "damaged.mp4", bytes(medium), captions(60.0))
    (prepared,) = folder.prepare(folder.scan(shards=1), join_duration_s=0)
    assert 1 <= prepared.counts["dropped:damaged"] <= 3
    uri = output_uri(prepared.result, load_result(prepared.result), "utterances.parquet")
    with open_parquet(uri) as file:
        rows = file.read().to_pylist()
    assert len(rows) == prepared.counts["utterances"] > 10
    for row in rows:
        assert np.mean(np.abs(flac.decode(row["audio"])) < 3) < 0.1
    dropped = [o for o in outcomes(prepared) if o.reason is Reason.DAMAGED and "@" in o.item]
    assert not {o.item for o in dropped} & {row["utterance_id"] for row in rows}


def twins(folder) -> None:
    """One programme under many names, its captions shifted by 60 ms each time, so that no utterance is equal."""
    for number in range(5):
        put(folder, f"twin-{number}.wav", sound(12.0, 0), captions(12.0, delay_s=0.06 * number))
        put(folder, f"other-{number}.wav", sound(12.0, number + 1), captions(12.0))


def test_a_programme_under_two_names_does_not_leak(folder) -> None:
    twins(folder)
    manifest, _ = load_manifest(folder.run().labels["manifest"])
    names: list[str] = []
    for split in Split:
        batches = read_batches(manifest, split, ["programme_id"])
        names += {row["programme_id"] for batch in batches for row in batch.to_pylist()}
    assert sum(name.startswith("twin") for name in names) == 1
    assert sum(name.startswith("other") for name in names) == 5
    assert manifest.account.dropped["assemble-dataset"][Reason.DUPLICATE].count >= 4


def test_a_dataset_that_leaks_is_refused(folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the cause of the leak: here, a selection that drops nothing."""
    twins(folder)

    def everything(rows: selection.Rows, max_match_error: float) -> selection.Selection:
        nothing = np.zeros(len(rows), bool)
        return selection.Selection(rows, {Reason.MATCH_ERROR: nothing, Reason.DUPLICATE: nothing})

    monkeypatch.setattr(selection, "select", everything)
    with pytest.raises(InputRejected, match="the same audio is in more than one split, 1 times"):
        folder.run()
