"""All kinds of broken files in the inbox beside good programmes."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tasks import storage
from tasks.contract import Outcome
from tasks.publishing.transcripts import MANIFEST_NAME, is_complete
from tasks.reporting.records import NightRow
from tasks.step import load_result, output_uri
from tasks.storage.records import read_lines
from tests.faults.night import Night

GOOD = 10
TRANSCRIBED = {Outcome.DONE, Outcome.DONE_WITH_WARNINGS}


@pytest.mark.slow  # decodes and recognises
def test_good_programmes_are_transcribed_and_each_bad_one_has_an_outcome(speech: Path, tmp_path: Path) -> None:
    import torch

    from local.demo.base_model.model import export, make_model

    torch.set_num_threads(1)
    torch.manual_seed(1)
    model = tmp_path / "model"
    model.mkdir()
    export(make_model(hidden_size=32, n_layers=1), model)
    night = Night((tmp_path / "storage").as_uri(), str(model), batches=2)
    inbox = storage.path_of(night.at("inbox"))
    inbox.mkdir(parents=True)
    good = sorted((speech / "sentences" / "audiobook").glob("*.flac"))[:GOOD]
    for number, path in enumerate(good):
        shutil.copy(path, inbox / f"good-{number}{path.suffix}")
    shutil.copytree(speech / "hostile", inbox / "hostile")
    listed = [json.loads(line) for line in (speech / "hostile" / "manifest.jsonl").read_text().splitlines()]

    report = night.run()

    rows = list(read_lines(NightRow, output_uri(report.result, load_result(report.result), "index.jsonl")))
    by_name = {storage.name_of(row.media): row for row in rows}
    assert [by_name[f"good-{n}.flac"].outcome in TRANSCRIBED for n in range(GOOD)] == [True] * GOOD
    # The files beside them, a description and a transcript, are sidecars.
    bad = [row for row in rows if "/hostile/" in row.media]
    sidecars = {"manifest.jsonl"}
    expected = {Path(item["path"]).name for item in listed} - sidecars
    assert {storage.name_of(row.media) for row in bad} <= expected
    assert len(bad) >= len(listed) - 3
    for row in bad:
        assert row.outcome.is_done or row.reason, row
        assert row.outcome is not Outcome.FAILED, row  # neither a transient fault nor a bug
        if row.transcript:
            assert is_complete(storage.join(row.transcript, MANIFEST_NAME))
    outcomes = Counter(row.outcome for row in bad)
    assert outcomes[Outcome.QUARANTINED] >= 20
    assert sum(outcomes.values()) == len(bad)
    assert report.warnings, "the night succeeds, with warnings"
