"""Start-up time from `docker run` to a step's first log line, beside the bare interpreter in the same image.

The image is already pulled and its root file system is read-only, as in a pod. What a cluster adds (a node, a pull, a
pod sandbox) is not included. `AIRSCRIPT_CPU_IMAGE` names another image than `airscript/worker-cpu` of this version.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from importlib.metadata import version

from benchmarks.support.harness import Report, make_report, run, time_interleaved

IMAGE = os.environ.get("AIRSCRIPT_CPU_IMAGE") or f"airscript/worker-cpu:{version('airscript')}"
RUN = ("docker", "run", "--rm", "--read-only", "--tmpfs", "/scratch:uid=10001", "--env", "AIRSCRIPT_LOG_FORMAT=json")
NOWHERE = "file:///scratch/nothing"
STEPS = {
    "scan-corpus": ("tasks", f"--media={NOWHERE}"),
    "prepare-corpus": ("tasks", f"--shard={NOWHERE}/part.jsonl"),
    "recognise": ("tasks", f"--prepared={NOWHERE}/result.json", "--model=/opt/airscript/local/demo/base_model/weights"),
    "train": ("training", f"--dataset={NOWHERE}/manifest.json"),
}
REPEATS = 5


def start_interpreter() -> None:
    subprocess.run([*RUN, IMAGE, "-c", "pass"], check=True)


def start_step(step: str) -> Callable[[], None]:
    """A function that runs the step on a missing input: its error is the step's first log line."""
    program, *flags = STEPS[step]
    words = ["-m", program, step, *flags, "--output=file:///scratch/out"]

    def call() -> None:
        done = subprocess.run([*RUN, IMAGE, *words], capture_output=True, text=True, check=False)
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        assert any(line["event"] in ("step failed", "step starts") for line in lines), done.stdout + done.stderr

    return call


def measure() -> Report:
    size = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{.Size}}", IMAGE], check=True, capture_output=True, text=True
    )
    contenders = {"python -c pass": start_interpreter, **{step: start_step(step) for step in STEPS}}
    rows = time_interleaved(contenders, peer="python -c pass", work=1.0, repeats=REPEATS)
    notes = [f"{IMAGE}: {int(size.stdout) / 1e9:.2f} GB unpacked"]
    what = "start of a step in its image"
    return make_report("step_start", what, "starts a second", "python -c pass", (), rows, notes)


if __name__ == "__main__":
    run(__doc__ or "", measure)
