"""Reviews are saved once, in order, with every format; the machine's transcript and nobody's words are lost."""

from __future__ import annotations

import json

import pytest

from tasks import storage
from tasks.contract import InputRejected, Reason
from tasks.contract.events import TranscriptReviewed
from tasks.desk.programmes import downloads, load_programme
from tasks.desk.review_log import latest_reviews, read_review_log
from tasks.desk.reviews import ReviewConflict, complete_reviews, reviews, save_review
from tasks.publishing.transcripts import is_complete
from tasks.transcripts.reviews.draft import BasedOn, DraftRejected, DraftSpeaker
from tests.tasks.desk.conftest import KEY, PROGRAMME
from tests.tasks.desk.drafts import draft_of

PLACE = f"{PROGRAMME}/{KEY[:12]}"


def folder_bytes(transcripts: str) -> dict[str, bytes]:
    return {found.uri: storage.read_bytes(found.uri) for found in storage.list_objects(transcripts)}


def test_a_review_is_published_in_every_format_beside_the_machine_s(transcripts: str) -> None:
    before = folder_bytes(transcripts)
    programme = load_programme(transcripts, PLACE)
    named = (DraftSpeaker(id="S1", name="Ana <b>Pérez</b>"), DraftSpeaker(id="S2"))
    saved = save_review(transcripts, PLACE, draft_of(programme, {"their": "our"}, speakers=named, finished=True), "ana")
    assert is_complete(saved.manifest)
    after = folder_bytes(transcripts)
    assert {uri: after[uri] for uri in before} == before, "the machine's files never change"
    shown = load_programme(transcripts, PLACE)
    assert shown.machine == programme.machine
    assert shown.shown.text == "Good evening from our newsroom. It is a fine day."
    typed = [word for word in shown.shown.words if word.confidence is None]
    assert [(word.text, word.start_ms, word.end_ms) for word in typed] == [("our", 900, 1200)]
    listed = downloads(transcripts, PLACE)
    assert [file.name for file in listed.reviewed] == [file.name for file in listed.machine]
    texts = {file.name: storage.read_bytes(file.uri).decode(errors="replace") for file in listed.reviewed}
    assert "our newsroom" in texts[f"{PROGRAMME}.srt"]
    assert "Ana &lt;b&gt;Pérez" in texts[f"{PROGRAMME}.ttml"]
    stamp = json.loads(storage.read_bytes(saved.manifest))["review"]
    assert (stamp["number"], stamp["author"], stamp["finished"]) == (1, "ana", True)


def test_each_review_has_a_line_and_an_event(transcripts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[TranscriptReviewed] = []
    monkeypatch.setattr("tasks.kafka.publish", lambda *events: sent.extend(events))
    save_review(transcripts, PLACE, draft_of(load_programme(transcripts, PLACE), {"their": "our"}), "ana")
    save_review(transcripts, PLACE, draft_of(load_programme(transcripts, PLACE), {"fine": "grey"}), "ben")
    lines = list(read_review_log(transcripts))
    assert [(line.number, line.author, line.errors.errors, line.errors.length) for line in lines] == [
        (1, "ana", 1, 10),
        (2, "ben", 2, 10),
    ]
    assert {name: counts.errors for name, counts in lines[1].by_speaker.items()} == {"S1": 1, "S2": 1}
    assert latest_reviews(transcripts)[PLACE] == lines[1]
    assert [(event.TOPIC, event.key, event.review) for event in sent] == [
        ("transcript.reviewed", PROGRAMME, 1),
        ("transcript.reviewed", PROGRAMME, 2),
    ]


def test_the_second_of_two_editors_gets_both_versions_and_can_save_the_merged_one(transcripts: str) -> None:
    opened = load_programme(transcripts, PLACE)
    save_review(transcripts, PLACE, draft_of(opened, {"their": "our"}), "ana")
    mine = draft_of(opened, {"fine": "grey"})
    with pytest.raises(ReviewConflict, match="ana saved review 1") as conflict:
        save_review(transcripts, PLACE, mine, "ben")
    assert [w.text for w in conflict.value.theirs.words][3] == "our"
    assert [w.text for w in conflict.value.yours.words][8] == "grey"
    assert conflict.value.base is None
    assert reviews(transcripts, PLACE) == (1,)
    merged = draft_of(load_programme(transcripts, PLACE), {"fine": "grey"})
    save_review(transcripts, PLACE, merged, "ben")
    assert load_programme(transcripts, PLACE).shown.text == "Good evening from our newsroom. It is a grey day."


def test_the_same_draft_sent_twice_is_saved_once(transcripts: str) -> None:
    draft = draft_of(load_programme(transcripts, PLACE), {"their": "our"})
    first = save_review(transcripts, PLACE, draft, "ana")
    assert save_review(transcripts, PLACE, draft, "ana").review == first.review
    assert reviews(transcripts, PLACE) == (1,)
    assert len(list(read_review_log(transcripts))) == 1


def test_a_save_that_was_cut_short_is_completed(transcripts: str) -> None:
    saved = save_review(transcripts, PLACE, draft_of(load_programme(transcripts, PLACE), {"their": "our"}), "ana")
    for uri in folder_bytes(transcripts):
        if "/0001/" in uri or "/_reviews/" in uri:
            storage.delete(uri)
    assert downloads(transcripts, PLACE).reviewed == ()
    (again,) = complete_reviews(transcripts, PLACE)
    assert (again.review, again.line) == (saved.review, saved.line)
    assert is_complete(saved.manifest)
    assert complete_reviews(transcripts, PLACE) == ()


def test_a_draft_of_another_transcript_is_refused(transcripts: str) -> None:
    draft = draft_of(load_programme(transcripts, PLACE), based_on=BasedOn(transcript_sha256="0" * 64))
    with pytest.raises(DraftRejected, match="another transcript"):
        save_review(transcripts, PLACE, draft, "ana")


@pytest.mark.parametrize(
    "key", ["../../etc/passwd", "_reviews/abcdefabcdef", "news", "a/b/abcdefabcdef", ".x/abcdefabcdef"]
)
def test_a_key_leads_nowhere_else(transcripts: str, key: str) -> None:
    with pytest.raises(InputRejected) as error:
        load_programme(transcripts, key)
    assert error.value.reason is Reason.NOT_FOUND


def test_everything_may_be_deleted(transcripts: str) -> None:
    draft = draft_of(load_programme(transcripts, PLACE), segments=())
    save_review(transcripts, PLACE, draft, "ana")
    shown = load_programme(transcripts, PLACE).shown
    assert (shown.text, shown.segments) == ("", ())
