from __future__ import annotations

import gc
import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from tasks.contract import Outcome, Reason
from tasks.media.container.tracks import TrackPolicy
from tasks.media.decoding.reader import load_audio, open_audio
from tasks.media.findings import AudioFindings, MediaRejected, outcome_of
from tasks.media.limits import MediaLimits
from tests.tasks.media.making import RATE_HZ, Track, caf, encode, marked, marks_s, wav

STEREO = np.stack([marked(3.0), marked(3.0)])


def decoded(media: bytes, policy: TrackPolicy | None = None, **options) -> tuple[np.ndarray, AudioFindings]:
    with open_audio(media, policy, **options) as audio:
        blocks = list(audio)
        return np.concatenate(blocks), audio.findings


CODINGS = [
    ("wav", "pcm_s16le"), ("wav", "pcm_s24le"), ("wav", "pcm_f32le"), ("wav", "pcm_u8"), ("wav", "pcm_f64le"),
    ("aiff", "pcm_s16be"), ("flac", "flac"), ("mp3", "libmp3lame"), ("mp4", "aac"), ("adts", "aac"), ("mp4", "alac"),
    ("mpegts", "aac"), ("mpegts", "mp2"), ("matroska", "ac3"), ("matroska", "eac3"), ("webm", "libopus"),
    ("ogg", "libopus"), ("mov", "pcm_s24le"), ("asf", "wmav2"), ("wav", "pcm_mulaw"), ("w64", "pcm_s16le"),
    ("caf", "pcm_s16le"), ("avi", "libmp3lame"), ("flv", "libmp3lame"),
]  # fmt: skip


@pytest.mark.parametrize(("container", "codec"), CODINGS)
def test_every_codec_keeps_audio_and_time(container: str, codec: str):
    rate_hz = 44_100 if container == "flv" else RATE_HZ
    media = encode(container, Track(np.stack([marked(3.0, rate_hz)] * 2), codec, rate_hz, bit_rate=128_000))
    samples, findings = decoded(media)
    assert len(samples) / 16_000 == pytest.approx(3.0, abs=0.1)
    first, second, third = marks_s(samples)  # FFmpeg's WMA decoder swallows most of the first
    assert first < 0.1
    assert second == pytest.approx(1.0, abs=0.06)
    assert third - second == pytest.approx(1.0, abs=0.011)
    assert (findings.packets_failed, findings.gaps, findings.clock_resets, findings.read_errors) == (0, 0, 0, 0)
    assert outcome_of("a", findings).outcome is Outcome.DONE
    assert findings.loudness.peak_dbfs == pytest.approx(20 * np.log10(0.4), abs=1.5)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000])
def test_streaming_equals_resampling_in_one_call(rate_hz: int):
    source = np.random.default_rng(0).standard_normal(rate_hz * 10).astype(np.float32) * 0.1
    buffer = io.BytesIO()
    soundfile.write(buffer, source, rate_hz, format="WAV", subtype="FLOAT")
    samples, findings = decoded(buffer.getvalue())
    np.testing.assert_allclose(samples, soxr.resample(source, rate_hz, 16_000, quality="HQ"), atol=1e-5)
    assert findings.source_rates_hz == (rate_hz,)


def test_pcm_at_the_target_rate_is_exact():
    source = (np.random.default_rng(0).standard_normal(50_000) * 3000).astype(np.int16)
    buffer = io.BytesIO()
    soundfile.write(buffer, source, 16_000, format="WAV", subtype="PCM_16")
    np.testing.assert_array_equal(decoded(buffer.getvalue())[0], source / np.float32(32768))


def test_a_track_that_starts_late_is_preceded_by_silence():
    late = Track(STEREO, "aac", starts_at_s=1.5)
    samples, findings = decoded(encode("matroska", [late], video=True))
    assert findings.starts_at_s == pytest.approx(1.5, abs=0.03)
    assert marks_s(samples)[0] == pytest.approx(1.5, abs=0.03)
    assert not findings.warnings
    assert np.abs(samples[: 16_000 * 14 // 10]).max() < 1e-3


@pytest.mark.parametrize("starts_at_s", [0.3, 1.96, 30.0])
@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("mp4", "aac"),
        ("mov", "pcm_s16le"),
        ("matroska", "flac"),
        ("mpegts", "mp2"),
    ],
)
def test_a_late_track_is_no_header_mismatch(container: str, codec: str, starts_at_s: float):
    """An MP4 whose audio begins with an empty edit gives the duration without it."""
    late = Track(STEREO, codec, starts_at_s=starts_at_s, bit_rate=128_000)
    samples, findings = decoded(encode(container, [late], video=True))
    assert outcome_of("a", findings).outcome is Outcome.DONE
    assert findings.starts_at_s == pytest.approx(starts_at_s, abs=0.06)
    assert len(samples) / 16_000 == pytest.approx(3.0 + starts_at_s, abs=0.15)


