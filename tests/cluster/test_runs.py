"""Whole runs with pods, from media to results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cluster.installation import BASE_MODEL, BUCKET, Platform, Watcher


@pytest.fixture(scope="module")
def inbox(platform: Platform, channel: Path) -> list[Path]:
    """Uploads two programmes and a file that is not media; returns the programmes."""
    files = sorted(path for path in (channel / "inbox").iterdir() if "headlines" in path.name)[:2]
    broken = sorted(path for path in (channel / "inbox").iterdir() if "late-film" in path.name)
    for path in [*files, *broken]:
        platform.s3.upload_file(str(path), BUCKET, f"inbox/{path.name}")
    return files


def test_a_corpus_becomes_a_dataset(platform: Platform, dataset: str) -> None:
    kept = json.loads(platform.read(dataset.removeprefix(f"s3://{BUCKET}/")))["kept"]
    assert kept["train"]["count"] > 0


def test_an_inbox_becomes_transcripts(platform: Platform, inbox: list[Path], watcher: Watcher) -> None:
    conf = {"model": BASE_MODEL, "batches": 1}
    run = platform.follow(platform.api.trigger("nightly_transcription", conf), watcher)
    assert run.state == "success", platform.describe(run)
    published = [key for key in platform.keys("transcripts/") if key.endswith("/manifest.json")]
    assert sorted(key.split("/")[1] for key in published) == sorted(path.stem for path in inbox)
    assert platform.keys("transcripts/_quarantine")
    assert all(tries == 1 for _state, tries in platform.tries(run).values()), platform.tries(run)
    assert not watcher.look(), "pods are deleted when they have ended"
