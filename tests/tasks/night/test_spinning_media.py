"""Files that make the decoder spin: they cost a batch seconds, nobody else's programme, and no later night."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from tasks import storage
from tasks.contract import TRANSIENT_REASONS, ExitCode, Outcome, Reason
from tasks.contract.arguments import PrepareMedia
from tasks.media.decoding import isolated
from tasks.media.limits import MediaLimits
from tasks.night.records import PREPARED, Batch, Preparation
from tasks.night.steps import prepare
from tasks.progress import no_progress
from tasks.step import StepContext
from tasks.storage.records import read_lines
from tests.tasks.media.acting import write_acting_child
from tests.tasks.night.builders import PIPELINE, arrival
from tests.tasks.night.media import wav

N_SPINNING = 12
WITHIN_S = 2.0
SPIN = """
media.seek(44)
if media.read(2) == b'!!':
    while True: pass
media.seek(0)
decode(media, request, output)
"""
STEP = """
import sys
from tasks.command import main
from tasks.media.decoding import isolated
isolated.sys.executable = sys.argv[1]
sys.exit(main("tasks", sys.argv[2:]))
"""


def write_batch(folder: Path, *, n_spinning: int) -> str:
    """A batch of files whose first sample makes the decoder spin, with one in their midst that does not."""
    arrivals = []
    for number in range(n_spinning + 1):
        name = f"news-{number:02d}"
        uri = storage.file_uri(folder / "inbox" / f"{name}.wav")
        content = bytearray(wav(np.random.default_rng(number).normal(0, 0.01, 16_000)))
        if number != n_spinning // 2:
            content[44:46] = b"!!"
        storage.write(uri, bytes(content))
        found = storage.info(uri)
        arrivals.append(arrival(name, found.size, uri).model_copy(update={"etag": found.etag}))
    batch = Batch(pipeline=PIPELINE, transcripts=storage.file_uri(folder / "transcripts"), programmes=tuple(arrivals))
    uri = storage.file_uri(folder / "batch.json")
    storage.write(uri, batch.model_dump_json().encode())
    return uri


def test_twelve_of_them_cost_a_batch_nothing_but_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated.sys, "executable", str(write_acting_child(tmp_path, SPIN)))
    monkeypatch.setattr(isolated, "MediaLimits", lambda: MediaLimits(stalled_cpu_s=0.05))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    context = StepContext(storage.file_uri(tmp_path / "work" / "key"), "first", scratch, no_progress)
    arguments = PrepareMedia(
        output=storage.file_uri(tmp_path / "work"), batch=write_batch(tmp_path, n_spinning=N_SPINNING), workers=2
    )
    output = prepare.run(arguments, context)
    found = list(read_lines(Preparation, storage.join(context.prefix, context.path(PREPARED))))
    good = found.pop(N_SPINNING // 2)
    assert good.outcome.is_done
    assert {(p.outcome, p.reason) for p in found} == {(Outcome.REJECTED, Reason.DECODER_LIMIT)}
    assert Reason.DECODER_LIMIT not in TRANSIENT_REASONS, "publish puts it into quarantine this night"
    assert output.n_retryable == 0
    assert output.counts["rejected:decoder_limit"] == N_SPINNING


def test_a_step_whose_decoders_spin_answers_sigterm(tmp_path: Path) -> None:
    child = write_acting_child(tmp_path, SPIN)
    batch = write_batch(tmp_path, n_spinning=3)
    step = subprocess.Popen(
        [
            *(sys.executable, "-c", STEP, str(child), "prepare-media", "--workers=2"),
            *(f"--batch={batch}", f"--output={storage.file_uri(tmp_path / 'work')}"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert step.stdout is not None
    spinning = wait_for_spinning(step.pid)
    step.send_signal(signal.SIGTERM)
    told_at = time.monotonic()
    printed = step.stdout.read()
    code = step.wait()
    assert time.monotonic() - told_at < WITHIN_S
    assert code == ExitCode.PREEMPTED, printed
    assert not any(Path(f"/proc/{pid}").exists() for pid in spinning)


def wait_for_spinning(step: int, patience_s: float = 60.0) -> list[int]:
    """The processes that decode for a step: grandchildren that have spent processor time of their own."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        with contextlib.suppress(psutil.NoSuchProcess):
            decoders = [process for server in psutil.Process(step).children() for process in server.children()]
            spinning = [process.pid for process in decoders if sum(process.cpu_times()[:2]) > 0.3]
            if spinning:
                return spinning
        time.sleep(0.05)
    raise AssertionError("nothing spins")
