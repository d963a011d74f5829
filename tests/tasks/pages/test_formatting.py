from __future__ import annotations

import pytest

from tasks.pages.formatting import clock, data_uri, number, percent, phrase, share


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (125, "2:05"), (3600, "1:00:00")])
def test_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_figures() -> None:
    assert number(12345.678, 1) == "12,345.7"
    assert number(None) == ""
    assert percent(0.12345) == "12.35 %"
    assert percent(None) == ""
    assert share(1, 8) == "12.5 %"
    assert share(0, 0) == "–"
    assert phrase("done_no_speech") == "done no speech"
    assert data_uri(b"fLaC", "audio/flac") == "data:audio/flac;base64,ZkxhQw=="
