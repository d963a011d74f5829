"""Live captions through worker processes that are killed and rebalanced, with duplicate blocks, on a real broker."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks import kafka as streaming_kafka
from tasks.contract.events import CaptionFinal, CaptionPartial, TranscriptPublished
from tasks.streaming.runtime.messages import AudioBlock
from tests.tasks.streaming.conftest import Workers, blocks_of, read_topic

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

COMPONENTS = ("prepare", "features", "diarize", "recognise", "captions")
WAIT_S = 240.0  # a worker imports for two minutes where three programs share a core


def send(blocks: list[AudioBlock], every_s: float = 0.0) -> None:
    client = streaming_kafka.producer()
    for block in blocks:
        streaming_kafka.send(client, block.TOPIC, block.session, block.to_bytes())
        time.sleep(every_s)
    assert not client.flush(30)


def ended(found: list[dict[str, Any]]) -> bool:
    return bool(found)


def committed(session: str) -> list[dict[str, Any]]:
    """Return the final captions in sequence; repeats must be equal."""
    published = read_topic(TranscriptPublished.TOPIC, session, ended, WAIT_S)
    assert published, "the session did not end"
    last = time.monotonic()
    found = read_topic(CaptionFinal.TOPIC, session, lambda _: time.monotonic() > last + 3, 10)
    by_sequence: dict[int, dict[str, Any]] = {}
    for caption in found:
        known = by_sequence.setdefault(caption["sequence"], caption)
        assert known == caption, "a committed caption changed"
    assert sorted(by_sequence) == list(range(len(by_sequence)))
    return [by_sequence[number] for number in sorted(by_sequence)]


def texts(captions: list[dict[str, Any]]) -> list[str]:
    return [caption["text"] for caption in captions]


def expected(through: Callable[..., list[Any]], blocks: list[AudioBlock]) -> list[str]:
    return [event.text for event in through(blocks) if isinstance(event, CaptionFinal)]


def test_every_worker_is_killed_once(
    kafka: str, workers: Workers, through: Callable[..., list[Any]], spoken: tuple[np.ndarray, int], session_name: str
) -> None:
    """Blocks are duplicated, too: each piece begins with the last block of the previous one."""
    chance = random.Random(1)
    blocks = blocks_of(*spoken, session=session_name)
    for process in [workers.running_one(name) for name in COMPONENTS]:
        workers.wait_for(process)
    victims = list(COMPONENTS)
    chance.shuffle(victims)
    pieces = np.array_split(np.arange(len(blocks)), len(victims) + 1)
    for piece, victim in zip(pieces, [*victims, None], strict=True):
        send([blocks[max(0, piece[0] - 1)], *(blocks[i] for i in piece)], every_s=0.1)
        if victim:
            process = next(p for name, p in workers.running if name == victim and p.poll() is None)
            process.kill()
            workers.start(victim)
    try:
        assert texts(committed(session_name)) == expected(through, blocks)
    except AssertionError:
        print(workers.logs())
        raise
    (manifest,) = Path(workers.folder).glob(f"transcripts/{session_name}/*/manifest.json")
    assert (manifest.parent / f"{session_name}.vtt").exists()
    playlist = (workers.folder / "live" / session_name / "captions.m3u8").read_text()
    assert playlist.endswith("#EXT-X-ENDLIST\n")
    assert read_topic(CaptionPartial.TOPIC, session_name, ended, 10)


def test_a_rebalance_in_mid_utterance(
    kafka: str, workers: Workers, through: Callable[..., list[Any]], spoken: tuple[np.ndarray, int], session_name: str
) -> None:
    """Two more recognisers join during an utterance, and the first one leaves."""
    blocks = blocks_of(*spoken, session=session_name)
    first = {name: workers.running_one(name) for name in COMPONENTS}["recognise"]
    workers.wait_for(first)
    send(blocks[:25], every_s=0.1)
    others = [workers.start("recognise"), workers.start("recognise")]
    send(blocks[25:40], every_s=0.3)
    for other in others:
        workers.wait_for(other)
    first.terminate()
    send(blocks[40:])
    try:
        assert texts(committed(session_name)) == expected(through, blocks)
    except AssertionError:
        print(workers.logs())
        raise
    assert first.wait(10) == 0
