"""Results of steps that did not run, for tests of later steps."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from tasks import storage
from tasks.contract import Artifact, StepResult, digest_of
from tasks.night.records import PREPARED, Batch, Preparation, RecognisedProgramme, words_name
from tasks.storage.records import to_lines


def write_result(folder: str, step: str, outputs: dict[str, bytes], **facts: object) -> str:
    """Write a result with `outputs` under `folder`. Returns its URI."""
    artifacts = {}
    for name, data in outputs.items():
        storage.write(storage.join(folder, name), data)
        artifacts[name] = Artifact(path=name, bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    result = StepResult(
        step=step,
        step_version=1,
        key=digest_of([step, {name: a.sha256 for name, a in artifacts.items()}]),
        arguments={},
        inputs={},
        outputs=artifacts,
        finished_at=datetime(2026, 11, 22, tzinfo=UTC),
        code_version="0.1.0",
        **facts,
    )
    uri = storage.join(folder, "result.json")
    storage.write(uri, result.to_bytes())
    return uri


def prepared_and_recognised(
    root: str,
    batch: Batch,
    preparations: list[Preparation],
    recognised: list[RecognisedProgramme],
    audio: dict[str, bytes] | None = None,
) -> dict[str, str]:
    """Write the results before publish; `audio` by name of the output. Returns publish's arguments."""
    batch_uri = storage.join(root, "plan", "batch.json")
    storage.write(batch_uri, batch.model_dump_json().encode())
    words = {words_name(r.arrival): r.model_dump_json().encode() for r in recognised}
    return {
        "batch": batch_uri,
        "prepared": write_result(
            storage.join(root, "prepared"), "prepare-media", {PREPARED: to_lines(preparations), **(audio or {})}
        ),
        "recognised": write_result(storage.join(root, "recognised"), "recognise", words, metrics={"rtfx": 50.0}),
        "transcripts": batch.transcripts,
    }
