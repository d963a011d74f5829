"""Audio that continues in another link, PID or codec: decoded at its time, or its duration reported as lost."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from tasks.contract import Outcome
from tasks.media.container.ogg_links import find_links
from tasks.media.decoding.reader import open_audio
from tasks.media.findings import AudioFindings, MediaRejected, outcome_of
from tasks.media.limits import MediaLimits
from tests.tasks.media.making import Track, encode, marked, marks_s

PATIENT = MediaLimits(max_lost_share=1.0)


def beeps(n_channels: int, duration_s: float, rate_hz: int = 48_000) -> np.ndarray:
    return np.stack([marked(duration_s, rate_hz)] * n_channels)


def ogg(n_channels: int, duration_s: float, codec: str = "libopus", rate_hz: int = 48_000) -> bytes:
    return encode("ogg", Track(beeps(n_channels, duration_s, rate_hz), codec, rate_hz))


def ts(n_channels: int, codec: str, starts_at_s: float = 0.0, video: bool = False, **options: int) -> bytes:
    """Five seconds of a transport stream."""
    track = Track(beeps(n_channels, 5.0), codec, starts_at_s=starts_at_s, bit_rate=128_000)
    return encode("mpegts", track, video=video, options={name: str(value) for name, value in options.items()})


def decode(medium: bytes) -> tuple[list[float], AudioFindings]:
    with open_audio(medium, limits=PATIENT) as audio:
        samples = np.concatenate(list(audio))
    return marks_s(samples), audio.findings


def with_serial(medium: bytes, serial: int) -> bytes:
    """An Ogg file of one stream, given this serial number."""
    table = []
    for value in range(256):
        register = value << 24
        for _ in range(8):
            register = (register << 1 ^ (0x04C11DB7 if register & 1 << 31 else 0)) & 0xFFFFFFFF
        table.append(register)
    changed, at = bytearray(medium), 0
    while at < len(changed):
        end = at + 27 + changed[at + 26] + sum(changed[at + 27 : at + 27 + changed[at + 26]])
        changed[at + 14 : at + 18], changed[at + 22 : at + 26] = struct.pack("<I", serial), bytes(4)
        crc = 0
        for byte in changed[at:end]:
            crc = crc << 8 & 0xFFFFFFFF ^ table[crc >> 24 ^ byte]
        changed[at + 22 : at + 26] = struct.pack("<I", crc)
        at = end
    return bytes(changed)


OPUS = ogg(1, 3.0)
CHAINS = {
    "channels": [OPUS, ogg(2, 4.0), OPUS],
    "nothing": [OPUS, ogg(1, 4.0), OPUS],
    "rate and channels": [ogg(1, 3.0, "flac", 44_100), ogg(2, 4.0, "flac"), ogg(1, 3.0, "flac", 32_000)],
    "codec": [OPUS, ogg(2, 4.0, "flac", 44_100), OPUS],
    "channels, under one serial number": [with_serial(OPUS, 7), with_serial(ogg(2, 4.0), 7), with_serial(OPUS, 7)],
    "channels, after a damaged span": [OPUS + bytes(5000), ogg(6, 4.0), OPUS],
}


@pytest.mark.parametrize("change", CHAINS)
def test_all_links_of_a_chained_ogg_are_decoded(change: str):
    marks, findings = decode(b"".join(CHAINS[change]))
    assert marks == pytest.approx(list(range(10)), abs=0.03)
    assert findings.duration_s == pytest.approx(10.0, abs=0.05)
    assert outcome_of("a", findings).outcome is Outcome.DONE


def test_a_song_of_five_minutes_between_two_jingles():
    """With a second link of 5 minutes, 10 s of 310 were decoded, and "0.000 s lost"."""
    marks, findings = decode(OPUS + ogg(2, 300.0) + OPUS)
    assert findings.duration_s == pytest.approx(306.0, abs=0.05)
    assert marks == pytest.approx(list(range(306)), abs=0.03)


def test_a_single_link_is_not_split():
    assert [(link.begin, link.end) for link in find_links(len(OPUS), lambda at, n: OPUS[at : at + n])] == [
        (0, len(OPUS))
    ]


@pytest.mark.parametrize("n_bytes", [0, 1, 26, 27, 40, 500])
def test_other_bytes_have_a_single_link(n_bytes: int):
    for junk in (bytes(n_bytes), b"OggS" * (n_bytes // 4), OPUS[:n_bytes]):
        (link,) = find_links(len(junk), lambda at, n, junk=junk: junk[at : at + n])
        assert (link.begin, link.end) == (0, len(junk))


def test_a_link_whose_codec_header_is_destroyed_is_reported_in_seconds():
    second = bytearray(ogg(2, 4.0))
    second[28 + 8 : 28 + 18] = b"\xff" * 10  # behind "OpusHead"
    marks, findings = decode(OPUS + bytes(second) + OPUS)
    assert findings.lost_s == pytest.approx(4.0, abs=0.1)
    assert findings.lost == ((pytest.approx(3.0, abs=0.05), pytest.approx(7.0, abs=0.1)),)
    assert [mark for mark in marks if mark > 3] == pytest.approx([7.0, 8.0, 9.0], abs=0.1)


def test_a_link_of_an_unknown_codec_is_reported_in_seconds():
    second = bytearray(ogg(1, 4.0))
    second[28:36] = b"Newcodec"
    _, findings = decode(OPUS + bytes(second) + OPUS)
    assert findings.lost_s == pytest.approx(4.0, abs=0.5)
    assert findings.duration_s == pytest.approx(10.0, abs=0.5)


def test_a_stream_of_an_unknown_kind_is_not_lost_audio():
    sound, other = ogg(1, 3.0), bytearray(with_serial(ogg(1, 3.0), 9))
    other[28:36] = b"Chapters"
    first = 27 + 1 + sound[27]
    other_first = 27 + 1 + other[27]
    _, findings = decode(sound[:first] + bytes(other[:other_first]) + sound[first:] + bytes(other[other_first:]))
    assert (findings.lost_s, findings.duration_s) == (0.0, pytest.approx(3.0, abs=0.05))


def test_a_link_whose_first_page_is_destroyed_is_reported_in_seconds():
    second = bytearray(ogg(2, 4.0))
    second[:47] = bytes(47)
    marks, findings = decode(OPUS + bytes(second) + OPUS)
    assert findings.lost_s == pytest.approx(4.0, abs=1.0)
    assert marks[:3] == pytest.approx([0.0, 1.0, 2.0], abs=0.03)
    assert "0.000 s lost" not in outcome_of("a", findings).detail


MP2 = ts(2, "mp2")
MOVES = {
    "to another PID": MP2 + ts(2, "mp2", 5.0, mpegts_start_pid=0x200),
    "to another PID and codec": MP2 + ts(1, "aac", 5.0, mpegts_start_pid=0x200),
    "to another codec on one PID": MP2 + ts(2, "aac", 5.0),
    "to surround on one PID": MP2 + ts(6, "ac3", 5.0),
    "with its map": MP2 + ts(2, "aac", 5.0, mpegts_start_pid=0x200, mpegts_pmt_start_pid=0x300),
    "to another programme": MP2
    + ts(2, "ac3", 5.0, mpegts_start_pid=0x200, mpegts_pmt_start_pid=0x300, mpegts_service_id=9),
    "beside a picture": ts(2, "mp2", video=True) + ts(2, "aac", 5.0, video=True),
    "to a PID that was announced": encode(
        "mpegts", [Track(beeps(2, 5.0), "mp2"), Track(beeps(2, 5.0), "aac", starts_at_s=5.0)]
    ),
    "in packets of 192 bytes": ts(2, "ac3", mpegts_m2ts_mode=1, mpegts_m2ts_start_pid=0x1100)
    + ts(2, "eac3", 5.0, mpegts_m2ts_mode=1),
}


@pytest.mark.parametrize("move", MOVES)
def test_audio_that_moves_is_followed(move: str):
    marks, findings = decode(MOVES[move])
    assert marks == pytest.approx(list(range(10)), abs=0.06)
    assert findings.lost_s == 0.0
    assert outcome_of("a", findings).outcome is Outcome.DONE


def test_audio_that_moves_twice_and_back():
    _, findings = decode(MP2 + ts(2, "aac", 5.0) + ts(2, "mp2", 10.0))
    assert findings.duration_s == pytest.approx(15.0, abs=0.15)
    marks, _ = decode(MP2 + ts(2, "aac", 5.0) + ts(2, "mp2", 10.0))
    assert marks == pytest.approx(list(range(15)), abs=0.1)


def test_a_break_in_the_transmission_keeps_its_length():
    marks, findings = decode(MP2 + ts(2, "aac", 8.0))
    assert marks == pytest.approx([0, 1, 2, 3, 4, 8, 9, 10, 11, 12], abs=0.06)
    assert findings.lost_s == pytest.approx(3.0, abs=0.1)
    assert findings.lost[0] == (pytest.approx(5.0, abs=0.06), pytest.approx(8.0, abs=0.06))


def test_recordings_with_their_own_clocks():
    marks, findings = decode(MP2 + ts(2, "aac", mpegts_start_pid=0x200))
    assert marks == pytest.approx(list(range(10)), abs=0.06)
    assert (findings.lost_s, findings.clock_resets) == (0.0, 1)


@pytest.mark.parametrize("languages", ["added", "dropped"])
def test_a_language_added_or_removed_changes_nothing(languages: str):
    one = [ts(2, "mp2"), ts(2, "mp2", 5.0)]
    two = [
        encode("mpegts", [Track(beeps(2, 5.0), "mp2", starts_at_s=s), Track(beeps(2, 5.0), "aac", starts_at_s=s)])
        for s in (0.0, 5.0)
    ]
    marks, findings = decode(one[0] + two[1] if languages == "added" else two[0] + one[1])
    assert marks == pytest.approx(list(range(10)), abs=0.06)
    assert outcome_of("a", findings).outcome is Outcome.DONE


def test_a_parallel_second_track_is_not_a_continuation():
    """The first language ends earlier than the second: they are not joined."""
    _, findings = decode(encode("mpegts", [Track(beeps(2, 5.0), "mp2"), Track(beeps(2, 10.0), "mp2")]))
    assert findings.duration_s == pytest.approx(5.0, abs=0.1)


def test_a_program_stream_whose_codec_changes():
    first = encode("mpeg", Track(beeps(2, 5.0), "mp2"))
    marks, _ = decode(first + encode("mpeg", Track(beeps(2, 5.0), "ac3", starts_at_s=5.0)))
    assert marks == pytest.approx(list(range(10)), abs=0.06)


@pytest.mark.parametrize(
    "medium", [MOVES["to another PID"], MOVES["to another codec on one PID"], b"".join(CHAINS["codec"])]
)
def test_damage_anywhere_gives_findings_or_a_rejection(medium: bytes):
    random = np.random.default_rng(0)
    for _ in range(15):
        damaged = bytearray(medium)
        for at in random.integers(0, len(medium), 20):
            damaged[at : at + 50] = random.bytes(50)
        try:
            with open_audio(bytes(damaged), limits=PATIENT) as audio:
                n_samples = sum(len(block) for block in audio)
        except MediaRejected:
            continue
        assert audio.findings.n_samples == n_samples
        assert audio.findings.duration_s < 60
