"""captions: a session name that is already in use; the language that the model has detected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from tasks.contract.events import CaptionFinal, TranscriptFailed, TranscriptPublished
from tasks.streaming.components.captions import CaptionsConfig
from tasks.streaming.components.captions import component as captions_component
from tasks.streaming.runtime.messages import (
    LiveSpan,
    LiveWord,
    LiveWords,
)
from tasks.transcripts.document import WordTiming
from tests.tasks.streaming.conftest import push_all


def test_a_session_name_in_use_is_refused_and_the_first_broadcast_stays(tmp_path: Path) -> None:
    component = captions_component(CaptionsConfig((tmp_path / "live").as_uri(), (tmp_path / "transcripts").as_uri()))

    def broadcast(text: str, digest: str) -> list[Any]:
        words = [
            LiveWords(
                session="s",
                sequence=number,
                start_ms=start_ms,
                end_ms=start_ms + 2_000,
                settled_ms=start_ms + 2_000,
                committed=(LiveWord(text=text, start_ms=start_ms, end_ms=start_ms + 500, confidence=0.9),),
                spoken=LiveSpan(start_ms=start_ms, end_ms=start_ms + 600),
                is_last=number == 1,
                model_version="m/1",
                digest=digest,
            )
            for number, start_ms in enumerate((0, 4_000))
        ]
        return push_all(component, words)

    def written() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    first = broadcast("yesterday", "a" * 64)
    assert isinstance(first[-1], TranscriptPublished)
    standing = written()
    with capture_logs() as lines:
        refused = broadcast("today", "b" * 64)[-1]
    assert isinstance(refused, TranscriptFailed)
    assert refused.reason == "duplicate"
    assert [line["event"] for line in lines] == ["session refused"]
    assert written() == standing
    assert broadcast("yesterday", "a" * 64)[-1].event_id == first[-1].event_id  # replayed after a crash


def test_captions_and_transcript_have_the_language_that_was_detected(tmp_path: Path) -> None:
    """Most words are Japanese, which has no spaces; the flag of the worker says English."""
    component = captions_component(CaptionsConfig((tmp_path / "live").as_uri(), (tmp_path / "transcripts").as_uri()))
    spoken = [("en", ["good", "evening"]), ("ja", ["こん", "ばん", "は"]), ("ja", ["では", "また"])]
    messages = [
        LiveWords(
            session="s",
            sequence=number,
            start_ms=3_000 * number,
            end_ms=3_000 * number + 2_000,
            settled_ms=3_000 * number + 2_000,
            committed=tuple(
                LiveWord(
                    text=text,
                    start_ms=3_000 * number + 300 * index,
                    end_ms=3_000 * number + 300 * index + 200,
                    confidence=0.9,
                    timing=WordTiming.ATTENTION,
                )
                for index, text in enumerate(texts)
            ),
            spoken=LiveSpan(start_ms=3_000 * number, end_ms=3_000 * number + 1_500),
            language=language,
            is_last=number == len(spoken) - 1,
            model_version="m/1",
            digest="c" * 64,
        )
        for number, (language, texts) in enumerate(spoken)
    ]
    events = push_all(component, messages)
    assert [event.text for event in events if isinstance(event, CaptionFinal)] == [
        "good evening",
        "こんばんは",
        "ではまた",
    ]
    published = events[-1]
    assert isinstance(published, TranscriptPublished)
    assert published.language == "ja"
