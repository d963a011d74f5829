"""The projection is arithmetic on a benchmark's report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.projection import Assumptions, project

PIPELINE = {
    "machine": {"processor": "a processor"},
    "rows": [
        {"name": "m4a: decode alone", "rate": 800.0},
        {"name": "m4a: airscript, audio kept", "rate": 250.0},
        {"name": "wav: airscript, audio kept", "rate": 500.0},
    ],
    "quantities": {"bytes an hour, features": 60e6, "bytes an hour, features and audio": 140e6},
}
FEATURES = {"rows": [{"name": "airscript parakeet", "rate": 2_000.0}, {"name": "airscript parakeet, GPU", "rate": 5e3}]}


def test_ten_thousand_hours() -> None:
    found = project(PIPELINE, Assumptions(hours=10_000, shards=400, speech_share=0.5))
    assert found.core_hours == 40
    assert found.gpu_hours is None
    assert found.shard_bytes == 0.5 * 10_000 * 140e6
    assert found.feature_bytes == 0.5 * 10_000 * 60e6
    assert found.pods == 800
    assert found.pod_minutes == 6


def test_other_media_and_a_gpu() -> None:
    found = project(PIPELINE, Assumptions(hours=10_000, kind="wav"), FEATURES)
    assert found.core_hours == 20
    assert found.gpu_hours == 2


def test_media_that_were_not_measured_are_refused() -> None:
    with pytest.raises(ValueError, match="no 'opus', only m4a, wav"):
        project(PIPELINE, Assumptions(kind="opus"))


def test_the_command_reads_a_report_and_measures_nothing(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.json"
    path.write_text(json.dumps(PIPELINE))
    command = [sys.executable, "-m", "benchmarks.projection", "--json", str(path), "--hours", "1000"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "1,000 hours of m4a" in done.stdout
    assert "no GPU measured" in done.stdout
