from __future__ import annotations

import os
import threading
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import storage
from tasks.night.inbox import (
    channel_vocabulary,
    list_announced,
    list_inbox,
    make_arrival,
    programme_name,
    wait_for_uploads,
)


def names(found) -> list[str]:
    return [storage.name_of(o.uri) for o in found]


def test_sidecars_and_hidden_files_are_not_media(storage_root: str) -> None:
    inbox = storage.join(storage_root, "inbox")
    for name in (
        "news.mp4",
        "news.srt",
        "news.TXT",
        ".news.mp4.Xy12",
        "._news.mp4",
        "odd.bogus",
        "noext",
        "poster.jpg",
        ".rsync-partial/half.mp4",
        "monday/.Trash-1000/files/old.wav",
    ):
        storage.write(storage.join(inbox, name), b"x")
    assert names(list_inbox(inbox).media) == ["news.mp4", "noext", "odd.bogus"]


def test_a_changed_file_is_another_arrival(storage_root: str) -> None:
    inbox = storage.join(storage_root, "inbox")
    uri = storage.join(inbox, "news.wav")
    storage.write(uri, b"one")
    first, again = make_arrival(storage.info(uri), inbox), make_arrival(storage.info(uri), inbox)
    storage.write(uri, b"two")
    changed = make_arrival(storage.info(uri), inbox)
    assert first == again
    assert changed.id != first.id
    assert changed.programme == first.programme == "news"


def test_a_list_of_words_belongs_to_the_media_with_its_name(storage_root: str) -> None:
    inbox = storage.join(storage_root, "inbox")
    for name in ("news.mp4", "news.vocabulary.txt", "news.late.mp4", "film.mp4", "film.txt"):
        storage.write(storage.join(inbox, name), name.encode())
    listing = list_inbox(inbox)
    arrivals = {
        n: make_arrival(found, inbox, listing.vocabulary_of(found))
        for n, found in zip(names(listing.media), listing.media, strict=True)
    }
    assert {n: storage.name_of(a.vocabulary) if a.vocabulary else "" for n, a in arrivals.items()} == {
        "news.mp4": "news.vocabulary.txt",
        "news.late.mp4": "",
        "film.mp4": "",
    }
    # A changed list makes a new arrival: the programme is transcribed again.
    storage.write(storage.join(inbox, "news.vocabulary.txt"), b"David Ellis")
    listing = list_inbox(inbox)
    (news,) = [found for found in listing.media if found.uri.endswith("/news.mp4")]
    assert make_arrival(news, inbox, listing.vocabulary_of(news)).id != arrivals["news.mp4"].id


def test_the_channels_list_of_words_is_in_the_inbox_and_not_behind_a_link(tmp_path: Path) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    assert channel_vocabulary(inbox.as_uri()) is None
    (tmp_path / "secret").write_text("secret")
    (inbox / "_vocabulary.txt").symlink_to(tmp_path / "secret")
    assert channel_vocabulary(inbox.as_uri()) is None
    (inbox / "_vocabulary.txt").unlink()
    (inbox / "_vocabulary.txt").write_text("Vigo")
    assert channel_vocabulary(inbox.as_uri()) == storage.info((inbox / "_vocabulary.txt").as_uri())
    assert list_inbox(inbox.as_uri()).media == []


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_a_list_of_words_is_found_in_either_form_of_its_letters(storage_root: str, forms: tuple[str, str]) -> None:
    inbox = storage.join(storage_root, "inbox")
    media, words = (unicodedata.normalize(form, "Günün Özeti") for form in forms)
    paths = [
        storage.join(inbox, storage.quoted_name(name, inbox)) for name in (f"{media}.MP4", f"{words}.vocabulary.txt")
    ]
    for path in paths:
        storage.write(path, b"x")
    for listing in (list_inbox(inbox), list_announced(paths, inbox)):
        (found,) = listing.media
        vocabulary = listing.vocabulary_of(found)
        assert vocabulary is not None
        assert vocabulary.uri == paths[1]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("news.mp4", "news"),
        ("2026-11-22/News at Ten.mxf", "2026-11-22-News-at-Ten"),
        ("новости дня.mp3", "новости-дня"),
        ("../../etc/passwd", "etc-passwd"),
        ("_quarantine.wav", "quarantine"),
        ("....wav", "programme"),
        ("a%2Fb.wav", "a-2Fb"),
        ("x\ny.wav", "x-y"),
        ("talk.v2.final.mp4", "talk.v2.final"),
        ("manifest.mp4", "programme-manifest"),
        ("Manifest.wav", "programme-manifest"),
        ("monday/manifest.mp4", "monday-manifest"),
    ],
)
def test_programme_names(path: str, name: str) -> None:
    assert programme_name(f"s3://bucket/inbox/{path}", "s3://bucket/inbox/") == name


def test_a_name_that_is_not_valid_text(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    path.write_bytes(b"x")
    (found,) = list_inbox(tmp_path.as_uri()).media
    assert make_arrival(found, tmp_path.as_uri()).programme == "caf"


@given(st.text(min_size=1, max_size=200))
def test_every_name_is_safe(text: str) -> None:
    name = programme_name(f"s3://bucket/inbox/{text}", "s3://bucket/inbox")
    assert name
    assert not name.startswith((".", "_", "-"))
    assert "/" not in name
    assert len(name.encode()) <= 100


def test_files_being_uploaded_are_separated_from_complete_ones(tmp_path: Path) -> None:
    grown, growing, old, unfinished = (tmp_path / name for name in ("a.wav", "b.wav", "c.wav", "d.wav.part"))
    for path in (grown, growing, old, unfinished):
        path.write_bytes(b"first")
    os.utime(old, (1, 1))
    stop = threading.Event()

    def upload() -> None:
        with growing.open("ab") as file:
            while not stop.wait(0.05):
                file.write(b"more")
                file.flush()

    uploader = threading.Thread(target=upload)
    uploader.start()
    try:
        settled, waiting = wait_for_uploads(list_inbox(tmp_path.as_uri()).media, settle_s=0.4)
    finally:
        stop.set()
        uploader.join()
    assert names(settled) == ["a.wav", "c.wav"]
    assert sorted(names(waiting)) == ["b.wav", "d.wav.part"]


def test_complete_files_need_no_wait(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"x")
    os.utime(path, (1, 1))
    started = time.monotonic()
    settled, waiting = wait_for_uploads(list_inbox(tmp_path.as_uri()).media, settle_s=600)
    assert (len(settled), waiting) == (1, [])
    assert time.monotonic() - started < 60


def test_a_file_that_vanishes_during_the_wait_counts_as_uploading(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"x")
    found = list_inbox(tmp_path.as_uri()).media
    path.unlink()
    assert wait_for_uploads(found, settle_s=0.1) == ([], found)
