"""Preparing: the choice of the audio track, and the grouping of possible copies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tasks import storage
from tasks.contract.arguments import AUTO_LANGUAGE, PrepareMedia
from tasks.night.records import PREPARED, Batch, Preparation
from tasks.night.steps import prepare
from tasks.progress import no_progress
from tasks.step import StepContext
from tasks.storage.records import read_lines
from tests.tasks.media.making import Track, encode
from tests.tasks.night.builders import PIPELINE, arrival


@pytest.mark.parametrize(("language", "track"), [(AUTO_LANGUAGE, 0), ("cy", 1), ("en-GB", 0), ("sv", 0)])
def test_the_requested_language_selects_the_track(language: str, track: int, tmp_path: Path) -> None:
    tone = 0.1 * np.sin(np.arange(48_000, dtype=np.float32)[None] / 10)
    tracks = [
        Track(tone, "pcm_s16le", tags={"language": "eng"}, dispositions=("default",)),
        Track(tone, "pcm_s16le", tags={"language": "cym"}),
    ]
    uri = storage.file_uri(tmp_path / "inbox" / "news.mkv")
    storage.write(uri, encode("matroska", tracks))
    found = storage.info(uri)
    media = arrival(uri=uri, n_bytes=found.size).model_copy(update={"etag": found.etag})
    pipeline = PIPELINE.model_copy(update={"language": language})
    batch = Batch(pipeline=pipeline, transcripts=storage.file_uri(tmp_path / "transcripts"), programmes=(media,))
    batch_uri = storage.file_uri(tmp_path / "batch.json")
    storage.write(batch_uri, batch.model_dump_json().encode())
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    context = StepContext(storage.file_uri(tmp_path / "work" / "key"), "first", scratch, no_progress)
    prepare.run(PrepareMedia(output=storage.file_uri(tmp_path / "work"), batch=batch_uri, workers=1), context)
    (prepared,) = read_lines(Preparation, storage.join(context.prefix, context.path(PREPARED)))
    assert prepared.track == track


def test_only_possible_copies_wait_for_each_other(storage_root: str) -> None:
    """A logger's hourly files have equal sizes but are not copies."""
    data = {"hour-1": b"first", "hour-2": b"other", "hour-1-again": b"first", "no-1": b"", "no-2": b"", "film": b"x"}
    arrivals = [arrival(name, len(b), storage.join(storage_root, name)) for name, b in data.items()]
    for found in arrivals:
        if data[found.programme]:
            storage.write(found.uri, data[found.programme])
    groups = [[found.programme for found in group] for group in prepare.group_possible_copies(arrivals)]
    assert groups == [["hour-1", "hour-1-again"], ["hour-2"], ["no-1", "no-2"], ["film"]]
