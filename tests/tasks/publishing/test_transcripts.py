"""Publishing: with racing and killed publishers there is one complete set in the end."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest

from tasks import storage
from tasks.night.ledger import Ledger, QuarantineRecord
from tasks.night.transcript_building import build_transcript
from tasks.publishing import transcripts as publishing
from tasks.publishing.transcripts import MANIFEST_NAME, is_complete, publish_transcript, read_published_transcript
from tasks.transcripts.document import Transcript
from tasks.transcripts.formats import FORMATS
from tasks.transcripts.formats.rendition import Rendition
from tests.tasks.night.builders import PIPELINE, arrival, preparation, recognised

KEY = "0123456789ab" + "c" * 52


def transcript(text: str = "good evening here is the news") -> Transcript:
    return build_transcript(preparation(), recognised(text), PIPELINE, "0.1.0")


def objects(prefix: str) -> dict[str, bytes]:
    return {o.uri: storage.read_bytes(o.uri) for o in storage.list_objects(prefix)}


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


@pytest.fixture
def kill_after(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """As many writes succeed as the list's number says; the publisher dies right after the last of them."""
    write, left = storage.write, [10**9]

    def dying(uri: str, data: bytes, *, create: bool = False) -> None:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        write(uri, data, create=create)
        if left[0] == 0:
            raise Killed

    monkeypatch.setattr(storage, "write", dying)
    return left


def test_one_prefix_with_every_format_and_the_manifest(storage_root: str) -> None:
    transcripts = storage.join(storage_root, "transcripts")
    manifest_uri = publish_transcript(transcript(), "news", KEY, transcripts)
    folder = f"{transcripts}/news/0123456789ab"
    assert manifest_uri == f"{folder}/{MANIFEST_NAME}"
    assert set(objects(folder)) == {manifest_uri, *(f"{folder}/news{suffix}" for suffix in FORMATS)}
    assert is_complete(manifest_uri)
    assert storage.read_bytes(f"{folder}/news.txt").decode().split() == ["Good", "evening", "here", "is", "the", "news"]
    assert read_published_transcript(manifest_uri)[1] == transcript()
    assert json.loads(storage.read_bytes(manifest_uri))["media_sha256"] == preparation().sha256


def test_a_name_in_another_script(storage_root: str) -> None:
    manifest_uri = publish_transcript(transcript(), "новости", KEY, storage.join(storage_root, "transcripts"))
    listed = {o.uri for o in storage.list_objects(storage_root)}
    assert manifest_uri in listed
    assert {storage.name_of(uri) for uri in listed} >= {"новости.srt", "новости.json"}
    assert is_complete(manifest_uri)


def test_killed_at_every_write_no_partial_set_is_visible_and_a_retry_completes_it(
    storage_root: str, kill_after: list[int]
) -> None:
    undisturbed = storage.join(storage_root, "undisturbed")
    publish_transcript(transcript(), "news", KEY, undisturbed)
    expected = {uri.removeprefix(undisturbed): data for uri, data in objects(undisturbed).items()}
    n_writes = len(expected)
    for at in range(n_writes):
        transcripts = storage.join(storage_root, f"killed-{at}")
        manifest_uri = f"{transcripts}/news/{KEY[:12]}/{MANIFEST_NAME}"
        kill_after[0] = at
        with pytest.raises(Killed):
            publish_transcript(transcript(), "news", KEY, transcripts)
        kill_after[0] = 10**9
        assert not storage.exists(manifest_uri) or is_complete(manifest_uri)
        publish_transcript(transcript(), "news", KEY, transcripts)
        assert {uri.removeprefix(transcripts): data for uri, data in objects(transcripts).items()} == expected


def test_after_a_kill_all_formats_derive_from_the_first_canonical_transcript(
    storage_root: str, kill_after: list[int]
) -> None:
    kill_after[0] = 3
    with pytest.raises(Killed):
        publish_transcript(transcript("the first words"), "news", KEY, storage_root)
    kill_after[0] = 10**9
    manifest_uri = publish_transcript(transcript("other words"), "news", KEY, storage_root)
    assert is_complete(manifest_uri)
    assert read_published_transcript(manifest_uri)[1].text == "The first words"
    for uri, data in objects(storage.parent(manifest_uri)).items():
        assert b"other" not in data.lower(), uri


def test_racing_publishers_leave_one_consistent_set(storage_root: str) -> None:
    """Each has other words; all formats are derived from the winner's."""
    n_racers = 4
    start = threading.Barrier(n_racers)
    manifests: list[str] = []

    def race(number: int) -> None:
        start.wait()
        manifests.append(publish_transcript(transcript(f"words of racer {number}"), "news", KEY, storage_root))

    racers = [threading.Thread(target=race, args=(n,)) for n in range(n_racers)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(set(manifests)) == 1
    assert len(manifests) == n_racers
    assert is_complete(manifests[0])
    winner = read_published_transcript(manifests[0])[1]
    folder = storage.parent(manifests[0])
    for name, _, data in publishing.render_derived(Rendition(winner), "news"):
        assert storage.read_bytes(f"{folder}/{name}") == data


def test_a_published_transcript_never_changes(storage_root: str) -> None:
    manifest_uri = publish_transcript(transcript(), "news", KEY, storage_root)
    before = objects(storage_root)
    assert publish_transcript(transcript("other words"), "news", KEY, storage_root) == manifest_uri
    assert objects(storage_root) == before


def test_a_missing_file_is_detected(storage_root: str) -> None:
    manifest_uri = publish_transcript(transcript(), "news", KEY, storage_root)
    storage.delete(f"{storage.parent(manifest_uri)}/news.srt")
    assert not is_complete(manifest_uri)


def test_the_ledger_records_arrivals_and_contents(storage_root: str) -> None:
    ledger = Ledger(storage.join(storage_root, "transcripts"), PIPELINE)
    other_model = PIPELINE.model_copy(update={"model_digest": "b" * 64})
    manifest = publish_transcript(transcript(), "news", KEY, ledger.transcripts)
    assert ledger.transcribed() == set()
    ledger.record_transcript(arrival("news"), "f" * 64, manifest, has_speakers=False)
    assert ledger.transcribed() == {arrival("news").id}
    assert ledger.manifest_of_content("f" * 64) == manifest
    assert ledger.manifest_of_content("e" * 64) == ""
    assert Ledger(ledger.transcripts, other_model).transcribed() == set()
    storage.delete(manifest)
    assert ledger.manifest_of_content("f" * 64) == ""  # deleted: to be made again


def test_quarantine_holds_for_every_model(storage_root: str) -> None:
    ledger = Ledger(storage.join(storage_root, "transcripts"), PIPELINE)
    record = QuarantineRecord(arrival=arrival("новости"), sha256="", reason="not_media", detail="no audio")
    uri = ledger.quarantine(record)
    assert ledger.quarantine(record) == uri
    assert storage.exists(uri)
    other_model = Ledger(ledger.transcripts, PIPELINE.model_copy(update={"model_digest": "b" * 64}))
    assert other_model.quarantined() == {arrival("новости").id}
