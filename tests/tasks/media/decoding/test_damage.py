"""Damaged media: losses are counted, the rest keeps its time, and nothing crashes or goes unnoticed."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.contract import Outcome, Reason
from tasks.media.decoding.reader import open_audio
from tasks.media.findings import AudioFindings, MediaRejected, outcome_of
from tasks.media.limits import MediaLimits
from tests.tasks.media.making import Track, encode, flipped, marked, marks_s, rf64, wav, with_total_samples

DURATION_S = 12.0
STEREO = np.stack([marked(DURATION_S)] * 2)
PATIENT = MediaLimits(max_lost_share=1.0)

CODINGS = {
    "wav": ("wav", "pcm_s16le"),
    "flac": ("flac", "flac"),
    "mp3": ("mp3", "libmp3lame"),
    "m4a": ("mp4", "aac"),
    "aac": ("adts", "aac"),
    "ts": ("mpegts", "mp2"),
    "mka": ("matroska", "ac3"),
    "opus": ("ogg", "libopus"),
    "mov": ("mov", "pcm_s24le"),
}


@pytest.fixture(scope="module")
def media() -> dict[str, bytes]:
    return {
        name: encode(container, Track(STEREO, codec, bit_rate=128_000)) for name, (container, codec) in CODINGS.items()
    }


def outcome(medium: bytes, limits: MediaLimits | None = None) -> tuple[Outcome, Reason | None, AudioFindings | None]:
    """The outcome of decoding `medium`. Any other exception fails the test."""
    try:
        with open_audio(medium, limits=limits) as audio:
            n_samples = sum(len(block) for block in audio)
        assert n_samples == audio.findings.n_samples
        item = outcome_of("medium", audio.findings)
        return item.outcome, item.reason, audio.findings
    except MediaRejected as rejected:
        return Outcome.REJECTED, rejected.reason, rejected.findings


@pytest.mark.parametrize("name", CODINGS)
def test_intact_media_are_done(name: str, media: dict[str, bytes]):
    assert outcome(media[name])[:2] == (Outcome.DONE, None)


@pytest.mark.parametrize("name", CODINGS)
@pytest.mark.parametrize("tenths", range(1, 10))
def test_truncation_at_each_tenth(name: str, tenths: int, media: dict[str, bytes]):
    cut = media[name][: len(media[name]) * tenths // 10]
    what, reason, findings = outcome(cut)
    if name in ("m4a", "mov"):  # their index is at the end
        assert (what, reason) == (Outcome.REJECTED, Reason.TRUNCATED)
        return
    assert findings is not None
    assert findings.duration_s == pytest.approx(DURATION_S * tenths / 10, abs=1.5)
    if name not in ("aac", "ts", "opus"):
        assert findings.duration_s + findings.missing_s == pytest.approx(DURATION_S, abs=0.05)
    if name in ("aac", "ts", "opus"):  # they declare no length
        assert what in (Outcome.DONE, Outcome.DONE_WITH_WARNINGS)
    else:  # at most a tenth may be lost
        assert reason is Reason.TRUNCATED
        assert what is Outcome.REJECTED or tenths == 9
        assert outcome(cut, PATIENT)[:2] == (Outcome.DONE_WITH_WARNINGS, Reason.TRUNCATED)


@pytest.mark.parametrize("name", ["flac", "m4a", "mka", "opus", "mp3", "ts"])
def test_audio_after_a_destroyed_span_keeps_its_time(name: str, media: dict[str, bytes]):
    """A tenth of the bytes is overwritten with zeros. The beeps after it keep their times."""
    medium = bytearray(media[name])
    at, n_bytes = len(medium) * 4 // 10, len(medium) // 10
    medium[at : at + n_bytes] = bytes(n_bytes)
    with open_audio(bytes(medium), limits=PATIENT) as audio:
        samples = np.concatenate(list(audio))
    findings = audio.findings
    # Ogg pages hold a second of audio, Matroska clusters five: they are lost as a whole.
    assert findings.lost_s == pytest.approx(1.2, abs={"opus": 2.0, "mka": 5.0}.get(name, 0.4))
    assert findings.gaps >= 1
    assert outcome_of("medium", findings).outcome is Outcome.DONE_WITH_WARNINGS
    late = [mark for mark in marks_s(samples) if mark > DURATION_S - 1.5]
    off = [abs(mark - round(mark)) for mark in late]
    assert late
    # Raw MP3 frames have no timestamps: the length of the gap is estimated from its bytes.
    assert max(off) < (0.15 if name == "mp3" else 0.06)


def test_too_much_damage_is_rejected(media: dict[str, bytes]):
    medium = bytearray(media["m4a"])
    at = len(medium) // 10
    medium[at : at * 6] = bytes(at * 5)
    what, reason, findings = outcome(bytes(medium))
    assert (what, reason) == (Outcome.REJECTED, Reason.DAMAGED)
    assert findings is not None
    assert findings.lost_s == pytest.approx(DURATION_S / 2, abs=1.0)
    assert outcome(bytes(medium), MediaLimits(max_lost_share=0.6))[0] is Outcome.DONE_WITH_WARNINGS


def test_single_frames_are_counted(media: dict[str, bytes]):
    """Detected by checksums: without them, FFmpeg would decode a damaged FLAC frame to noise."""
    _, _, findings = outcome(flipped(media["flac"], 8, 3, keep=2000), PATIENT)
    assert findings is not None
    assert findings.gaps >= 1
    assert 0.05 < findings.lost_s < 5.0
    assert findings.duration_s == pytest.approx(DURATION_S, abs=0.2)
    assert findings.loudness.peak_dbfs < -6.0


def test_two_transport_streams_one_after_the_other():
    """The second one's clock starts again. Nothing is lost or inserted."""
    first, second = (encode("mpegts", Track(np.stack([marked(3.0)] * 2), "mp2", starts_at_s=s)) for s in (5.0, 0.0))
    with open_audio(first + second) as audio:
        samples = np.concatenate(list(audio))
    assert audio.findings.clock_resets == 1
    assert audio.findings.duration_s == pytest.approx(6.0, abs=0.1)
    assert marks_s(samples) == pytest.approx([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], abs=0.06)


