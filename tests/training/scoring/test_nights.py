import json
from pathlib import Path

import pytest

from tests.tasks.transcripts.builders import speak, transcript
from training.scoring.nights import score_night


@pytest.fixture
def night(tmp_path: Path) -> Path:
    """References for three programmes and a folder for nights."""
    references = tmp_path / "references"
    references.mkdir()
    (references / "news.txt").write_text("Good evening. It's ten o'clock.\n")
    (references / "weather.txt").write_text("rain and wind\n")
    (references / "music.txt").write_text("\n")
    (references / "news.json").write_text("{}")
    return tmp_path


def index(folder: Path, name: str, **texts: tuple[str, str]) -> str:
    """A night's index: for each programme a model and what it made of it."""
    rows = []
    for programme, (model, text) in texts.items():
        path = folder / f"{name}-{programme}.txt"
        path.write_text(text)
        rows.append({"programme": programme, "model": model, "text": path.as_uri(), "words": 7})
    rows.append({"programme": "broken", "outcome": "quarantined"})
    file = folder / f"{name}.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file.as_uri()


def test_every_word_weighs_alike_and_missing_programmes_count(night: Path) -> None:
    uri = index(night, "one", news=("m/1", "good evening it's nine o'clock"), music=("m/1", "uh"))
    found = score_night([uri], night / "references")
    scores = {score.programme: score for score in found.programmes}
    assert set(scores) == {"news", "weather", "music"}
    assert scores["news"].wer == pytest.approx(1 / 5)
    assert (scores["weather"].wer, scores["weather"].transcribed) == (1.0, False)
    assert (scores["music"].wer, scores["music"].insertions) == (None, 1)
    assert (found.errors, found.reference_words) == (1 + 3 + 1, 8)
    assert found.wer == pytest.approx(5 / 8)


def test_ways_of_writing_english_may_be_no_errors(night: Path) -> None:
    uri = index(night, "one", news=("m/1", "Good evening. It is 10 o'clock."))
    for is_english, errors in ((False, 3), (True, 0)):
        found = score_night([uri], night / "references", is_english=is_english)
        assert {s.programme: s.errors for s in found.programmes}["news"] == errors


def test_the_last_row_of_the_wanted_model_counts(night: Path) -> None:
    first = index(night, "one", news=("m/1", "wrong"), weather=("m/1", "rain and wind"))
    second = index(night, "two", news=("m/2", "good evening it's ten o'clock"))

    def rate(model: str, *uris: str) -> float:
        (news,) = (s for s in score_night(uris, night / "references", model).programmes if s.programme == "news")
        assert news.wer is not None
        return news.wer

    assert rate("m/2", first, second) == 0
    assert rate("m/1", first, second) == 1
    assert rate("", first, second) == 0
    assert rate("", second, first) == 1


def test_words_at_the_wrong_speaker(night: Path) -> None:
    lines = [
        {"speaker": "anchor", "text": "Good evening.", "start_ms": 0},
        {"speaker": "guest", "text": "It's ten o'clock.", "start_ms": 900},
    ]
    (night / "references" / "news.json").write_text(json.dumps({"programme": "news", "lines": lines}))
    uri = index(night, "one", news=("m/1", "good evening it's ten o'clock"))

    def rate(first: str, second: str | None, diarizer: str | None = "a test") -> float | None:
        words = [*speak("good evening it's", first), *speak("ten o'clock", second, start_ms=900)]
        made = transcript(words)
        provenance = made.provenance.model_copy(update={"diarizer": diarizer})
        (night / "one-news.json").write_bytes(made.model_copy(update={"provenance": provenance}).to_bytes())
        (news,) = (s for s in score_night([uri], night / "references").programmes if s.programme == "news")
        assert news.wer == 0
        return news.cpwer

    assert rate("S1", "S2") == pytest.approx(2 / 5)  # one word is too much here and missing there
    assert rate("S1", "S1") == pytest.approx(4 / 5)  # everything at the guest: two are too much, and two are missing
    assert rate("S1", "S2", diarizer=None) is None
