"""Words that people typed are offered for the channel's vocabulary, and accepted into its list."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks import storage
from tasks.desk.index import latest_lines, rebuild, refresh, suggest
from tasks.desk.index.reviewed import Learned, keep
from tasks.desk.index.schema import new_index
from tasks.desk.programmes import load_programme
from tasks.desk.review_log import ReviewLine
from tasks.desk.reviews import save_review
from tasks.desk.vocabulary import accept, read_channel_vocabulary, typed_in, words_of
from tasks.transcripts.error_counts import ErrorCounts
from tasks.transcripts.reviews.draft import DraftRejected
from tests.tasks.desk.conftest import KEY, PROGRAMME
from tests.tasks.desk.drafts import draft_of
from tests.tasks.transcripts.builders import speak, transcript

PLACE = f"{PROGRAMME}/{KEY[:12]}"


class Offers:
    """What is offered of programmes in an index, each given as the machine's words and a person's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, *pairs: tuple[str, str], vocabulary: tuple[str, ...] = ()) -> list[tuple[str, int]]:
        with new_index(self._folder) as index:
            for number, (machine, person) in enumerate(pairs):
                key, heard = f"p{number}/{number:012x}", transcript(speak(machine))
                typed = tuple(typed_in(key, heard, transcript(speak(person))))
                keep(index, Learned(line(key), words_of(heard), typed))
        return [(one.phrase, one.count) for one in suggest(self._folder, vocabulary)]


def line(key: str, number: int = 1) -> ReviewLine:
    """A line of the log of reviews."""
    return ReviewLine(
        programme=key.partition("/")[0],
        key=key,
        number=number,
        author="ana",
        created_at=datetime(2026, 3, 24, tzinfo=UTC),
        media="file:///inbox/news/p.mp4",
        media_sha256="ab" * 32,
        transcript="file:///transcripts",
        model="3",
        errors=ErrorCounts(),
    )


@pytest.fixture
def offered(tmp_path: Path) -> Offers:
    return Offers(tmp_path)


def test_a_name_of_two_words_is_offered_once_with_how_often(offered: Offers) -> None:
    pair = ("Here is knee uhlen in the studio.", "Here is Niamh Ó’Dálaigh, in the studio.")
    assert offered(pair, pair) == [("Niamh Ó’Dálaigh", 2)]


def test_words_that_a_recogniser_knows_are_not_offered(offered: Offers) -> None:
    their, there = ("their news", "there news"), ("there it is", "there it is")
    assert offered(their, there) == offered(there, their) == []
    names = ("knee uhlen", "Niamh Daly")
    assert offered(names, ("niamh", "niamh")) == [("Niamh Daly", 1)]
    assert offered(names, ("niamh", "niamh"), ("a daly paper", "a daily paper")) == [("daily", 1)]


def test_what_the_vocabulary_has_is_not_offered_again(offered: Offers) -> None:
    assert offered(("about vigor", "about Vigo"), vocabulary=("vigo",)) == []


def test_a_later_review_takes_the_place_of_the_earlier(transcripts: str, tmp_path: Path) -> None:
    folder = tmp_path / "index"
    rebuild(transcripts, folder)
    for typed, words in (({"their": "Ardmore"}, ["Ardmore"]), ({"Ardmore": "their"}, [])):
        save_review(transcripts, PLACE, draft_of(load_programme(transcripts, PLACE), typed), "ana")
        refresh(transcripts, folder)
        assert [one.phrase for one in suggest(folder)] == words
    assert [one.number for one in latest_lines(folder)] == [2]


def test_a_suggestion_says_where_it_was_said_and_is_gone_when_accepted(transcripts: str, tmp_path: Path) -> None:
    inbox = storage.file_uri(tmp_path / "inbox")
    draft = draft_of(load_programme(transcripts, PLACE), {"their": "Ardmore"})
    save_review(transcripts, PLACE, draft, "ana")
    folder = tmp_path / "index"
    rebuild(transcripts, folder)
    (found,) = suggest(folder, read_channel_vocabulary(inbox))
    (at,) = found.places
    assert (found.phrase, found.count, at.key, at.start_ms, at.machine) == ("Ardmore", 1, PLACE, 900, "their")
    assert accept(inbox, "Ardmore") == ("Ardmore",)
    assert suggest(folder, read_channel_vocabulary(inbox)) == ()


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