def test_a_recording_with_a_gap():
    """A span of the transport stream is missing; detected by its clock."""
    stream = encode("mpegts", Track(np.stack([marked(9.0)] * 2), "mp2"))
    a, b = (len(stream) * part // 9 // 188 * 188 for part in (3, 6))
    with open_audio(stream[:a] + stream[b:], limits=PATIENT) as audio:
        samples = np.concatenate(list(audio))
    assert audio.findings.lost_s == pytest.approx(3.0, abs=0.2)
    assert audio.findings.duration_s == pytest.approx(9.0, abs=0.1)
    assert {round(mark) for mark in marks_s(samples)} >= {0, 1, 2, 7, 8}
    assert max(abs(mark - round(mark)) for mark in marks_s(samples)) < 0.08


CLAIMS = [0, 1, 1 << 16, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 36) - 1, 1 << 48, (1 << 63) - 1, 1 << 63]
MONO = marked(2.0, 16_000)[None]


@pytest.mark.parametrize("claimed", CLAIMS)
def test_wrong_lengths_in_headers_do_not_allocate_memory(claimed: int):
    """RIFF has a 32-bit byte count, FLAC a 36-bit sample count, RF64 64-bit counts."""
    flac = encode("flac", Track(MONO, "flac", 16_000))
    for medium in (
        wav(MONO, 16_000, claimed_bytes=2 * claimed),
        rf64(MONO, 16_000, claimed),
        with_total_samples(flac, min(claimed, (1 << 36) - 1)),
    ):
        what, reason, findings = outcome(medium)
        if what is Outcome.REJECTED:  # a declared length of 0 is trusted, one that is negative for FFmpeg is not
            believed = {Reason.EMPTY: claimed <= 1, Reason.DAMAGED: claimed >= (1 << 63) - 1}
            believed[Reason.TRUNCATED] = claimed == 1 << 16  # twice the actual bytes, like half a copy
            assert reason is not None
            assert believed[reason]
            continue
        assert findings is not None
        assert findings.duration_s <= 2.01
        if claimed > 1 << 16:
            assert findings.duration_s == pytest.approx(2.0, abs=0.01)


def test_a_wrong_header_duration_is_reported():
    flac = encode("flac", Track(MONO, "flac", 16_000))
    what, reason, findings = outcome(with_total_samples(flac, 16_000 * 3600))
    assert (what, reason) == (Outcome.DONE_WITH_WARNINGS, Reason.HEADER_MISMATCH)
    assert findings is not None
    assert findings.header_duration_s == pytest.approx(3600.0)
    assert findings.header_mismatch_s == pytest.approx(3598.0, abs=0.1)


def test_a_wav_that_is_still_being_copied():
    medium = wav(MONO, 16_000, claimed_bytes=16_000 * 2 * 60)
    what, reason, findings = outcome(medium)
    assert (what, reason) == (Outcome.REJECTED, Reason.TRUNCATED)
    assert findings is not None
    assert findings.missing_s == pytest.approx(58.0, abs=0.1)
    assert outcome(medium, PATIENT)[:2] == (Outcome.DONE_WITH_WARNINGS, Reason.TRUNCATED)


def test_a_wrong_duration_alone_does_not_reject():
    """Complete packets up to the end, or an implausible duration: a wrong header, not a truncated copy."""
    flac = with_total_samples(encode("flac", Track(MONO, "flac", 16_000)), 16_000 * 60)
    assert outcome(flac)[:2] == (Outcome.DONE_WITH_WARNINGS, Reason.HEADER_MISMATCH)
    what, reason, findings = outcome(with_total_samples(flac[:-100], (1 << 36) - 1), PATIENT)
    assert what is Outcome.DONE_WITH_WARNINGS
    assert reason is Reason.DAMAGED
    assert findings is not None
    assert findings.missing_s == 0


def test_lost_spans_are_reported_with_their_times(media: dict[str, bytes]):
    medium = bytearray(media["m4a"])
    at, n_bytes = len(medium) * 4 // 10, len(medium) // 10
    medium[at : at + n_bytes] = bytes(n_bytes)
    with open_audio(bytes(medium), limits=PATIENT) as audio:
        samples = np.concatenate(list(audio))
    ((begin_s, end_s),) = audio.findings.lost
    assert end_s - begin_s == pytest.approx(audio.findings.lost_s, abs=0.01)
    lost = samples[round(begin_s * 16_000) + 100 : round(end_s * 16_000) - 100]
    assert np.abs(lost).max() < 1e-3
    assert np.abs(samples[round(begin_s * 16_000) - 16_000 :][:15_900]).max() > 0.01
