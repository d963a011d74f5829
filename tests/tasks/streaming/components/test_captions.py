"""captions: a session name that is already in use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from tasks.contract.events import TranscriptFailed, TranscriptPublished
from tasks.streaming.components.captions import CaptionsConfig
from tasks.streaming.components.captions import component as captions_component
from tasks.streaming.runtime.messages import (
    LiveSpan,
    LiveWord,
    LiveWords,
)
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
