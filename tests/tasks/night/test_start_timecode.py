"""From the start time code in the media's headers to the transcript's."""

from __future__ import annotations

import struct
from fractions import Fraction

import numpy as np
import pytest

from tasks.media.container.probe import MediaProbe, probe_media
from tasks.night.audio_extraction import frame_rate_name, start_timecode
from tasks.night.transcript_building import build_transcript
from tasks.transcripts.document import Transcript, WarningCode
from tests.tasks.media.making import Track, encode, wav
from tests.tasks.night.builders import PIPELINE, preparation, recognised

SAMPLES = np.zeros((1, 48_000))


def transcript(probe: MediaProbe) -> Transcript:
    found = preparation(start_timecode=start_timecode(probe), timecode_rate=frame_rate_name(probe.frame_rate))
    return build_transcript(found, recognised(), PIPELINE, "0.1.0")


@pytest.mark.parametrize(
    ("frame_rate", "label", "rate", "a_minute_on"),
    [
        (Fraction(24_000, 1_001), "10:00:00:00", "23.976", "10:00:59:23"),
        (Fraction(25), "10:00:00:00", "25", "10:01:00:00"),
        (Fraction(30_000, 1_001), "10:00:00;00", "29.97", "10:00:59;28"),
        (Fraction(50), "10:00:00:00", "50", "10:01:00:00"),
        (Fraction(60_000, 1_001), "10:00:00;00", "59.94", "10:00:59;56"),
        (Fraction(60), "10:00:00:00", "60", "10:01:00:00"),
    ],
)
def test_a_start_timecode_is_kept_at_every_rate(frame_rate: Fraction, label: str, rate: str, a_minute_on: str) -> None:
    track = Track(SAMPLES, "pcm_s16le")
    media = encode("mov", [track], video=True, tags={"timecode": label}, frame_rate=frame_rate)
    made = transcript(probe_media(media))
    assert (made.media.start_timecode, made.media.timecode_rate) == (label, rate)
    assert str(made.media.clock.at(60_000)) == a_minute_on
    assert WarningCode.TIMECODE_IGNORED not in {warning.code for warning in made.warnings}


def test_a_rate_without_timecode_gives_a_warning() -> None:
    found = preparation(start_timecode="10:00:00:00", timecode_rate=frame_rate_name(12.5))
    made = build_transcript(found, recognised(), PIPELINE, "0.1.0")
    assert made.media.start_timecode is None
    (warning,) = [w for w in made.warnings if w.code is WarningCode.TIMECODE_IGNORED]
    assert warning.detail == "times count from zero, not from 10:00:00:00: no time code counts 12.5 frames a second"


@pytest.mark.parametrize(("samples", "start"), [(36_000 * 48_000 + 24_000, "10:00:00:13"), (0, None)])
def test_broadcast_wave_counts_from_midnight(samples: int, start: str | None) -> None:
    plain = wav(SAMPLES, 48_000)
    bext = struct.pack("<256s32s32s10s8sQH254s", b"", b"", b"", b"2026-11-22", b"10:00:00", samples, 1, b"")
    chunk = b"bext" + struct.pack("<I", len(bext)) + bext
    media = plain[:4] + struct.pack("<I", len(plain) - 8 + len(chunk)) + plain[8:12] + chunk + plain[12:]
    assert transcript(probe_media(media)).media.start_timecode == start
