"""What an editor may send, and what is refused with a reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tasks.transcripts.reviews.draft import DraftRejected, parse_draft


def body(text: str = "hello", name: str = "Ana", **changes: Any) -> bytes:
    segment = {"speaker": "S1", "start_ms": 0, "end_ms": 900, "words": [[text, None, None]]}
    document = {
        "based_on": {"transcript_sha256": "0" * 64, "review": None},
        "finished": False,
        "speakers": [{"id": "S1", "name": name}],
        "segments": [segment],
    }
    return json.dumps(document | changes).encode()


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "&lt;", "O’Neill", "日本語", "{{7*7}}", "مرحبا"])
def test_hostile_text_stays_text(text: str) -> None:
    draft = parse_draft(body(text, name=text))
    assert draft.segments[0].words[0].text == text
    assert draft.speakers[0].name == text


@pytest.mark.parametrize("text", ["a\x00b", "a\x1bb", "\u202eevil", "x\ufffe"])
@pytest.mark.parametrize("field", ["text", "name"])
def test_control_characters_are_refused(text: str, field: str) -> None:
    with pytest.raises(DraftRejected, match=r"(words\.0|speakers\.0).*contains U\+"):
        parse_draft(body(**{field: text}))


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(DraftRejected, match="surrogate"):
        parse_draft(body().replace(b"hello", rb"\ud800"))


def segment(*words: list[Any], speaker: str | None = None) -> dict[str, Any]:
    return {"speaker": speaker, "start_ms": 0, "end_ms": 900, "words": words}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"segments": [segment(["a", 0, None])]}, "has one time"),
        ({"segments": [segment(["a", 9, 5])]}, "starts at 9 ms and ends earlier"),
        ({"segments": [segment(["a", 500, 600], ["b", 0, 100])]}, "'b' at 0 ms starts or ends before"),
        ({"segments": [segment(["a", 0, 1], speaker="S9")]}, "S9, speaker of the segment at 0 ms, is not listed"),
        ({"segments": [segment(["a", 0.5, 1])]}, "valid integer"),
        ({"segments": [segment(["a" * 201, 0, 1])]}, "at most 200 characters"),
        ({"speakers": [{"id": "S1"}, {"id": "S1"}]}, "two speakers have the same id"),
        ({"speakers": [{"id": "S 1"}]}, "should match pattern"),
        ({"surprise": 1}, "surprise: Extra inputs"),
    ],
)
def test_a_draft_that_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DraftRejected, match=message):
        parse_draft(body(**changes))


def test_a_draft_that_is_too_large_is_refused() -> None:
    with pytest.raises(DraftRejected, match="bytes are more than"):
        parse_draft(b" " * 32_000_001)
