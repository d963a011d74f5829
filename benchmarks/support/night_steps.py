"""The steps of a night, one after the other in this process, for benchmarks without Airflow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from tasks.contract import STEPS, Receipt, to_argv
from tasks.progress import no_progress
from tasks.recognition.allocator import keep_freed_memory
from tasks.step import run_step


def transcribe(inbox: Path, root: Path, model: Path, diarizer: str = "") -> tuple[Receipt, Receipt]:
    """Run plan-night, prepare-media, recognise (in parallel with diarize, if a diarizer is given) and publish.

    All media are one batch; all outputs are below `root`. Returns the receipts of recognise and publish.
    """
    # In a night, recognise is a process of its own. Its threads here inherit arenas of malloc from the steps before
    # it. They are too small for an encoder's blocks: each window of 30 s took 105,000 page faults and a third longer.
    keep_freed_memory()

    def step(name: str, **arguments: Any) -> Receipt:
        definition = STEPS[name]
        return run_step(definition, definition.arguments(output=(root / name).as_uri(), **arguments), no_progress)

    transcripts = (root / "transcripts").as_uri()
    plan = step(
        "plan-night",
        inbox=inbox.as_uri(),
        transcripts=transcripts,
        model=str(model),
        diarizer=diarizer or str(model),  # resolved but not run
        batches=1,
        settle_s=0,
    )
    (batch,) = plan.items
    prepared = step("prepare-media", batch=batch.uri).result
    receipt = root / "diarize.json"
    parallel = None
    if diarizer:  # in its own process, as in a night
        definition = STEPS["diarize"]
        arguments = definition.arguments(
            output=(root / "diarize").as_uri(),
            receipt=receipt.as_uri(),
            prepared=prepared,
            diarizer=plan.labels["diarizer"],
        )
        parallel = subprocess.Popen([sys.executable, *definition.command(to_argv(arguments))])
    recognised = step("recognise", prepared=prepared, model=plan.labels["model"])
    diarized = ""
    if parallel:
        parallel.wait()
        diarized = Receipt.model_validate_json(receipt.read_bytes()).result
    published = step(
        "publish",
        batch=batch.uri,
        prepared=prepared,
        recognised=recognised.result,
        diarized=diarized,
        transcripts=transcripts,
    )
    return recognised, published
