"""prepare: equal to the batch path; lost audio, audio in storage, and Opus."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tasks import storage
from tasks.media.speech_activity import N_WINDOW, SpeechNetwork
from tasks.streaming.components.prepare import JITTER_MS, with_fetched_audio
from tasks.streaming.runtime.messages import (
    AudioBlock,
    PreparedAudio,
    from_pcm,
)
from tasks.streaming.runtime.session import Component
from tests.tasks.streaming.conftest import blocks_of, push_all, resampled


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


def test_speech_probabilities_equal_the_networks(components: list[Component], spoken: tuple[np.ndarray, int]) -> None:
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
    """A minute in which every tenth block lacks a packet of 20 ms, as on a lossy line."""
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


def test_audio_may_lie_in_storage_and_missing_audio_is_lost(
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
    (tmp_path / "11.pcm").write_bytes(b"x")  # not whole samples
    without = [block for block in plain if block.sequence not in (10, 11)]
    lossy: list[PreparedAudio] = push_all(components[0], named)
    assert [m.audio for m in lossy] == [m.audio for m in push_all(components[0], without)]


@pytest.mark.parametrize("name", ["a" * 300, "none.pcm", "none.pcm/below", "%00"])
def test_unreadable_audio_is_lost(tmp_path: Path, name: str) -> None:
    (tmp_path / "none.pcm").mkdir()
    block = AudioBlock(session="s", sequence=0, start_ms=0, audio_uri=f"{tmp_path.as_uri()}/{name}")
    assert with_fetched_audio(block) == block.model_copy(update={"audio_uri": ""})


def test_audio_that_s3_denies_is_lost_and_an_unavailable_s3_is_a_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from obstore.exceptions import BaseError, GenericError, PermissionDeniedError

    def fail(uri: str) -> None:
        raise errors[uri]

    errors = {"s3://other/a": PermissionDeniedError("403"), "s3://other/b": GenericError("503")}
    forbidden, unanswered = (AudioBlock(session="s", sequence=0, start_ms=0, audio_uri=uri) for uri in errors)
    monkeypatch.setattr(storage, "open_reader", fail)
    assert not with_fetched_audio(forbidden).audio
    with pytest.raises(BaseError, match="503"):
        with_fetched_audio(unanswered)


def test_opus_blocks_are_decoded_and_a_torn_one_is_lost(
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
    decoded = np.convolve(np.abs(found[:n]), np.ones(1_600) / 1_600, "same")
    rest = np.r_[0 : 4 * 8_000 - 1_600, 5 * 8_000 + 1_600 : n]
    assert np.corrcoef(loud[rest], decoded[rest])[0, 1] > 0.98