def test_a_late_track_that_is_cut_short_is_missing_its_end():
    """What is missing is not hidden by the silence before the track."""
    late = Track(np.stack([marked(12.0)] * 2), "pcm_s16le", starts_at_s=4.0)
    findings = AudioFindings.model_validate(
        decoded(encode("mov", [late], video=True))[1].model_dump() | {"n_samples": 12 * 16_000, "warnings": ()}
    )
    assert findings.header_mismatch_s == pytest.approx(4.0, abs=0.1)


def test_a_track_that_starts_very_late_keeps_its_time():
    """Commentary on the second half: its captions count from the start of the medium."""
    commentary = Track(STEREO, "flac", starts_at_s=2700.0)
    medium = encode("matroska", [Track(STEREO, "flac"), commentary])
    tracemalloc.start()
    with open_audio(medium, TrackPolicy(track=1)) as audio:
        n_silent = sum(len(block) for block in audio if not block.any())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert audio.findings.starts_at_s == pytest.approx(2700.0, abs=0.01)
    assert audio.findings.duration_s == pytest.approx(2703.0, abs=0.1)
    assert n_silent / 16_000 == pytest.approx(2700.0, abs=3.0)
    assert peak < 16 << 20  # as samples, the silence alone would be ten times as much
    with open_audio(medium, TrackPolicy(track=1), MediaLimits(max_duration_s=600.0)) as audio:
        assert sum(len(block) for block in audio) / 16_000 == pytest.approx(3.0, abs=0.1)
    assert audio.findings.clock_resets == 1


def test_a_container_that_starts_late_is_not():
    """A transport stream's clock starts at an arbitrary value."""
    samples, findings = decoded(encode("mpegts", [Track(STEREO, "mp2", starts_at_s=5.0)]))
    assert len(samples) / 16_000 == pytest.approx(3.0, abs=0.1)
    assert findings.starts_at_s == 0.0


def test_eight_channels_do_not_crash():
    """`AudioFrame.to_ndarray()` of PyAV 18.1 crashes on eight planes."""
    silent = np.zeros((5, STEREO.shape[1]), np.float32)
    samples, findings = decoded(encode("mp4", Track(np.concatenate([STEREO, STEREO[:1], silent]), "aac")))
    assert findings.source_channels == (8,)
    assert len(marks_s(samples)) == 3


@pytest.mark.parametrize("labels", [(2, 1), (3, 1, 2, 4)])
def test_custom_channel_orders_do_not_crash(labels: tuple[int, ...]):
    samples, _ = decoded(caf(np.stack([STEREO[0]] * len(labels)), labels))
    gc.collect()  # here PyAV 18.1 would free the layout twice
    assert len(marks_s(samples)) == 3


def test_mono_tracks_of_an_mxf_are_one_mix():
    left, right = marked(3.0, seed=1), np.roll(marked(3.0, seed=2), RATE_HZ // 2)
    other = (np.random.default_rng(3).standard_normal(3 * RATE_HZ) * 0.3).astype(np.float32)
    tracks = [Track(samples[None], "pcm_s24le") for samples in (left, right, other, other)]
    samples, findings = decoded(encode("mxf", tracks, video=True))
    assert marks_s(samples) == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0, 2.5], abs=0.02)
    assert len(findings.loudness.channels) == 2
    assert [level.is_dead for level in findings.loudness.channels] == [False, False]
    assert findings.n_samples == 48_000


def test_one_of_two_mono_tracks_is_dead():
    tracks = [Track(samples[None], "pcm_s24le") for samples in (np.zeros_like(STEREO[0]), STEREO[0])]
    samples, findings = decoded(encode("mov", tracks, video=True))
    assert np.abs(samples).max() == pytest.approx(0.4, abs=0.02)
    assert [level.is_dead for level in findings.loudness.channels] == [True, False]


