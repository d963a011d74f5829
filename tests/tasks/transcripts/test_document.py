from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from tasks.transcripts.document import Coverage, Media, Segment, Speaker, Transcript, Word
from tasks.transcripts.schema import REVIEW_SCHEMA_FILE, SCHEMA_FILE, review_schema_bytes, schema_bytes
from tests.tasks.transcripts.builders import speak, transcript, transcripts, word


@pytest.mark.parametrize(
    ("file", "made"),
    [(SCHEMA_FILE, schema_bytes), (REVIEW_SCHEMA_FILE, review_schema_bytes)],
    ids=["transcript", "review"],
)
def test_the_committed_schema_matches_the_model(file, made):
    assert file.read_bytes() == made(), "run python -m tasks.transcripts.schema"
    Draft202012Validator.check_schema(json.loads(made()))


@given(transcripts())
def test_documents_are_canonical_and_valid(document: Transcript):
    data = document.to_bytes()
    Draft202012Validator(json.loads(SCHEMA_FILE.read_bytes())).validate(json.loads(data))
    again = Transcript.from_bytes(data)
    assert again == document
    assert again.to_bytes() == data
    assert json.dumps(json.loads(data), ensure_ascii=False, separators=(",", ":")).encode() + b"\n" == data


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema_version",), 4),
        (("suspect_passages",), [{"start_ms": 0, "end_ms": 1, "reasons": []}]),
        (("language",), "English"),
        (("media", "sha256"), "abc"),
        (("media", "duration_ms"), 1.5),
        (("media", "start_timecode"), "25:00:00:00"),
        (("segments", 0, "words", 0, "timing"), "guess"),
        (("segments", 0, "words", 0, "confidence"), 1.01),
        (("segments", 0, "words", 0, "text"), " \n"),
        (("segments", 0, "words", 0, "start_ms"), -1),
        (("segments", 0, "words"), []),
        (("segments", 0, "mood"), "good"),
        (("speakers", 0, "id"), "no spaces"),
    ],
)
def test_model_and_schema_reject_alike(path: tuple[str | int, ...], value: object):
    document = json.loads(transcript(speak("Good evening.", "anna")).to_bytes())
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert not Draft202012Validator(json.loads(SCHEMA_FILE.read_bytes())).is_valid(document)
    with pytest.raises(ValidationError):
        Transcript.from_bytes(json.dumps(document).encode())


def test_documents_of_older_versions_are_read():
    document = transcript(speak("Good evening.", "anna"))
    older = json.loads(document.to_bytes()) | {"schema_version": 2}
    del older["language_passages"]
    assert Transcript.from_bytes(json.dumps(older).encode()) == document
    older["schema_version"] = 1
    del older["suspect_passages"], older["coverage"]["suspect_ms"]
    assert Transcript.from_bytes(json.dumps(older).encode()) == document


def test_the_language_of_a_moment_is_that_of_its_passage():
    passages = [{"start_ms": s, "end_ms": e, "language": name} for s, e, name in [(100, 300, "de"), (300, 600, "en")]]
    document = json.loads(transcript(speak("Good evening.", "anna")).to_bytes()) | {"language_passages": passages}
    found = Transcript.from_bytes(json.dumps(document).encode())
    assert [found.language_at(ms) for ms in (0, 100, 299, 300, 900)] == [found.language, "de", "de", "en", "en"]


@pytest.mark.parametrize("spans", [[(0, 700)], [(300, 200)], [(200, 300), (100, 150)]])
def test_suspect_passages_lie_in_the_media_in_order(spans: list[tuple[int, int]]):
    document = json.loads(transcript(speak("Good evening.", "anna")).to_bytes())
    document["suspect_passages"] = [{"start_ms": s, "end_ms": e, "reasons": ["repeated_words"]} for s, e in spans]
    with pytest.raises(ValidationError, match="out of order or outside the media"):
        Transcript.from_bytes(json.dumps(document).encode())


