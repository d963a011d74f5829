"""The last days side by side, for a night's report."""

from __future__ import annotations

import sqlite3
from datetime import date, timedelta
from pathlib import Path

from tasks.desk.index.schema import open_index
from tasks.reporting.trend import N_DAYS, Day

# Every run counts on its day, nights and arrivals alike. A night's name begins with its date.
DAYS = """
SELECT substr(night, 1, 10) AS day,
       sum(duration_s) / 3600 AS hours,
       sum(confidence * words) / sum(CASE WHEN confidence IS NULL THEN 0 ELSE words END) AS confidence,
       sum(CASE WHEN review THEN duration_s ELSE 0 END) / sum(duration_s) AS reviewed,
       1.0 * sum(errors) / sum(reference_words) AS error_rate,
       sum(CASE WHEN rtfx THEN duration_s ELSE 0 END) / sum(duration_s / rtfx) AS rtfx,
       3600 * sum(cost) / sum(CASE WHEN cost IS NULL THEN 0 ELSE duration_s END) AS cost_per_hour,
       sum(compute_s) / sum(CASE WHEN compute_s IS NULL THEN 0 ELSE duration_s END) AS compute_per_hour
FROM programmes WHERE key IS NOT NULL AND night >= ? AND night < ? AND duration_s > 0 GROUP BY 1 ORDER BY 1
"""


def last_days(folder: Path, last: date) -> tuple[Day, ...]:
    """Return the days up to `last` on which programmes were transcribed, the oldest first; none without an index."""
    index = open_index(folder)
    if index is None:
        return ()
    try:
        bounds = (str(last - timedelta(days=N_DAYS - 1)), str(last + timedelta(days=1)))
        return tuple(_day(row) for row in index.execute(DAYS, bounds))
    finally:
        index.close()


def _day(row: sqlite3.Row) -> Day:
    return Day(**{name: row[name] for name in row.keys() if name != "day"}, day=date.fromisoformat(row["day"]))  # noqa: SIM118