def test_one_of_two_mono_tracks_is_shorter():
    tracks = [Track(samples[None], "pcm_s24le") for samples in (STEREO[0], STEREO[0, :RATE_HZ])]
    samples, _ = decoded(encode("mov", tracks, video=True))
    assert marks_s(samples) == pytest.approx([0.0, 1.0, 2.0], abs=0.02)


def test_the_policy_picks_track_and_channel():
    high = (0.2 * np.sin(2 * np.pi * 3000 * np.arange(3 * RATE_HZ) / RATE_HZ)).astype(np.float32)
    media = encode("matroska", [Track(STEREO, "flac"), Track(np.stack([STEREO[0], high]), "flac")])
    with open_audio(media, TrackPolicy(track=1, channel=1)) as audio:
        samples = np.concatenate(list(audio))
        assert (audio.choice.tracks, audio.choice.channel) == ((1,), 1)
    spectrum = np.abs(np.fft.rfft(samples[16_000:32_000]))
    assert spectrum.argmax() == 3000


def test_rate_and_channels_may_change_inside_a_stream():
    """MPEG layer 2 has no file header: two concatenated recordings are one stream."""
    first = encode("mp2", Track(np.stack([marked(2.0, 48_000)] * 2), "mp2", 48_000))
    second = encode("mp2", Track(marked(2.0, 24_000)[None], "mp2", 24_000))
    samples, findings = decoded(first + second)
    assert findings.source_rates_hz == (48_000, 24_000)
    assert findings.source_channels == (2, 1)
    assert marks_s(samples) == pytest.approx([0.0, 1.0, 2.0, 3.0], abs=0.08)


def test_paths_bytes_and_files_give_the_same(tmp_path: Path):
    media = encode("flac", Track(STEREO, "flac"))
    path = tmp_path / "a.flac"
    path.write_bytes(media)
    with path.open("rb") as file:
        file.seek(100)
        for source in (media, path, str(path), file, io.BytesIO(media)):
            np.testing.assert_array_equal(load_audio(source), load_audio(media))
        assert not file.closed


def test_limits_stop_decoding():
    media = encode("flac", Track(np.tile(STEREO, 4), "flac"))
    with pytest.raises(MediaRejected) as rejected:
        load_audio(media, limits=MediaLimits(max_duration_s=5.0))
    assert rejected.value.reason is Reason.TOO_LONG
    assert rejected.value.findings is not None
    with pytest.raises(MediaRejected) as rejected:
        load_audio(media, limits=MediaLimits(base_cpu_s=1e-9, cpu_s_per_megabyte=0, cpu_s_per_second=0))
    assert rejected.value.reason is Reason.DECODER_LIMIT


def test_the_callers_time_does_not_count(monkeypatch: pytest.MonkeyPatch):
    now = [0.0]
    monkeypatch.setattr("time.thread_time", lambda: now[0])
    with open_audio(encode("flac", Track(np.tile(STEREO, 8), "flac")), limits=MediaLimits(base_cpu_s=10)) as audio:
        for _ in audio:
            now[0] += 100


def test_reading_may_stop_early():
    with open_audio(encode("flac", Track(np.tile(STEREO, 8), "flac"))) as audio:
        next(iter(audio))
    assert not audio.findings.complete
    assert audio.findings.header_mismatch_s is None


def test_memory_does_not_grow_with_duration():
    """Of NumPy arrays; `test_isolated.py` measures FFmpeg's memory too."""
    tracemalloc.start()
    peaks = []
    for repeats in (5, 50):
        media = io.BytesIO(wav(np.tile(marked(4.0, 16_000), repeats)[None], 16_000))
        tracemalloc.reset_peak()
        base, _ = tracemalloc.get_traced_memory()
        with open_audio(media) as audio:
            for _ in audio:
                pass
        peaks.append(tracemalloc.get_traced_memory()[1] - base)
    tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] + 100_000


def test_outcomes():
    _, findings = decoded(encode("flac", Track(STEREO, "flac")))
    assert outcome_of("a", findings, speech_ms=900).outcome is Outcome.DONE
    nothing = outcome_of("a", findings, speech_ms=0)
    assert (nothing.outcome, nothing.reason) == (Outcome.DONE_NO_SPEECH, Reason.NO_SPEECH)
    _, silent = decoded(encode("flac", Track(np.zeros_like(STEREO), "flac")))
    assert outcome_of("a", silent).reason is Reason.SILENCE