def segment(*words: Word, start_ms: int = 0, end_ms: int = 1_000, speaker: str | None = "anna") -> Segment:
    return Segment(start_ms=start_ms, end_ms=end_ms, speaker=speaker, suspect=False, words=words)


def test_a_word_cannot_end_before_it_starts():
    with pytest.raises(ValidationError, match="starts at 20 ms and ends earlier"):
        word("news", 20, 10)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((word("b", 200, 300), word("a", 100, 300)), "before its predecessor"),
        ((word("b", 200, 300), word("a", 200, 250)), "before its predecessor"),
        ((word("late", 900, 1_001),), "after its segment"),
        ((word("his", 0, 10, "ben"),), "ben's in a segment of anna"),
    ],
)
def test_words_fit_their_segment(words: tuple[Word, ...], reason: str):
    with pytest.raises(ValidationError, match=reason):
        segment(*words)


@pytest.mark.parametrize(
    ("segments", "speakers", "reason"),
    [
        ((segment(word("a", 0, 10)),), (), "is not listed"),
        ((segment(word("a", 0, 10)),), ("anna", "anna"), "same id"),
        ((segment(word("a", 0, 10), end_ms=9_999),), ("anna",), "the media at 5000"),
        ((segment(word("a", 500, 600), start_ms=500), segment(word("b", 0, 10))), ("anna",), "before its predecessor"),
        ((segment(word("a", 500, 600)), segment(word("b", 400, 700))), ("anna",), "before its predecessor"),
    ],
)
def test_segments_fit_their_transcript(segments: tuple[Segment, ...], speakers: tuple[str, ...], reason: str):
    sound = transcript(speak("Good evening."), duration_ms=5_000)
    with pytest.raises(ValidationError, match=reason):
        Transcript(**dict(sound) | {"segments": segments, "speakers": tuple(Speaker(id=name) for name in speakers)})


def test_coverage_is_of_speech():
    with pytest.raises(ValidationError, match="only 10 ms"):
        Coverage(speech_ms=10, covered_ms=11, redecoded_ms=0)


def test_documents_are_immutable():
    document = transcript(speak("Good evening."))
    with pytest.raises(ValidationError, match="frozen"):
        document.language = "de"
    with pytest.raises(ValidationError, match="frozen"):
        document.segments[0].words[0].text = "Bad"


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        (" Hello", "Hello"),
        ("two\r\nlines\u2028here", "two lines here"),
        ("10\u00a0000", "10 000"),
        ("a\x00b\x07\ufeff", "ab"),
        ("\u202eover\u202cride", "override"),
        ("\ud800lone", "lone"),
        ("👨‍👩‍👧", "👨‍👩‍👧"),
        ("می‌خواهم", "می‌خواهم"),
    ],
)
def test_text_is_cleaned_once_for_every_format(dirty: str, clean: str):
    assert word(dirty, 0, 1).text == clean


def test_minus_zero_is_zero():
    assert b'"confidence":0.0' in transcript([word("a", 0, 1, confidence=-0.0)]).to_bytes()


@pytest.mark.parametrize(
    ("uri", "name", "token"),
    [
        ("s3://bucket/in/Evening News.2026-03-01.mxf", "Evening News.2026-03-01", "Evening_News_2026-03-01"),
        ("file:///in/%C3%89t%C3%A9%20%231.mp4", "Été #1", "Été_1"),
        ("s3://bucket/What now?.mp3", "What now?", "What_now_"),
        ("/", "programme", "programme"),
    ],
)
def test_names_come_from_the_uri(uri: str, name: str, token: str):
    media = Media(uri=uri, sha256="0" * 64, duration_ms=0)
    assert (media.name, media.token) == (name, token)


def test_importing_transcripts_is_light():
    program = (
        "import sys, tasks.transcripts.formats, tasks.transcripts.merging;"
        "print(*(m for m in ('numpy','torch','ttconv','pysubs2','lxml','structlog','obstore') if m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout == "\n"
