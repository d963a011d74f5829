from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ttconv.time_code import SmpteTimeCode

from tasks.transcripts.timecode import Clock, FrameRate, frame_rate_of

RATES: dict[FrameRate, Fraction] = {
    "23.976": Fraction(24_000, 1_001),
    "24": Fraction(24),
    "25": Fraction(25),
    "29.97": Fraction(30_000, 1_001),
    "30": Fraction(30),
    "50": Fraction(50),
    "59.94": Fraction(60_000, 1_001),
    "60": Fraction(60),
}
DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("start", "rate", "time_ms", "label"),
    [
        ("10:00:00:00", "25", 0, "10:00:00:00"),
        ("10:00:00:00", "25", 4_641, "10:00:04:16"),
        ("10:00:00:00", "25", 6 * 3_600_000, "16:00:00:00"),
        ("23:59:59:24", "25", 40, "00:00:00:00"),
        ("00:00:00:00", "30", 999, "00:00:01:00"),
        ("00:00:00;00", "29.97", 60_060, "00:01:00;02"),  # 1,800 frames: labels ;00 and ;01 are left out
        ("00:00:00;00", "29.97", 59_993, "00:00:59;28"),
        ("00:00:00;00", "29.97", 600_600, "00:10:00;18"),
        ("00:00:00;00", "29.97", 3_600_000, "01:00:00;00"),  # the hour differs by 3.6 ms
        ("00:00:00:00", "29.97", 3_600_000, "00:59:56:12"),
        ("23:59:59;29", "29.97", 34, "00:00:00;00"),
        ("10:00:00:00", "50", 4_640, "10:00:04:32"),
        ("00:00:00;00", "59.94", 60_060, "00:01:00;04"),  # 3,600 frames: labels ;00 to ;03 are left out
        ("00:00:00;00", "59.94", 3_600_000, "01:00:00;00"),
        ("23:59:59;59", "59.94", 17, "00:00:00;00"),
    ],
)
def test_known_labels(start: str, rate: FrameRate, time_ms: int, label: str):
    assert str(Clock(start, rate).at(time_ms)) == label


@given(st.sampled_from(sorted(RATES)), st.booleans(), st.integers(0, DAY_MS - 1_000), st.integers(0, 3_000_000))
def test_labels_agree_with_ttconv(rate: FrameRate, drop: bool, offset_ms: int, time_ms: int):
    drop = drop and rate in ("29.97", "59.94")
    start = SmpteTimeCode.from_frames(offset_ms * RATES[rate] // 1_000, RATES[rate], is_df=drop)
    clock = Clock(f"{str(start)[:8]}{';' if drop else ':'}{start.get_frames():02d}", rate)
    assert clock.start_frame == start.to_frames()
    n_frames = start.to_frames() + int(Fraction(time_ms, 1_000) * RATES[rate] + Fraction(1, 2))
    expected = SmpteTimeCode.from_frames(n_frames, RATES[rate], is_df=drop)
    found = clock.at(time_ms)
    if expected.get_hours() < 24:
        assert (found.hours, found.minutes, found.seconds, found.frames) == (
            expected.get_hours(),
            expected.get_minutes(),
            expected.get_seconds(),
            expected.get_frames(),
        )
    assert found.hours < 24


@pytest.mark.parametrize(
    ("frames_per_s", "name"),
    [(23.98, "23.976"), (24_000 / 1_001, "23.976"), (29.97, "29.97"), (60_000 / 1_001, "59.94"), (12.5, None)],
)
def test_rates_by_broadcasts_own_names(frames_per_s: float, name: str | None):
    assert frame_rate_of(frames_per_s) == name


@pytest.mark.parametrize(
    ("start", "rate", "halved"),
    [
        ("10:00:00:49", "50", ("10:00:00:24", "25")),
        ("00:01:00;04", "59.94", ("00:01:00;02", "29.97")),
        ("10:00:00:24", "25", ("10:00:00:24", "25")),
    ],
)
def test_every_second_frame(start: str, rate: FrameRate, halved: tuple[str, str]):
    half = Clock(start, rate).halved
    assert (half.start, half.rate) == halved


@pytest.mark.parametrize(
    ("start", "rate", "reason"),
    [
        ("10:00:00:25", "25", "not a time code"),
        ("1:00:00:00", "25", "not a time code"),
        ("24:00:00:00", "25", "not a time code"),
        ("10:00:00;00", "25", "drop-frame"),
    ],
)
def test_impossible_starts_are_refused(start: str, rate: FrameRate, reason: str):
    with pytest.raises(ValueError, match=reason):
        Clock(start, rate)
