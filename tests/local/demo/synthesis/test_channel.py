"""The channel: its plan, the files of a small one, and determinism."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import av
import pysubs2
import pytest

from local.demo.synthesis import channel
from local.demo.synthesis.channel import Channel, Slot, make_channel, plan
from local.demo.synthesis.grammar import Side
from local.demo.synthesis.media_file import Encoding
from local.demo.synthesis.script import Kind
from local.demo.synthesis.voices import CHANNEL_ACCENT, VoiceSet, variants

SMALL_ARCHIVE = (
    Slot("news", Kind.NEWS, 30, Encoding(".mp4", 44_100, 2), ".srt"),
    Slot("weather", Kind.WEATHER, 8, Encoding(".wav", 16_000, 1), ".vtt"),
    Slot("headlines", Kind.HEADLINES, 8, Encoding(".mp3", 44_100, 1), ".txt"),
)
SMALL_INBOX = (Slot("talk", Kind.TALK, 25, Encoding(".mp4", 48_000, 2), ""),)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Channel]:
    root = tmp_path_factory.mktemp("channel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(channel, "ARCHIVE_WEEK", SMALL_ARCHIVE)
        patch.setattr(channel, "INBOX_DAY", SMALL_INBOX)
        patch.setattr(channel, "INTERLUDE_SECONDS", 3.0)
        return root, _make(root)


def _make(root: Path, seed: int = 3) -> Channel:
    return make_channel(root / "archive", root / "inbox", root / "references", 0.7, seed, progress=lambda *_: None)


def test_archive_and_inbox_share_no_sentence_no_voice_and_no_day() -> None:
    archive, inbox = (plan(side, seed=1, archive_minutes=35) for side in Side)
    texts = [{line.text for _, script in side for line in script.lines} for side in (archive, inbox)]
    assert not texts[0] & texts[1]
    voices = [{voice.variant for _, script in side for voice in script.cast.values()} for side in (archive, inbox)]
    assert voices[0] <= set(variants(VoiceSet.CHANNEL_ARCHIVE))
    assert voices[1] <= set(variants(VoiceSet.CHANNEL_INBOX))
    assert {voice.accent for side in (archive, inbox) for _, s in side for voice in s.cast.values()} == {CHANNEL_ACCENT}
    days = [{script.name[:10] for _, script in side} for side in (archive, inbox)]
    assert max(days[0]) < min(days[1])
    names = [script.name for _, script in archive + inbox]
    assert len(set(names)) == len(names)


def test_most_words_of_the_inbox_occur_in_the_archive() -> None:
    words = []
    for side in Side:
        texts = (script.text for _, script in plan(side, seed=1, archive_minutes=35))
        words.append({word for text in texts for word in re.findall(r"[a-z']+", text.lower())})
    assert len(words[1] & words[0]) / len(words[1]) > 0.9


def test_talks_have_turns_and_every_programme_a_cast() -> None:
    for side in Side:
        for slot, script in plan(side, seed=1, archive_minutes=35):
            speakers = [line.speaker for line in script.lines]
            assert set(speakers) <= set(script.cast)
            if slot.kind is Kind.TALK:
                assert sum(a != b for a, b in pairwise(speakers)) >= 3
                assert 2 <= len(set(speakers)) <= 3


def test_the_plan_depends_on_the_seed_alone() -> None:
    assert plan(Side.INBOX, 1, 35) == plan(Side.INBOX, 1, 35)
    assert plan(Side.INBOX, 1, 35) != plan(Side.INBOX, 2, 35)


def test_each_programme_has_its_captions_and_the_inbox_has_none(made: tuple[Path, Channel]) -> None:
    root, _ = made
    assert sorted(path.name for path in (root / "archive").iterdir()) == [
        "2026-03-02_headlines.mp3",
        "2026-03-02_headlines.txt",
        "2026-03-02_news.mp4",
        "2026-03-02_news.srt",
        "2026-03-02_weather.vtt",
        "2026-03-02_weather.wav",
    ]
    assert sorted(path.name for path in (root / "inbox").iterdir()) == [
        "2026-03-23_interlude.mp3",
        "2026-03-23_late-film.mp4",
        "2026-03-23_talk.mp4",
    ]


@pytest.mark.parametrize(("name", "rate_hz", "n_channels"), [("news.mp4", 44_100, 2), ("weather.wav", 16_000, 1)])
def test_media_have_the_planned_format_and_length(
    made: tuple[Path, Channel], name: str, rate_hz: int, n_channels: int
) -> None:
    root, _ = made
    with av.open(str(root / "archive" / f"2026-03-02_{name}")) as container:
        stream = container.streams.audio[0]
        assert (stream.rate, stream.channels) == (rate_hz, n_channels)
        assert len(container.streams.video) == (1 if name.endswith(".mp4") else 0)
        n_samples = sum(frame.samples for frame in container.decode(stream))
    captions = root / "archive" / ("2026-03-02_news.srt" if name.endswith(".mp4") else "2026-03-02_weather.vtt")
    last_ms = max(cue.end for cue in pysubs2.load(str(captions)))
    assert 0 <= 1000 * n_samples / rate_hz - last_ms < 1500


def test_cues_are_in_order_and_do_not_overlap(made: tuple[Path, Channel]) -> None:
    root, _ = made
    cues = pysubs2.load(str(root / "archive" / "2026-03-02_news.srt"))
    assert len(cues) >= 5
    assert all(cue.start < cue.end for cue in cues)
    assert all(before.end <= after.start for before, after in pairwise(cues))
    assert all(len(line) <= 42 for cue in cues for line in cue.plaintext.split("\n"))


def test_references_are_consistent(made: tuple[Path, Channel]) -> None:
    root, _ = made
    stem = root / "references" / "2026-03-23_talk"
    document = json.loads(stem.with_suffix(".json").read_text())
    assert " ".join(line["text"] for line in document["lines"]) == stem.with_suffix(".txt").read_text().strip()
    times = [(line["start_ms"], line["end_ms"]) for line in document["lines"]]
    assert all(start < end for start, end in times)
    assert all(before[1] <= after[0] for before, after in pairwise(times))
    turns = [row.split() for row in stem.with_suffix(".rttm").read_text().splitlines()]
    assert {turn[7] for turn in turns} == {line["speaker"] for line in document["lines"]}
    assert all(before[7] != after[7] for before, after in pairwise(turns))
    assert (root / "references" / "2026-03-23_interlude.txt").read_text() == ""
    assert not list((root / "references").glob("*late-film*"))


def test_the_broken_file_cannot_be_opened(made: tuple[Path, Channel]) -> None:
    root, _ = made
    with pytest.raises(av.error.InvalidDataError):
        av.open(str(root / "inbox" / "2026-03-23_late-film.mp4"))


def test_an_existing_channel_is_reused_unless_the_arguments_differ(
    made: tuple[Path, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, first = made
    monkeypatch.setattr(channel, "perform", None)  # synthesis would fail
    assert _make(root) == first
    with pytest.raises(TypeError):
        _make(root, seed=4)


FRESH = """
import hashlib, numpy as np
from local.demo.synthesis.broadcast import perform
from local.demo.synthesis.channel import plan
from local.demo.synthesis.grammar import Side
digest = hashlib.sha256()
for _, script in plan(Side.INBOX, 1, 35)[1:3]:
    digest.update(perform(script, np.random.default_rng(1)).samples.tobytes())
print(digest.hexdigest())
"""


def test_two_fresh_processes_synthesise_the_same_audio() -> None:
    digests = [
        subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert digests[0] == digests[1]
    assert len(digests[0].strip()) == hashlib.sha256().digest_size * 2
