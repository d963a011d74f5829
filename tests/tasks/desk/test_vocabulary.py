"""Words that people typed are offered for the channel's vocabulary, and accepted into its list."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks import storage
from tasks.desk.programmes import load_programme
from tasks.desk.reviews import save_review
from tasks.desk.vocabulary import accept, read_channel_vocabulary, suggest, suggest_from
from tasks.transcripts.reviews.draft import DraftRejected
from tests.tasks.desk.conftest import KEY, PROGRAMME
from tests.tasks.desk.drafts import draft_of
from tests.tasks.transcripts.builders import speak, transcript

PLACE = f"{PROGRAMME}/{KEY[:12]}"


def offered(*pairs: tuple[str, str], vocabulary: tuple[str, ...] = ()) -> list[tuple[str, int]]:
    programmes = [
        (f"p{number}", transcript(speak(machine)), transcript(speak(person)))
        for number, (machine, person) in enumerate(pairs)
    ]
    return [(one.phrase, one.count) for one in suggest_from(programmes, vocabulary)]


def test_a_name_of_two_words_is_offered_once_with_how_often() -> None:
    pair = ("Here is knee uhlen in the studio.", "Here is Niamh Ó’Dálaigh, in the studio.")
    assert offered(pair, pair) == [("Niamh Ó’Dálaigh", 2)]


def test_words_that_a_recogniser_knows_are_not_offered() -> None:
    assert offered(("their news", "there news"), ("there it is", "there it is")) == []


def test_what_the_vocabulary_has_is_not_offered_again() -> None:
    assert offered(("about vigor", "about Vigo"), vocabulary=("vigo",)) == []


def test_a_suggestion_says_where_it_was_said_and_is_gone_when_accepted(transcripts: str, tmp_path: Path) -> None:
    inbox = storage.file_uri(tmp_path / "inbox")
    draft = draft_of(load_programme(transcripts, PLACE), {"their": "Ardmore"})
    save_review(transcripts, PLACE, draft, "ana")
    (found,) = suggest(transcripts, inbox)
    (at,) = found.places
    assert (found.phrase, found.count, at.key, at.start_ms, at.machine) == ("Ardmore", 1, PLACE, 900, "their")
    assert accept(inbox, "Ardmore") == ("Ardmore",)
    assert suggest(transcripts, inbox) == ()


def test_accepted_words_are_added_below_what_people_wrote_themselves(tmp_path: Path) -> None:
    inbox = storage.file_uri(tmp_path)
    (tmp_path / "_vocabulary.txt").write_text("# the channel's\nVigo # a town")
    accept(inbox, "  Ardmore   Bay ")
    accept(inbox, "Vigo")
    assert (tmp_path / "_vocabulary.txt").read_text() == "# the channel's\nVigo # a town\nArdmore Bay\n"
    assert read_channel_vocabulary(inbox) == ("Vigo", "Ardmore Bay")


@pytest.mark.parametrize("phrase", ["", "...", "x" * 61, "a # b", "a\x00b", "\ud800a"])
def test_what_is_no_word_is_refused(tmp_path: Path, phrase: str) -> None:
    with pytest.raises(DraftRejected):
        accept(storage.file_uri(tmp_path), phrase)
