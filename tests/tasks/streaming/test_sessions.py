"""The components as state machines: equal to the batch path, restored anywhere, undisturbed by doubled blocks."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from tasks import storage
from tasks.contract.events import CaptionFinal, CaptionPartial, TranscriptFailed, TranscriptPublished
from tasks.corpus.utterances.matching import edit_distance, without_marks
from tasks.features.logmel import LogMel
from tasks.media.decoding.mono import Resampler
from tasks.media.speech_activity import N_WINDOW, SpeechNetwork
from tasks.streaming.components.captions import Places
from tasks.streaming.components.captions import component as captions_component
from tasks.streaming.components.features import unnormalised
from tasks.streaming.components.prepare import JITTER_MS, fetched
from tasks.streaming.runtime.messages import (
    AudioBlock,
    LiveFeatures,
    LiveSpan,
    LiveVoices,
    LiveWord,
    LiveWords,
    PreparedAudio,
    from_floats,
    from_pcm,
)
from tasks.streaming.runtime.session import Component
from tests.tasks.streaming.conftest import SENTENCES, WEIGHTS, blocks_of

Through = Callable[..., list[Any]]


def resampled(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    stream = Resampler(rate_hz, 16_000)
    return np.concatenate([stream.push(samples), stream.finish()])


def push_all(component: Component, messages: list[Any], session: str = "s") -> list[Any]:
    opened = component.open(session, None)
    return [outgoing for message in messages for outgoing in opened.push(message)]


def tone(rate_hz: int, length_s: float = 1.7) -> np.ndarray:
    t = np.arange(int(rate_hz * length_s)) / rate_hz
    return (0.3 * np.sin(2 * np.pi * 440 * t) + 0.1 * np.sin(2 * np.pi * 1_900 * t)).astype(np.float32)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("block_ms", [100, 330, 500])
def test_prepare_resamples_as_the_batch_path(components: list[Component], rate_hz: int, block_ms: int) -> None:
    samples = tone(rate_hz)
    prepared: list[PreparedAudio] = push_all(components[0], blocks_of(samples, rate_hz, block_ms=block_ms))
    joined = np.concatenate([from_pcm(message.audio) for message in prepared])
    batch = resampled(samples, rate_hz)
    assert abs(len(joined) - len(batch)) < 2 * N_WINDOW
    n = min(len(joined), len(batch))
    assert np.abs(joined[:n] - batch[:n]).max() < 2e-4
    assert prepared[-1].is_last
    starts = np.cumsum([0, *(len(message.audio) // 2 for message in prepared)])
    assert [message.first_sample for message in prepared] == starts[:-1].tolist()


def test_the_probabilities_are_the_networks(components: list[Component], spoken: tuple[np.ndarray, int]) -> None:
    samples, rate_hz = spoken
    samples = samples + np.random.default_rng(1).normal(0, 1e-3, len(samples)).astype(np.float32)
    prepared: list[PreparedAudio] = push_all(components[0], blocks_of(samples, rate_hz))
    found = np.array([p for message in prepared for p in message.speech])
    batch = resampled(samples, rate_hz)
    windows = batch[: len(batch) // N_WINDOW * N_WINDOW].reshape(-1, N_WINDOW)
    n = min(len(windows), len(found))
    assert np.abs(SpeechNetwork()(windows)[:n] - found[:n]).max() < 0.02


def test_stereo_in_opposite_phase_is_not_silence(components: list[Component]) -> None:
    samples = tone(48_000)
    prepared = push_all(components[0], blocks_of(np.stack([samples, -samples]), 48_000))
    assert max(np.abs(from_pcm(message.audio)).max() for message in prepared) > 0.2


def test_features_are_the_batch_paths(components: list[Component], spoken: tuple[np.ndarray, int]) -> None:
    from tasks.recognition.ctc import features_config

    prepared = push_all(components[0], blocks_of(*spoken))
    streamed: list[LiveFeatures] = push_all(components[1], prepared)
    found = np.concatenate([from_floats(message.features, message.n_features) for message in streamed])
    audio = np.concatenate([from_pcm(message.audio) for message in prepared])
    batch = LogMel(unnormalised(features_config(WEIGHTS), "base"))([audio])[0].numpy()
    assert found.shape == batch.shape
    assert np.abs(found - batch).max() < 1e-3


def test_words_come_early_settle_and_never_change(through: Through, spoken: tuple[np.ndarray, int]) -> None:
    events = through(blocks_of(*spoken))
    finals = [event for event in events if isinstance(event, CaptionFinal)]
    assert len(finals) > 5
    words = [word for final in finals for word in final.words]
    assert all(a.start_ms <= a.end_ms <= b.start_ms for a, b in pairwise(words))
    assert [final.sequence for final in finals] == list(range(len(finals)))
    # A caption comes soon after its words: blocks carry the time at which they were heard.
    delays_s = [final.captured_at - (1.0 + final.words[-1].end_ms / 200) for final in finals]
    assert max(delays_s) * 0.2 < 3.0
    assert any(isinstance(event, CaptionPartial) and event.text for event in events)
    assert isinstance(events[-1], TranscriptPublished)


@pytest.mark.parametrize("every", [1, 7])
def test_restored_at_any_place_it_says_the_same(
    components: list[Component], spoken: tuple[np.ndarray, int], tmp_path: Path, every: int
) -> None:
    """Each component is saved and restored after every so many messages."""
    places = Places((tmp_path / "live").as_uri(), (tmp_path / "transcripts").as_uri())
    again = Places((tmp_path / "live2").as_uri(), (tmp_path / "transcripts2").as_uri())
    messages: list[Any] = blocks_of(*spoken)[:50]
    for plain, restored in [*((c, c) for c in components), (captions_component(places), captions_component(again))]:
        expected = push_all(plain, messages)
        session, found = restored.open("s", None), []
        for number, message in enumerate(messages):
            if number % every == 0:
                session = restored.open("s", session.save())
            found += list(session.push(message))
        assert [m.to_bytes() for m in found] == [m.to_bytes() for m in expected], plain.name
        messages = expected


def test_lost_blocks_become_silence_or_a_jump(components: list[Component], spoken: tuple[np.ndarray, int]) -> None:
    blocks = blocks_of(*spoken)
    short = [block for block in blocks if block.sequence not in (10, 11)]
    long = [block for block in blocks if not 10 <= block.sequence < 30]
    for kept, expected in ((short, 0), (long, 1)):
        prepared: list[PreparedAudio] = push_all(components[0], kept)
        jumps = [
            after.first_sample - before.first_sample - len(before.audio) // 2
            for before, after in pairwise(prepared)
            if after.audio
        ]
        assert sum(jump != 0 for jump in jumps) == expected
        assert all(jump >= 0 for jump in jumps)
        end = prepared[-1].first_sample + len(prepared[-1].audio) // 2
        assert abs(end - len(spoken[0]) * 16_000 // spoken[1]) < 2 * N_WINDOW


def test_short_gaps_do_not_add_up(components: list[Component]) -> None:
    """A minute in which every tenth block lacks a packet of 20 ms, as a lossy line makes it."""
    rate_hz, block_ms = 48_000, 200
    samples = np.random.default_rng(0).normal(0, 0.1, 60 * rate_hz).astype(np.float32)
    blocks = [
        block.model_copy(update={"audio": block.audio[: len(block.audio) * 9 // 10]})
        if block.sequence % 10 == 0
        else block
        for block in blocks_of(samples, rate_hz, block_ms=block_ms)
    ]
    prepared: list[PreparedAudio] = push_all(components[0], blocks)
    end = prepared[-1].first_sample + len(prepared[-1].audio) // 2
    assert abs(end / 16 - 60_000) < JITTER_MS + 2 * N_WINDOW / 16


def test_what_is_heard_after_a_gap_keeps_its_time(through: Through, spoken: tuple[np.ndarray, int]) -> None:
    blocks = blocks_of(*spoken)
    kept = [block for block in blocks if not 20 <= block.sequence < 35]
    whole = [w for event in through(blocks) if isinstance(event, CaptionFinal) for w in event.words]
    heard = [w for event in through(kept, "gap") if isinstance(event, CaptionFinal) for w in event.words]
    late = [word for word in whole if word.start_ms > 9_000]
    same = [w for w in late if any(h.text == w.text and abs(h.start_ms - w.start_ms) < 100 for h in heard)]
    # Other words around it make the base model spell some otherwise; at a wrong time next to none would be the same.
    assert len(same) >= len(late) / 3
    assert not [word for word in heard if 4_400 < word.start_ms < word.end_ms < 6_600]


def test_silence_is_no_session_without_an_end(through: Through) -> None:
    events = through(blocks_of(np.zeros(48_000, np.float32), 16_000))
    (published,) = [event for event in events if isinstance(event, TranscriptPublished)]
    assert published.outcome == "done_no_speech"
    assert not [event for event in events if isinstance(event, CaptionFinal)]


def test_a_name_that_another_broadcast_has_is_refused_and_the_first_stays(tmp_path: Path) -> None:
    component = captions_component(Places((tmp_path / "live").as_uri(), (tmp_path / "transcripts").as_uri()))

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
    assert [line["event"] for line in lines] == ["a session is refused"]
    assert written() == standing
    assert broadcast("yesterday", "a" * 64)[-1].event_id == first[-1].event_id  # said again after a crash


def test_a_session_of_one_empty_block_ends_too(through: Through) -> None:
    (block,) = blocks_of(np.zeros(1, np.float32), 16_000)
    events = through([block.model_copy(update={"audio": b""})])
    assert [type(event) for event in events] == [TranscriptPublished]


def test_speech_without_a_pause_is_cut_and_loses_nothing(
    components: list[Component], spoken: tuple[np.ndarray, int]
) -> None:
    """The window moves on between settled words; its memory is bounded."""
    from tasks.streaming.components.recognise import LONGEST_WINDOW_MS, STEP_MS

    samples, rate_hz = spoken
    sentence = samples[int(3.0 * rate_hz) : int(11.2 * rate_hz)]
    crowded = np.concatenate([sentence] * 4)
    messages: list[Any] = blocks_of(crowded, rate_hz)
    for component in components[:3]:
        messages = push_all(component, messages)
    # Nobody stops talking.
    messages = [m.model_copy(update={"speech": (1.0,) * len(m.speech)}) for m in messages]
    session = components[3].open("s", None)
    words: list[LiveWords] = []
    for message in messages:
        words += list(session.push(message))
        assert len(session.save()) < (LONGEST_WINDOW_MS + 2 * STEP_MS) / 20 * 80 * 4 * 1.34 + 4_000
    # espeak never says a thing twice alike, and the base model misspells: a sentence that was lost would be a quarter.
    heard = without_marks(" ".join(word.text for message in words for word in message.committed))
    said = " ".join([without_marks(SENTENCES[1].lower())] * 4)
    assert edit_distance(said, heard) < 0.22 * len(said), heard


@pytest.mark.parametrize("word_ms", [None, (0, 800), (200, 0)], ids=["no word", "a late word", "one word all along"])
def test_speech_in_which_nothing_settles_fills_no_memory(word_ms: tuple[int, int] | None) -> None:
    """A crowd: speech all the time, and the model hears nothing, or one word that never ends."""
    from tasks.features.config import parakeet
    from tasks.streaming.components import recognise

    def hear(_features: Any, length_ms: int) -> Any:
        if word_ms is None:
            return SimpleNamespace(words=())
        start_ms = word_ms[0] if not word_ms[1] else max(0, length_ms - word_ms[1])
        return SimpleNamespace(words=(SimpleNamespace(text="a", start_ms=start_ms, end_ms=length_ms, confidence=0.5),))

    config = parakeet(hop_samples=320, n_mels=8)
    engine: Any = SimpleNamespace(features=config, name="crowd", recognise_features=hear)
    model: Any = SimpleNamespace(uri="m", version="m/1")
    session = recognise.RecogniseSession(engine, model, "s")
    told: list[LiveWords] = []
    for number in range(5 * 60):
        message = LiveVoices(
            session="s",
            sequence=number,
            start_ms=number * 192,
            first_sample=number * 3_200,
            n_features=8,
            features=np.zeros((10, 8), np.float32).tobytes(),
            speech=(0.9,) * 6,
        )
        told += list(session.push(message))
        assert len(session._window) * 20 <= recognise.LONGEST_WINDOW_MS + 2 * recognise.STEP_MS
    # Captions are shown up to what is settled.
    assert told[-1].settled_ms > told[-1].end_ms - recognise.LONGEST_WINDOW_MS - recognise.STEP_MS


def test_two_people_who_speak_in_turn_are_two_speakers(components: list[Component]) -> None:
    from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, Voice, speak

    pause = np.zeros(int(0.8 * ESPEAK_RATE_HZ), np.float32)
    lines = [
        ("en-us", "f3", "Good evening, and welcome to the programme about the river and the valley."),
        ("en-us", "m3", "Thank you very much. I have lived near this water for more than thirty years."),
        ("en-us", "f3", "Then you will remember how often the old bridge has been under water."),
        ("en-us", "m3", "I do, and every time they promised us that a new one would be built soon."),
    ]
    parts = [part for accent, variant, text in lines for part in (speak(text, Voice(accent, variant)), pause)]
    messages: list[Any] = blocks_of(np.concatenate(parts), ESPEAK_RATE_HZ)
    for component in components[:3]:
        messages = push_all(component, messages)
    final = [turn for message in messages for turn in message.turns if turn.is_final]
    assert all(a.end_ms <= b.start_ms for a, b in pairwise(final))
    starts_ms = np.cumsum([0, *(1000 * len(part) / ESPEAK_RATE_HZ for part in parts)])[::2]
    heard = []
    for line in range(len(lines)):
        shares: dict[str, float] = {}
        for turn in final:
            shared = min(turn.end_ms, starts_ms[line + 1]) - max(turn.start_ms, starts_ms[line])
            if shared > 0:
                shares[turn.speaker] = shares.get(turn.speaker, 0.0) + shared
        heard.append(max(shares, key=lambda name: shares[name]))
    assert heard[0] == heard[2]
    assert heard[1] == heard[3]
    assert heard[0] != heard[1]
    assert any(turn for message in messages for turn in message.turns if not turn.is_final)


def test_sound_may_lie_in_storage_and_what_is_not_there_is_lost_audio(
    components: list[Component], spoken: tuple[np.ndarray, int], tmp_path: Path
) -> None:
    plain = blocks_of(*spoken)[:20]
    named = []
    for block in plain:
        path = tmp_path / f"{block.sequence}.pcm"
        path.write_bytes(block.audio)
        named.append(AudioBlock(**block.model_dump() | {"audio": b"", "audio_uri": path.as_uri()}))
    assert push_all(components[0], named) == push_all(components[0], plain)
    (tmp_path / "10.pcm").unlink()
    (tmp_path / "11.pcm").write_bytes(b"x")  # no whole samples
    without = [block for block in plain if block.sequence not in (10, 11)]
    lossy: list[PreparedAudio] = push_all(components[0], named)
    assert [m.audio for m in lossy] == [m.audio for m in push_all(components[0], without)]


@pytest.mark.parametrize("name", ["a" * 300, "none.pcm", "none.pcm/below", "%00"])
def test_sound_that_cannot_be_read_is_lost_audio(tmp_path: Path, name: str) -> None:
    (tmp_path / "none.pcm").mkdir()
    block = AudioBlock(session="s", sequence=0, start_ms=0, audio_uri=f"{tmp_path.as_uri()}/{name}")
    assert fetched(block) == block.model_copy(update={"audio_uri": ""})


def test_sound_that_s3_refuses_is_lost_audio_and_an_s3_that_does_not_answer_is_a_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from obstore.exceptions import BaseError, GenericError, PermissionDeniedError

    def fail(uri: str) -> None:
        raise errors[uri]

    errors = {"s3://other/a": PermissionDeniedError("403"), "s3://other/b": GenericError("503")}
    forbidden, unanswered = (AudioBlock(session="s", sequence=0, start_ms=0, audio_uri=uri) for uri in errors)
    monkeypatch.setattr(storage, "open_reader", fail)
    assert not fetched(forbidden).audio
    with pytest.raises(BaseError, match="503"):
        fetched(unanswered)


@pytest.mark.parametrize("uri", ["s3://two words/a.pcm", "s3://bucket", "file://host/a.pcm", "http://a/b"])
def test_an_address_that_storage_does_not_know_is_no_message(uri: str) -> None:
    with pytest.raises(ValueError, match="audio_uri"):
        AudioBlock(session="s", sequence=0, start_ms=0, audio_uri=uri)


def test_opus_blocks_are_heard_and_a_torn_one_is_lost_audio(
    components: list[Component], spoken: tuple[np.ndarray, int]
) -> None:
    import io

    import av
    import soxr

    def opus(samples: np.ndarray) -> bytes:
        file = io.BytesIO()
        with av.open(file, "w", format="ogg") as container:
            stream = container.add_stream("libopus", rate=48_000, layout="mono")
            whole = np.pad(samples, (0, -len(samples) % 960))[None]
            frame = av.AudioFrame.from_ndarray((whole * 32_767).astype(np.int16), format="s16", layout="mono")
            frame.sample_rate = 48_000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return file.getvalue()

    rate_hz, block_ms = 48_000, 500
    samples = np.asarray(soxr.resample(spoken[0], spoken[1], rate_hz), np.float32)
    plain = blocks_of(samples, rate_hz, block_ms=block_ms)
    coded = [
        block.model_copy(
            update={"encoding": "opus", "audio": opus(from_pcm(block.audio)), "duration_ms": len(block.audio) // 96}
        )
        for block in plain
    ]
    coded[4] = coded[4].model_copy(update={"audio": b"OggS torn"})
    batch = resampled(samples, rate_hz)
    prepared: list[PreparedAudio] = push_all(components[0], coded)
    found = np.concatenate([from_pcm(message.audio) for message in prepared])
    assert abs(len(found) - len(batch)) < 2 * N_WINDOW + 500
    torn = slice(4 * 8_000 + 800, 5 * 8_000 - 800)
    assert np.abs(found[torn]).max() < 0.01 < np.abs(batch[torn]).max()
    n = min(len(found), len(batch))
    loud = np.convolve(np.abs(batch[:n]), np.ones(1_600) / 1_600, "same")
    heard = np.convolve(np.abs(found[:n]), np.ones(1_600) / 1_600, "same")
    rest = np.r_[0 : 4 * 8_000 - 1_600, 5 * 8_000 + 1_600 : n]
    assert np.corrcoef(loud[rest], heard[rest])[0, 1] > 0.98
