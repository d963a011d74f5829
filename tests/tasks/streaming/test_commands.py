"""The commands `announce` and `stream`."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from tasks import kafka as streaming_kafka
from tasks.contract import Misconfigured
from tasks.streaming.announce import main as announce
from tasks.streaming.command import main as stream
from tasks.streaming.components import prepare
from tests.tasks.streaming.conftest import read_topic

pytestmark = pytest.mark.timeout(120)


def test_media_are_announced(kafka: str, tmp_path: Path) -> None:
    medium = tmp_path / "evening news.mp4"
    medium.write_bytes(b"x" * 7)
    programme = f"news-{uuid.uuid4().hex[:8]}"
    uri = medium.as_uri()
    assert announce([f"--media={uri}", f"--programme={programme}", "--metadata=channel=one"]) == 0
    (event,) = read_topic("media.arrived", programme, bool, 30)
    assert (event["uri"], event["n_bytes"], event["metadata"]) == (uri, 7, {"channel": "one"})


def test_invalid_arguments_and_settings_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AIRSCRIPT_KAFKA", raising=False)
    for argv in (["nobody"], ["feed", "--input=x.wav", "--session=Not A Name"], ["recognise", "--unknown=1"]):
        with pytest.raises(Misconfigured):
            stream(argv)
    with pytest.raises(Misconfigured, match="AIRSCRIPT_KAFKA"):
        streaming_kafka.producer()
    monkeypatch.setenv("AIRSCRIPT_KAFKA", "127.0.0.1:1")
    (tmp_path / "broken.json").write_text("{")
    monkeypatch.setenv("AIRSCRIPT_KAFKA_CONFIG", str(tmp_path / "broken.json"))
    with pytest.raises(Misconfigured, match="broken"):
        streaming_kafka.producer()
    assert json.loads(prepare.PrepareSession("s").save())["session"] == "s"
