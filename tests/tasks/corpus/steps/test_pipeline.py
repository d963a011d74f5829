"""scan → prepare → extract → assemble on a tiny corpus: correct and reproducible results."""

from __future__ import annotations

import dataclasses
import json
import os
import re

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks import storage
from tasks.contract import InputRejected, Misconfigured, Outcome, Reason, Status
from tasks.dataset import flac
from tasks.dataset.manifest import Split, feature_arrays, load_manifest, read_batches
from tasks.dataset.summary import Tally
from tests.tasks.corpus.steps.results import N_PROGRAMMES, digests, fill, outcomes, output


def test_the_whole_chain(pipeline) -> None:
    fill(pipeline)
    assembled = pipeline.run()
    manifest, version = load_manifest(assembled.labels["manifest"])
    assert version == assembled.labels["version"] == storage.digest(assembled.labels["manifest"])
    assert manifest.features == "parakeet-80-20ms"
    assert manifest.features_config["hop_samples"] == 320
    assert {split: manifest.programmes[split] for split in Split} == {
        Split.TRAIN: 4,
        Split.VALIDATION: 1,
        Split.TEST: 1,
    }

    for split in Split:
        columns = ["utterance_id", "programme_id", "text", "duration_s", "audio", "input_features", "sha256"]
        n_rows = 0
        for batch in read_batches(manifest, split, columns):
            for row, features in zip(batch.to_pylist(), feature_arrays(batch), strict=True):
                pcm = flac.decode(row["audio"])
                assert flac.digest(pcm) == row["sha256"]
                assert len(pcm) / 16_000 == row["duration_s"] <= 12.0
                assert features.dtype == np.float16
                assert features.shape == (len(pcm) // 320, 80)
                assert row["utterance_id"].startswith(row["programme_id"] + "@")
                assert row["text"].startswith("good evening number")
                n_rows += 1
        assert n_rows == manifest.kept[split].count == sum(shard.utterances for shard in manifest.shards(split)) > 0
    for shard in manifest.shards("train"):
        assert storage.digest(shard.uri) == shard.sha256
        assert storage.info(shard.uri).size == shard.bytes

    again = pipeline.run()
    assert again.status is Status.CACHED
    assert again.labels == assembled.labels


def test_the_datasets_library_reads_the_shards(pipeline) -> None:
    datasets = pytest.importorskip("datasets")
    fill(pipeline)
    manifest, _ = load_manifest(pipeline.run().labels["manifest"])
    files = {split.value: manifest.uris(split) for split in Split}
    options = {}
    if pipeline.root.startswith("s3://"):
        names = {"endpoint_url": "ENDPOINT_URL", "key": "ACCESS_KEY_ID", "secret": "SECRET_ACCESS_KEY"}
        options = {option: os.environ[f"AWS_{name}"] for option, name in names.items()}
    rows = datasets.load_dataset(
        "parquet", data_files=files, streaming=True, split="train", storage_options=dict(options)
    ).with_format("numpy")
    seen = {row["utterance_id"]: np.asarray(row["input_features"]).shape for row in rows}
    assert len(seen) == manifest.kept[Split.TRAIN].count
    assert all(n_frames > 1 and n_mels == 80 for n_frames, n_mels in seen.values())


def test_two_runs_give_the_same_bytes_and_the_same_version(folder) -> None:
    versions, shards = [], []
    for name in ("one", "two"):
        pipeline = dataclasses.replace(folder, root=storage.join(folder.root, name))
        fill(pipeline)
        scan = pipeline.scan()
        prepared = pipeline.prepare(scan)
        extracted = pipeline.extract(prepared)
        shards.append(digests(prepared, ".parquet") + digests(extracted, ".parquet"))
        versions.append(pipeline.assemble(scan, extracted).labels["version"])
    assert shards[0] == shards[1]
    assert versions[0] == versions[1]


def test_one_more_programme_leaves_the_other_shards_alone(pipeline) -> None:
    fill(pipeline)
    before = pipeline.extract(pipeline.prepare(pipeline.scan(shards=3)))
    pipeline.add("news/2026-03-20", seconds=10.0, seed=99)
    scan = pipeline.scan(shards=3)
    prepared = pipeline.prepare(scan)
    extracted = pipeline.extract(prepared)
    assert sorted(receipt.status for receipt in prepared) == [Status.CACHED, Status.CACHED, Status.DONE]
    assert sorted(receipt.status for receipt in extracted) == [Status.CACHED, Status.CACHED, Status.DONE]
    manifest, _ = load_manifest(pipeline.assemble(scan, extracted).labels["manifest"])
    assert manifest.account.media.count == N_PROGRAMMES + 1
    assert len(set(digests(before, "train.parquet")) & {s.sha256 for s in manifest.shards("train")}) >= 1


def test_every_millisecond_is_kept_or_dropped_with_a_reason(folder) -> None:
    fill(folder)
    times = "00:00:0{},000 --> 00:00:0{},000\n{}\n"
    cues = [times.format(0, 2, "Fine words here."), times.format(2, 4, "In 1987."), times.format(4, 5, "[music]")]
    cues += [times.format(5, 6, "Much more text than anybody could say within one second."), times.format(7, 9, "Hm.")]
    storage.write(storage.join(folder.media, "news/2026-03-01.srt"), "\n".join(cues).encode())
    storage.write(storage.join(folder.media, "broken.wav"), b"RIFF nothing")
    storage.write(storage.join(folder.media, "broken.srt"), b"x")
    scan = folder.scan()
    prepared = folder.prepare(scan)
    manifest, _ = load_manifest(folder.assemble(scan, folder.extract(prepared)).labels["manifest"])
    account = manifest.account
    dropped = [tally for reasons in account.dropped.values() for tally in reasons.values()]
    assert account.kept + sum(dropped, Tally()) == account.cut
    assert set(account.dropped["prepare-corpus"]) == {
        Reason.ALPHABET, Reason.TRANSCRIPT_EMPTY, Reason.CHARACTER_RATE
    }  # fmt: skip
    assert account.media == Tally(count=N_PROGRAMMES, ms=N_PROGRAMMES * 12_000)
    found = [o for o in outcomes(prepared).values() if "@" in o.item]
    assert sum(round(o.duration_s * 1000) for o in found) == sum(t.ms for t in dropped)
    assert all(o.outcome is Outcome.REJECTED and o.reason and o.detail for o in found)


def test_one_bad_file_never_fails_a_shard(folder) -> None:
    fill(folder)
    good = storage.read_bytes(storage.join(folder.media, "news/2026-03-01.srt"))
    for name, media, transcript in (
        ("noise.mp3", b"this is no audio", good),
        ("empty.wav", b"", good),
        ("unreadable.wav", None, b"1\nno times --> here\nx"),
        ("blank.wav", None, b" "),
        (
            "tail.wav",
            None,
            b"1\n00:00:01,000 --> 00:00:04,000\n[MUSIC]\n\n2\n00:00:14,000 --> 00:00:16,000\nThe end.\n",
        ),
        ("late.wav", None, b"1\n10:00:00,000 --> 10:00:02,000\nGood evening to you.\n"),
    ):
        data = storage.read_bytes(storage.join(folder.media, "news/2026-03-01.wav")) if media is None else media
        storage.write(storage.join(folder.media, name), data)
        storage.write(storage.join(folder.media, f"{name[:-4]}.srt"), transcript)
    long_text = storage.join(folder.media, "untimed")
    folder.add("untimed", seconds=70.0, seed=50)
    storage.delete(f"{long_text}.srt")
    storage.write(f"{long_text}.txt", b"words for more than a minute")
    found = outcomes(folder.prepare(folder.scan()))
    reasons = {name: found[name].reason for name in ("noise", "empty", "unreadable", "blank", "late", "untimed")}
    assert reasons == {
        "noise": Reason.NOT_MEDIA,
        "empty": Reason.EMPTY,
        "unreadable": Reason.TRANSCRIPT_UNREADABLE,
        "blank": Reason.TRANSCRIPT_EMPTY,
        "late": Reason.TRANSCRIPT_OUT_OF_RANGE,
        "untimed": Reason.TOO_LONG,
    }
    assert all(found[name].outcome is Outcome.REJECTED for name in reasons)
    assert found["tail"].outcome is Outcome.DONE_WITH_WARNINGS
    assert found["tail"].detail == "no utterance was kept"
    assert "give captions" in found["untimed"].detail
    assert sum(found[f"news.2026-03-{n + 1:02d}"].outcome is Outcome.DONE for n in range(N_PROGRAMMES)) == N_PROGRAMMES


def test_a_shard_without_utterances_is_not_an_error(folder, captions) -> None:
    fill(folder)
    storage.write(storage.join(folder.media, "huge.wav"), b"no audio" * 1_000_000)
    storage.write(storage.join(folder.media, "huge.srt"), captions(4.0))
    scan = folder.scan()
    prepared = folder.prepare(scan)
    assert sorted(receipt.counts["programmes_used"] for receipt in prepared) == [0, N_PROGRAMMES]
    assembled = folder.assemble(scan, folder.extract(prepared))
    assert assembled.counts["rejected:not_media"] == 1
    assert assembled.counts["utterances"] == sum(receipt.counts["utterances"] for receipt in prepared)


def test_nothing_to_train_on_says_why(folder, captions) -> None:
    for number in range(3):
        storage.write(storage.join(folder.media, f"p{number}.wav"), b"no audio")
        storage.write(storage.join(folder.media, f"p{number}.srt"), captions(4.0))
    with pytest.raises(InputRejected, match="programmes:not_media 3") as raised:
        folder.run()
    assert raised.value.reason is Reason.NO_INPUT
    assert "outcomes.jsonl" in raised.value.next_step


def test_a_medium_that_changed_after_the_scan_is_not_used(folder) -> None:
    fill(folder)
    scan = folder.scan()
    folder.add("news/2026-03-01", seed=77)
    storage.write(storage.join(folder.media, "news/2026-03-02.wav"), b"gone")
    found = outcomes(folder.prepare(scan))
    assert found["news.2026-03-01"].reason is Reason.CHANGED_WHILE_READ
    assert found["news.2026-03-02"].outcome is Outcome.FAILED


def test_duplicates_are_dropped_and_the_held_out_copy_is_kept(folder) -> None:
    for number in range(9):
        folder.add(f"p{number}", seed=number % 3)  # three programmes, three times each
    assembled = folder.run()
    manifest, _ = load_manifest(assembled.labels["manifest"])
    repeats = manifest.account.dropped["assemble-dataset"][Reason.DUPLICATE]
    assert repeats.count == 2 * manifest.account.kept.count
    sounds = {split: [] for split in Split}
    for split in Split:
        for batch in read_batches(manifest, split, ["sha256"]):
            sounds[split] += batch.column("sha256").to_pylist()
    everything = [digest for split in Split for digest in sounds[split]]
    assert len(everything) == len(set(everything)) == manifest.account.kept.count
    assert len(sounds[Split.TEST]) == 1 * len(everything) // 3
    for split in Split:
        for shard in manifest.shards(split):
            assert storage.digest(shard.uri) == shard.sha256


def test_a_programme_in_two_splits_is_refused(folder) -> None:
    fill(folder)
    scan = folder.scan()
    (first, *others) = scan.items
    leaked = storage.join(folder.root, "leaked.jsonl")
    lines = storage.read_bytes(first.uri).decode()
    other_split = {"train": "test", "test": "train", "validation": "train"}
    leaked_lines = re.sub(r'"split":"(\w+)"', lambda m: f'"split":"{other_split[m.group(1)]}"', lines)
    storage.write(leaked, leaked_lines.encode())
    shards = [first.uri, leaked, *(item.uri for item in others)]
    prepared = [folder.step("prepare-corpus", shard=shard) for shard in shards]
    # All rows of the second copy are duplicates; dropping them must not hide the leak.
    extracted = folder.extract(prepared)
    with pytest.raises(InputRejected, match=r"more than one split: news\.2026"):
        folder.assemble(scan, extracted)


def test_shards_made_with_other_arguments_are_refused(folder) -> None:
    fill(folder)
    scan = folder.scan()
    one, other = folder.prepare(scan)
    mixed = folder.extract([one]) + folder.extract([other], features="parakeet-80-10ms")
    with pytest.raises(InputRejected, match="made with other arguments than"):
        folder.assemble(scan, mixed)


def test_invalid_arguments_are_reported(folder) -> None:
    fill(folder)
    scan = folder.scan()
    with pytest.raises(Misconfigured, match="--language=xx"):
        folder.prepare(scan, language="xx")
    with pytest.raises(Misconfigured, match="--features=mfcc"):
        folder.extract(folder.prepare(scan), features="mfcc")


def test_a_programme_in_another_language_is_rejected(folder, captions) -> None:
    """English captions of German speech are a translation. A track without a tag is used."""
    from tests.tasks.media.making import Track, encode, marked

    fill(folder)
    speech = [Track(marked(6.0)[None], "flac", tags={"language": tag}) for tag in ("ger", "eng")]
    untagged = Track(marked(6.0, seed=1)[None], "flac")
    for name, tracks in (("german", speech[:1]), ("both", speech), ("untagged", [untagged])):
        storage.write(storage.join(folder.media, f"{name}.mkv"), encode("matroska", tracks))
        storage.write(storage.join(folder.media, f"{name}.srt"), captions(6.0))
    prepared = folder.prepare(folder.scan())
    found = outcomes(prepared)
    assert (found["german"].outcome, found["german"].reason) == (Outcome.REJECTED, Reason.LANGUAGE)
    assert "'ger'" in found["german"].detail
    assert found["both"].outcome.is_done
    assert found["untagged"].outcome.is_done
    media = [json.loads(line) for receipt in prepared for line in output(receipt, "media.jsonl").splitlines()]
    (both,) = [medium for medium in media if medium["programme_id"] == "both"]
    assert both["choice"]["tracks"] == [1]
    assert both["choice"]["reason"] == "language"
    assert both["choice"]["passed_over"] == ["0: another track (ger, 1 ch)"]
    assert len(media) == N_PROGRAMMES + 2


def test_selecting_a_channel_or_the_audio_description(folder, captions) -> None:
    from tests.tasks.media.making import Track, encode, marked

    programme = Track(np.stack([marked(6.0), marked(6.0, seed=1)]), "flac", tags={"language": "eng"})
    described = Track(marked(6.0, seed=2)[None], "flac", tags={"language": "eng", "title": "Audio Description"})
    storage.write(storage.join(folder.media, "film.mkv"), encode("matroska", [programme, described]))
    storage.write(storage.join(folder.media, "film.srt"), captions(6.0))
    scan = folder.scan(shards=1)

    def choice(**asked: object) -> dict:
        (receipt,) = folder.prepare(scan, **asked)
        (medium,) = [json.loads(line) for line in output(receipt, "media.jsonl").splitlines()]
        return medium["choice"]

    assert (choice()["tracks"], choice()["channel"]) == ([0], None)
    assert (choice(channel=1)["tracks"], choice(channel=1)["channel"]) == ([0], 1)
    assert choice(audio_description=True)["tracks"] == [1]


def test_features_without_audio_and_for_whisper(folder) -> None:
    fill(folder)
    scan = folder.scan()
    extracted = folder.extract(folder.prepare(scan), features="whisper-80", with_audio=False)
    manifest, _ = load_manifest(folder.assemble(scan, extracted).labels["manifest"])
    batch = next(read_batches(manifest, "train", ["input_features"]))
    assert {features.shape for features in feature_arrays(batch)} == {(3000, 80)}
    with pytest.raises(KeyError):
        batch.column("audio")
    with pq.ParquetFile(storage.path_of(manifest.uris("train")[0])) as file:
        assert "audio" not in file.schema_arrow.names
        assert file.metadata.row_group(0).num_rows <= 64
