"""Clips of human speech with plain text: trimmed to the speech without cutting into it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq

from tasks import storage
from tasks.step import load_result, output_uri

N_CLIPS = 6


def test_clips_with_plain_text(folder, speech: Path) -> None:
    media = storage.path_of(folder.media)
    media.mkdir(parents=True)
    durations_s: dict[str, float] = {}
    for line in (speech / "manifest.jsonl").read_text().splitlines():
        clip = json.loads(line)
        if clip["path"].startswith("sentences/audiobook") and len(durations_s) < N_CLIPS and clip["duration"] < 15:
            name = f"clip{len(durations_s)}"
            shutil.copy(speech / clip["path"], media / f"{name}{Path(clip['path']).suffix}")
            (media / f"{name}.txt").write_text(clip["text"])
            durations_s[name] = clip["duration"]
    prepared = folder.prepare(folder.scan(shards=1))[0]
    table = pq.read_table(
        storage.path_of(output_uri(prepared.result, load_result(prepared.result), "utterances.parquet"))
    )
    found = dict(zip(table["programme_id"].to_pylist(), table["duration_s"].to_pylist(), strict=True))
    assert found.keys() == durations_s.keys()
    for name, duration_s in durations_s.items():
        assert 0.7 * duration_s <= found[name] <= duration_s + 0.001
