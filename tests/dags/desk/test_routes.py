"""What the server of a programme's page answers: rights, foreign pages, policy, ranges, bad drafts."""

from __future__ import annotations

import pytest

from dags.plugins.desk.ranges import requested_range


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-9", range(0, 10)),
        ("bytes=90-", range(90, 100)),
        ("bytes=90-200", range(90, 100)),
        ("bytes=-5", range(95, 100)),
        ("bytes=-500", range(0, 100)),
        ("bytes=100-", range(100, 100)),
        ("bytes=-0", range(100, 100)),
        ("", None),
        ("bytes=5-2", None),
        ("bytes=0-1,5-6", None),
        ("bytes=-", None),
        ("items=0-1", None),
    ],
)
def test_ranges(header: str, expected: range | None) -> None:
    assert requested_range(header, 100) == expected
