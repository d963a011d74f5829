"""Preparing: which of a medium's tracks is heard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tasks import storage
from tasks.contract.arguments import AUTO_LANGUAGE, PrepareMedia
from tasks.night import prepare
from tasks.night.records import PREPARED, Batch, Preparation, read_lines
from tasks.progress import no_progress
from tasks.step import StepContext
from tests.tasks.media.making import Track, encode
from tests.tasks.night.builders import PIPELINE, arrival


@pytest.mark.parametrize(("language", "track"), [(AUTO_LANGUAGE, 0), ("cy", 1), ("en-GB", 0), ("sv", 0)])
def test_the_language_asked_for_is_the_track_heard(language: str, track: int, tmp_path: Path) -> None:
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
