"""Killed steps and a crashing decoder: a restart gives the same bytes, a bad file costs only its programme."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from tasks import storage
from tasks.contract import STEPS, Outcome, Reason, Receipt
from tasks.dataset.manifest import LOCATIONS
from tasks.progress import no_progress
from tasks.step import load_result, run_step
from tests.tasks.corpus.steps.results import N_PROGRAMMES, fill, outcomes


@pytest.mark.slow  # thirty processes
def test_kill_9_at_thirty_random_moments_then_the_same_bytes(folder) -> None:
    """Kill each step that writes data ten times at a random moment, then restart it."""
    fill(folder)
    scan = folder.scan(shards=1)
    (prepared,) = folder.prepare(scan)
    (extracted,) = folder.extract([prepared])
    assembled = folder.assemble(scan, [extracted])
    arguments = {
        "prepare-corpus": (prepared, {"shard": scan.items[0].uri}),
        "extract-features": (extracted, {"prepared": prepared.result}),
        "assemble-dataset": (assembled, {"scan": scan.result, "extracted": (extracted.result,)}),
    }
    # The fork server has the libraries loaded, so a step starts at once and is killed in the middle of its work.
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(
        ["torch", *(STEPS[name].module for name in arguments), "tasks.corpus.utterances.programme"]
    )
    rng = np.random.default_rng(0)
    for name, (undisturbed, given) in arguments.items():
        output = storage.join(folder.root, "killed", name)
        step = (STEPS[name], STEPS[name].arguments(output=output, **given), no_progress)
        longest_s, n_killed = min(undisturbed.seconds, 2.0), 0
        while n_killed < 10:
            process = processes.Process(target=run_step, args=step)
            process.start()
            process.join(float(rng.uniform(0.0, longest_s)))
            process.kill()
            process.join()
            n_killed += process.exitcode == -signal.SIGKILL
            if process.exitcode == 0:  # it finished first: start again, and kill it sooner
                longest_s *= 0.7
                for item in list(storage.list_objects(output)):
                    storage.delete(item.uri)
        assert contents(run_step(*step)) == contents(undisturbed)


def contents(receipt: Receipt) -> dict[str, str]:
    outputs = load_result(receipt.result).outputs
    return {name: artifact.sha256 for name, artifact in outputs.items() if name != LOCATIONS}  # contains URIs


@pytest.mark.parametrize("seconds", [3.0, 40.0])
def test_a_file_that_crashes_the_decoder_loses_only_its_programme(
    folder, seconds: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever its size."""
    decoder = tmp_path / "decoder"
    decoder.write_text(
        f"#!{sys.executable}\n"
        "import os, sys\n"
        "from tasks.media.decoding import isolated_child\n"
        "decode = isolated_child.send_decoded\n"
        "def crash(media, request, output):\n"
        "    media.read(100).endswith(b'?' * 56) and os.abort()\n"
        "    decode(media, request, output)\n"
        "isolated_child.send_decoded = crash\n"
        "sys.argv[1:] = sys.argv[-1:]\n"
        "sys.exit(isolated_child.main())\n"
    )
    decoder.chmod(0o755)
    fill(folder)
    folder.add("crash", seconds=seconds, seed=1)
    crash = storage.join(folder.media, "crash.wav")
    storage.write(crash, storage.read_bytes(crash)[:44] + b"?" * 56 + storage.read_bytes(crash)[100:])
    monkeypatch.setattr("tasks.media.decoding.isolated.sys.executable", str(decoder))
    prepared = folder.prepare(folder.scan())
    found = outcomes(prepared)
    assert (found["crash"].outcome, found["crash"].reason) == (Outcome.REJECTED, Reason.DECODE_ERROR)
    assert "SIGABRT" in found["crash"].detail
    assert sum(receipt.counts["programmes_used"] for receipt in prepared) == N_PROGRAMMES
