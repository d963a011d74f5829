"""The steps of a night, one after the other in this process, for benchmarks that have no use for Airflow."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from tasks.contract import STEPS, Receipt
from tasks.progress import no_progress
from tasks.step import run_step


def transcribe(inbox: Path, root: Path, model: Path, diarizer: str = "") -> tuple[Receipt, Receipt]:
    """plan-night, prepare-media, recognise and, beside it, diarize if a diarizer is named, publish; all below `root`.

    Returns the receipts of recognise and publish. All is one batch.
    """

    def step(name: str, **arguments: Any) -> Receipt:
        definition = STEPS[name]
        return run_step(definition, definition.arguments(output=(root / name).as_uri(), **arguments), no_progress)

    transcripts = (root / "transcripts").as_uri()
    plan = step(
        "plan-night",
        inbox=inbox.as_uri(),
        transcripts=transcripts,
        model=str(model),
        diarizer=diarizer or str(model),  # resolved, and not run
        batches=1,
        settle_s=0,
    )
    (batch,) = plan.items
    prepared = step("prepare-media", batch=batch.uri).result
    with ThreadPoolExecutor(1) as beside:
        heard = partial(step, "diarize", prepared=prepared, diarizer=plan.labels["diarizer"])
        diarized = beside.submit(heard) if diarizer else None
        recognised = step("recognise", prepared=prepared, model=plan.labels["model"])
    published = step(
        "publish",
        batch=batch.uri,
        prepared=prepared,
        recognised=recognised.result,
        diarized=diarized.result().result if diarized else "",
        transcripts=transcripts,
    )
    return recognised, published
