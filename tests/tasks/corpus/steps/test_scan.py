"""scan-corpus on a folder and on S3: pairing, exclusions, stability, hostile names."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path

import pytest

from tasks import storage
from tasks.contract import InputRejected, ItemOutcome, Misconfigured, Reason, Receipt, ReceiptItem, Status
from tasks.corpus.inventory.planning import HOURS_PER_SHARD
from tasks.corpus.records import Programme, read_programmes
from tasks.dataset.manifest import Split
from tasks.media.container import duration_estimate
from tasks.step import load_result, output_uri
from tests.s3_servers import S3Server


def programmes(scan: Receipt) -> dict[str, Programme]:
    return {p.programme_id: p for item in scan.items for p in read_programmes(item.uri)}


def programmes_of(shard: ReceiptItem) -> list[str]:
    return [p.programme_id for p in read_programmes(shard.uri)]


def outcomes(scan: Receipt) -> dict[str, Reason | None]:
    lines = storage.read_bytes(output_uri(scan.result, load_result(scan.result), "outcomes.jsonl")).splitlines()
    return {outcome.item: outcome.reason for outcome in map(ItemOutcome.model_validate_json, lines)}


def put(pipeline, *names: str, data: bytes = b"x") -> None:
    for name in names:
        storage.write(storage.join(pipeline.media, name), data)


def test_pairs_media_with_the_best_transcript_of_their_name(pipeline) -> None:
    put(pipeline, "a/one.mp4", "a/one.srt", "a/one.txt", "b/one.MP3", "b/one.en.vtt", "b/one.de.ttml")
    put(pipeline, "two.mxf", "two.mxf.ttml", "two.txt", "README.md", "Thumbs.db")
    scan = pipeline.scan()
    found = {name: p.transcript.removeprefix(pipeline.media + "/") for name, p in programmes(scan).items()}
    assert found == {"a.one": "a/one.srt", "b.one": "b/one.en.vtt", "two": "two.mxf.ttml"}
    assert scan.counts["other_objects"] == 2


TTML = b'<?xml version="1.0"?><tt xmlns="http://www.w3.org/ns/ttml"><body/></tt>'


def test_captions_are_found_by_names_as_people_read_them(pipeline) -> None:
    put(pipeline, "a.mp4", "a.eng.SRT", "b.mp4", "b.en.sdh.srt", "c.mp4", "c.en.forced.srt", "c.ger.srt", "d.mp4")
    put(pipeline, "d.en.srt", "d.en.cc.srt", "e.mp4", "e.hi.srt")
    found = programmes(pipeline.scan())
    assert {name: storage.name_of(p.transcript) for name, p in found.items()} == {
        "a": "a.eng.SRT",
        "b": "b.en.sdh.srt",
        "d": "d.en.srt",
    }


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_letters_may_be_composed_or_not(pipeline, forms: tuple[str, str]) -> None:
    media, captions, manifest = (unicodedata.normalize(form, "Günün Özeti") for form in (*forms, forms[1]))
    for name in (f"{media}.mp4", f"{captions}.en.srt", f"x/{media}.wav"):
        put(pipeline, storage.quoted_name(name, pipeline.media))
    entry = {"audio_filepath": f"x/{manifest}.wav", "offset": 1.0, "duration": 2.0, "text": "hello"}
    storage.write(storage.join(pipeline.media, "all.jsonl"), json.dumps(entry).encode())
    found = programmes(pipeline.scan())
    assert len(found) == 2
    transcripts = {storage.name_of(programme.transcript) for programme in found.values()}
    assert transcripts == {f"{captions}.en.srt", "all.jsonl"}


def test_xml_is_a_transcript_only_if_it_is_ttml(pipeline) -> None:
    """Production systems write metadata as .xml: it is passed over, and told where nothing better hides it."""
    put(pipeline, "a.mxf", "b.mxf", "b.txt", "c.mxf", "c.srt", "d.mxf", "e.mxf", "lonely.xml")
    put(pipeline, "a.xml", "d.en.xml", data=TTML)
    put(pipeline, "b.xml", "c.xml", "d.xml", data=b"<programme><title>News</title></programme>")
    put(pipeline, "e.xml", data=b"no XML")
    scan = pipeline.scan()
    found = {name: p.transcript.removeprefix(pipeline.media + "/") for name, p in programmes(scan).items()}
    assert found == {"a": "a.xml", "b": "b.txt", "c": "c.srt", "d": "d.en.xml"}
    passed_over = [storage.join(pipeline.media, f"{name}.xml") for name in "bde"]
    assert outcomes(scan) == {"e": Reason.NO_TRANSCRIPT} | dict.fromkeys(passed_over, Reason.NO_TRANSCRIPT)
    assert any("3 .xml files beside media are not TTML" in warning for warning in scan.warnings)
    assert scan.counts["manifest_problems"] == 0


def test_times_of_the_medium_are_preferred_to_time_code(pipeline) -> None:
    put(pipeline, "one.mxf", "one.scc", "one.stl", "one.srt", "two.mxf", "two.scc", "two.stl", "three.mxf", "three.itt")
    found = {name: p.transcript.rpartition(".")[2] for name, p in programmes(pipeline.scan()).items()}
    assert found == {"one": "srt", "two": "stl", "three": "itt"}


def test_captions_are_preferred_to_a_synopsis(folder) -> None:
    """Captions with a language in their name are preferred to text without times."""
    put(folder, "talk.mp4", "talk.en.srt", "talk.txt")
    assert programmes(folder.scan())["talk"].transcript.endswith("talk.en.srt")


def test_hidden_files_are_ignored(pipeline) -> None:
    put(pipeline, "news.mp4", "news.srt", "._news.mp4", "._news.srt", ".trash/old.mp4", ".trash/old.srt")
    scan = pipeline.scan()
    assert set(programmes(scan)) == {"news"}
    assert (scan.counts["media"], scan.counts["other_objects"]) == (1, 4)


def test_a_manifest_may_name_media_beside_its_folder(pipeline) -> None:
    put(pipeline, "wav/a b.wav", "wav/c.wav")
    lines = [{"audio_filepath": name, "duration": 2, "text": name} for name in ("../wav/a b.wav", ".././wav/c.wav")]
    put(pipeline, "set/manifest.jsonl", data="\n".join(map(json.dumps, lines)).encode())
    texts = {s.text for p in programmes(pipeline.scan()).values() for s in p.supervisions}
    assert texts == {"../wav/a b.wav", ".././wav/c.wav"}


def test_media_without_a_transcript_stay_in_the_inventory(pipeline) -> None:
    put(pipeline, "kept.wav", "kept.srt", "alone.mp3", "german.wav", "german.de.srt")
    scan = pipeline.scan()
    assert set(programmes(scan)) == {"kept"}
    assert outcomes(scan) == {"alone": Reason.NO_TRANSCRIPT, "german": Reason.NO_TRANSCRIPT}
    assert scan.counts["left_out"] == 2


def test_of_several_renditions_the_largest_is_used(pipeline) -> None:
    put(pipeline, "show.srt", "show.mp3")
    put(pipeline, "show.mxf", data=b"much more")
    scan = pipeline.scan()
    assert programmes(scan)["show"].media.endswith("show.mxf")
    assert outcomes(scan) == {"show": Reason.DUPLICATE}


def test_a_manifest_may_describe_many_media(pipeline) -> None:
    put(pipeline, "set/audio/a.wav", "set/audio/b.wav", "set/audio/b.srt", "c.wav")
    lines = [
        {"audio_filepath": "audio/a.wav", "duration": 2, "text": "hello"},
        {"audio_filepath": "audio/b.wav", "offset": 3.0, "duration": 2, "text": "second"},
        {"audio_filepath": "audio/b.wav", "offset": 0.0, "duration": 2, "text": "first"},
        {"audio_filepath": "c.wav", "text": "from the root"},
        {"audio_filepath": "../../etc/passwd", "text": "not here"},
        {"no": "shape"},
    ]
    put(pipeline, "set/manifest.jsonl", data="\n".join(map(json.dumps, lines)).encode())
    scan = pipeline.scan()
    found = programmes(scan)
    assert {name: [s.text for s in p.supervisions] for name, p in found.items()} == {
        "set.audio.a": ["hello"],
        "set.audio.b": ["first", "second"],
        "c": ["from the root"],
    }
    assert scan.counts["manifest_problems"] == 2
    # A changed manifest affects only the programmes whose entries changed.
    put(pipeline, "set/manifest.jsonl", data="\n".join(map(json.dumps, lines[:5])).encode())
    assert programmes(pipeline.scan()) == found


def test_each_split_gets_a_programme_and_keeps_it(pipeline) -> None:
    for number in range(8):
        put(pipeline, f"p{number}.wav", f"p{number}.txt")
    before = {name: p.split for name, p in programmes(pipeline.scan()).items()}
    assert set(before.values()) == set(Split)
    put(pipeline, *(f"{letter}{n}.{e}" for letter in "aoz" for n in range(4) for e in ("wav", "txt")))
    after = {name: p.split for name, p in programmes(pipeline.scan()).items()}
    assert {name: after[name] for name in before} == before
    put(pipeline, *(f"{letter}{n}.{e}" for letter in "bpy" for n in range(4) for e in ("wav", "txt")))
    asked_otherwise = programmes(pipeline.scan(shards=3, language="en-GB", media=pipeline.media + "/"))
    assert {name: asked_otherwise[name].split for name in after} == after


def test_a_programme_absent_for_a_scan_returns_to_its_split(folder) -> None:
    for number in range(8):
        put(folder, f"p{number}.wav", f"p{number}.txt")
    splits = {name: p.split for name, p in programmes(folder.scan()).items()}
    held_out = [name for name, split in splits.items() if split is not Split.TRAIN]
    for name in held_out:
        storage.delete(storage.join(folder.media, f"{name}.txt"))
    put(folder, *(f"q{number}.{e}" for number in range(4) for e in ("wav", "txt")))
    assert not set(held_out) & set(programmes(folder.scan()))
    put(folder, "another.wav", "another.txt")
    folder.scan()
    put(folder, *(f"{name}.txt" for name in held_out))
    found = programmes(folder.scan())
    assert {name: found[name].split for name in splits} == splits


def test_a_programme_absent_for_a_scan_returns_to_its_shard(folder) -> None:
    for number in range(12):
        put(folder, f"p{number}.wav", f"p{number}.txt")
    before = folder.scan(shards=4)
    away = programmes_of(before.items[0])[-1:] + programmes_of(before.items[3])[:1]
    for name in away:
        storage.delete(storage.join(folder.media, f"{name}.wav"))
    folder.scan(shards=4)
    put(folder, *(f"{name}.wav" for name in away))
    assert [programmes_of(i) for i in folder.scan(shards=4).items] == [programmes_of(i) for i in before.items]


def test_two_languages_of_one_listing_hold_out_the_same_programmes(folder) -> None:
    names = [f"p{number:02d}" for number in range(30)]
    for number, name in enumerate(names):
        captions = [f"{name}.{language}.srt" for language, n in (("en", 4), ("de", 3)) if number % n]
        put(folder, f"{name}.wav", *captions)
    english = {name: p.split for name, p in programmes(folder.scan(language="en")).items()}
    german = {name: p.split for name, p in programmes(folder.scan(language="de")).items()}
    both = english.keys() & german.keys()
    assert {name: english[name] for name in both} == {name: german[name] for name in both}
    again = {name: p.split for name, p in programmes(folder.scan(language="en")).items()}
    assert again == english


def test_a_day_is_in_one_split(folder) -> None:
    for day in range(1, 29):
        put(folder, *(f"{show}/2026-02-{day:02d}.{e}" for show in ("news", "sport") for e in ("wav", "txt")))
    found = programmes(folder.scan())
    splits = {name: p.split for name, p in found.items()}
    for day in range(1, 29):
        assert splits[f"news.2026-02-{day:02d}"] is splits[f"sport.2026-02-{day:02d}"]
    assert sum(split is Split.TEST for split in splits.values()) == 2 * round(0.12 * 28)
    put(folder, "film.wav", "film.txt")
    assert folder.scan().counts["undated"] == 1


def test_one_more_programme_changes_one_shard(pipeline) -> None:
    for number in range(12):
        put(pipeline, f"p{number}.wav", f"p{number}.srt", data=b"x" * (100 + number))
    before = pipeline.scan(shards=4)
    assert pipeline.scan(shards=4).status is Status.CACHED
    put(pipeline, "another.wav", "another.srt", data=b"x" * 107)
    after = pipeline.scan(shards=4)
    assert after.status is Status.DONE
    digests = [{storage.digest(item.uri) for item in scan.items} for scan in (before, after)]
    assert len(digests[0] & digests[1]) == 3
    assert pipeline.scan(shards=4).status is Status.CACHED


def test_two_scans_from_scratch_give_the_same_shards(pipeline, make_pipeline) -> None:
    for number in range(9):
        put(pipeline, f"p{number}.wav", f"p{number}.srt", data=b"x" * (100 + number))
    once = [storage.read_bytes(item.uri) for item in pipeline.scan().items]
    elsewhere = pipeline.step("scan-corpus", media=pipeline.media, shards=2)
    again = make_pipeline("elsewhere").step("scan-corpus", media=pipeline.media, shards=2)
    assert elsewhere.status is Status.CACHED
    assert [storage.read_bytes(item.uri) for item in again.items] == once


@pytest.mark.parametrize(
    ("files", "reason"),
    [((), Reason.NO_INPUT), (("a.txt",), Reason.NO_INPUT), (("a.wav", "b.txt"), Reason.NO_TRANSCRIPT)],
)
def test_an_empty_corpus_is_reported_with_the_prefix_and_the_next_step(pipeline, files, reason) -> None:
    put(pipeline, *files)
    with pytest.raises(InputRejected) as raised:
        pipeline.scan()
    assert raised.value.reason is reason
    assert raised.value.subject == pipeline.media
    assert raised.value.next_step


def test_eight_thousand_hostile_names(tmp_path: Path, folder) -> None:
    media = tmp_path / "media"
    media.mkdir()
    odd = [
        "-rf",
        "new\nline",
        "tab\t",
        "q'\"",
        "a" * 240,
        "\u202egnp",
        "\u00e9",
        "e\u0301",
        "a...",
        " ",
        "%2e%2e",
        "a#b?c",
        "*",
        "\\",
    ]
    stems = [os.fsencode(name) for name in odd] + [b"\xff\xfe bytes", b"caf\xe9"]
    stems += [f"weird {n}\r;".encode() for n in range(4000 - len(stems))]
    for stem in stems:
        for extension in (b".mp4", b".srt"):
            (media / os.fsdecode(stem + extension)).touch()
    scan = folder.scan(shards=8)
    found = programmes(scan)
    assert len(found) == len(stems)
    for programme in found.values():
        assert storage.info(programme.media).size == 0
        assert storage.parent(programme.transcript) == storage.parent(programme.media)


def test_the_number_of_shards_follows_the_hours(folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """By default a small corpus has few shards and one of 20 GB has 20; slightly more data changes only one."""
    names = [f"{number:03d}" for number in range(60)]
    put(folder, *(f"{name}.{kind}" for name in names for kind in ("mp3", "srt")))
    assert folder.scan(shards=None).counts["shards"] == 4
    monkeypatch.setitem(duration_estimate.BYTES_PER_S, ".mp3", 1 / (20 / 60 * HOURS_PER_SHARD * 3600))
    storage.write(storage.join(folder.media, "060.mp3"), b"x")
    before = folder.scan(shards=None)
    assert before.counts["shards"] == 20
    put(folder, "060.srt")
    after = folder.scan(shards=None)
    assert after.counts["shards"] == 20
    content = [{storage.read_bytes(item.uri) for item in scan.items} for scan in (before, after)]
    assert len(content[1] - content[0]) == 1


def test_an_unusual_s3_key_loses_only_itself(moto_bucket, moto_s3: str, moto_server: S3Server) -> None:
    moto_bucket.add("good")
    odd = ["good.wav/", "a//b.wav", "a//b.srt", "./x.wav", "x\x01.srt", "x\x01.wav", "set//manifest.jsonl"]
    for name in odd:
        moto_server.put(f"{moto_s3}/media/{name}", b"x")
    scan = moto_bucket.scan(shards=1)
    assert scan.counts["media"] == 3  # ./x.wav is hidden
    assert scan.counts["manifest_problems"] == 1
    (prepared,) = moto_bucket.prepare(scan)
    assert prepared.counts["programmes_used"] == 1
    assert prepared.counts["rejected:unreadable"] == 2


def write_settings(folder: str, **settings: object) -> str:
    """A model by its settings; its weights cannot be read."""
    for name, content in {
        "config.json": {"model_type": "whisper", "num_mel_bins": 80} | settings,
        "preprocessor_config.json": {
            "feature_size": 80,
            "hop_length": 160,
            "win_length": 400,
            "n_fft": 512,
            "sampling_rate": 16000,
            "preemphasis": 0.97,
        },
        "model.safetensors": "none",
    }.items():
        storage.write(storage.join(folder, name), json.dumps(content).encode())
    return folder


def test_the_features_are_those_of_the_model_to_be_trained(pipeline) -> None:
    put(pipeline, "one.mp4", "one.srt")
    scan = pipeline.scan()
    assert "features" not in scan.labels
    base = write_settings(storage.join(pipeline.root, "base"))
    found = pipeline.scan(base=base)
    assert (found.labels["features"], found.status) == ("whisper-80", Status.DONE)
    assert programmes(found) == programmes(scan)
    assert pipeline.scan(base=base).status is Status.CACHED
    assert pipeline.scan(features="whisper-80").status is Status.CACHED, "the name is in the key, not where it is from"

    write_settings(base, model_type="parakeet_ctc")  # as when another champion is promoted
    again = pipeline.scan(base=base)
    assert (again.labels["features"], again.status) == ("parakeet-80-10ms", Status.DONE)
    (prepared,) = pipeline.prepare(found)
    assert [receipt.status for receipt in pipeline.prepare(again)] == [Status.CACHED], prepared
    write_settings(base, num_mel_bins=64)
    with pytest.raises(Misconfigured, match="no configuration here gives"):
        pipeline.scan(base=base)


def test_features_that_the_model_does_not_take_are_refused_before_the_archive_is_listed(pipeline) -> None:
    base = write_settings(storage.join(pipeline.root, "base"))
    for given, message in (("whisper-128", "takes the features whisper-80"), ("mel", "unknown features")):
        with pytest.raises(Misconfigured, match=message):
            pipeline.scan(base=base, features=given)
    with pytest.raises(InputRejected, match="no folder with a") as raised:
        pipeline.scan(base=base + "-gone")
    assert raised.value.reason is Reason.MODEL_NOT_FOUND


def test_without_a_champion_the_features_are_those_of_the_fallback(folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{storage.path_of(folder.root)}/none.db")
    put(folder, "one.mp4", "one.srt")
    base = write_settings(storage.join(folder.root, "base"), num_mel_bins=128)
    assert folder.scan(base="models:/m@champion", fallback=base).labels["features"] == "whisper-128"
    with pytest.raises(InputRejected, match="no such alias"):
        folder.scan(base="models:/m@champion")
