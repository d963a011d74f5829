"""Everything that runs on a GPU, on one GPU, in at most eight minutes: speed, memory, and the bars that were set.

    python -m benchmarks.gpu [--parts NAME ...] [--whisper DIR] [--diarizer DIR] [--minutes 8] [--json FILE]
    python -m benchmarks.gpu --tiny      # every part in its smallest form, without a GPU too: does it run?

| part | what | bar |
|---|---|---|
| features | log-mel of each family, from main memory to main memory | 5,000 x real time |
| whispers | the step recognise, float16: Whisper base, and random weights of large-v3-turbo's size | 1.2 x batched |
| parakeet | a CTC model of Parakeet's size with random weights, beside transformers | |
| training | Whisper small and large-v3-turbo in bfloat16, all weights | 1.3 x transformers' Trainer, data wait 3 % |
| stopping | SIGTERM to a checkpoint, and the first step after it | 60 s |
| speakers | diarization beside pyannote's pipeline with the same networks | |

Every part is a process of its own with a share of the time, so that one that fails or hangs leaves the others. A part
whose packages are missing is named and passed over: on a machine without network carry the wheels that it lacks. The
features need torch alone, the others what the worker needs for the same work. Without `--whisper` the base is the one
that `python -m local.weights` installed, or else has random weights.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from benchmarks.support.gpu.plan import Figure, Plan
from benchmarks.support.harness import Machine, argument_parser, this_machine

# The module below `benchmarks.support.gpu` with a function of the part's name. The part's own process imports it, since
# each needs other packages.
PARTS = {
    "features": "inference",
    "whispers": "inference",
    "parakeet": "inference",
    "training": "finetuning",
    "stopping": "finetuning",
    "speakers": "inference",
}
SHARES = {"features": 0.1, "whispers": 0.3, "parakeet": 0.1, "training": 0.35, "stopping": 0.05, "speakers": 0.1}
PACKAGES = ("torch", "transformers", "ctranslate2", "faster-whisper", "pyannote.audio", "numpy")


@dataclass(frozen=True)
class Findings:
    """The benchmark's results."""

    machine: Machine
    gpu: str
    versions: dict[str, str]
    seconds: float
    figures: list[Figure]
    failed: dict[str, str]
    """Why a part gave no figures, or not all."""


def gpu_name() -> str:
    """The GPU and its driver's CUDA; empty without one."""
    import torch

    if not torch.cuda.is_available():
        return ""
    return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"


def versions() -> dict[str, str]:
    """The versions of the packages that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def part_named(name: str) -> Callable[[Plan], Iterator[Figure]]:
    """Return the function that measures a part."""
    measure: Callable[[Plan], Iterator[Figure]] = getattr(
        importlib.import_module(f"benchmarks.support.gpu.{PARTS[name]}"), name
    )
    return measure


def run_part(name: str, options: Namespace, limit_s: float) -> tuple[list[Figure], str]:
    """Run a part in a process of its own. Return its figures, and why it ended early or empty."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "figures.jsonl"
        arguments = [sys.executable, "-m", "benchmarks.gpu", "--part", name, "--json", str(found), "--folder", folder]
        arguments += ["--tiny"] if options.tiny else []
        for flag in ("whisper", "diarizer"):
            arguments += [f"--{flag}", str(getattr(options, flag))] if getattr(options, flag) else []
        problem = ""
        try:
            done = subprocess.run(arguments, timeout=limit_s, capture_output=True, text=True, check=False)
            if done.returncode:
                problem = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
        except subprocess.TimeoutExpired:
            problem = f"took longer than its {limit_s:.0f} s"
        lines = found.read_text().splitlines() if found.exists() else []
        return [Figure(**json.loads(line)) for line in lines], problem


def measure_part(name: str, plan: Plan, sink: Path) -> None:
    """Run a part here, and write each figure as soon as it is known."""
    os.environ.setdefault("AIRSCRIPT_MODEL_CACHE", str(plan.folder / "cache"))
    with sink.open("w") as lines:
        for figure in part_named(name)(plan):
            lines.write(json.dumps(asdict(figure)) + "\n")
            lines.flush()


def show(found: Findings) -> None:
    """Print the findings; plainly, because the machine may lack everything but torch."""
    for figure in found.figures:
        bar = figure.at_least if figure.at_least is not None else figure.at_most
        verdict = {True: f"bar {bar}: met", False: f"bar {bar}: NOT MET", None: ""}[figure.is_met]
        print(f"{figure.part:12} {figure.what:60} {figure.value:12,.3f} {figure.unit:12} {verdict}")
    for part, why in found.failed.items():
        print(f"{part}: not measured in full: {why}")
    machine = found.machine
    print(f"{found.gpu or 'no GPU'}; {machine.processor}, {machine.cores} cores, Python {machine.python}")
    print(", ".join(f"{name} {version}" for name, version in found.versions.items()))
    print(f"{found.seconds:.0f} s in all")


def main() -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="only these")
    parser.add_argument("--whisper", type=Path, help="folder of a trained Whisper")
    parser.add_argument("--diarizer", type=Path, help="folder of a diarizer with trained weights")
    parser.add_argument("--minutes", type=float, default=8.0, help="time for all parts together")
    parser.add_argument("--tiny", action="store_true", help="the smallest form, on the CPU if there is no GPU")
    parser.add_argument("--part", choices=PARTS, help="run this part in this process (internal)")
    parser.add_argument("--folder", type=Path, help="for models and data (internal)")
    options = parser.parse_args()
    gpu = gpu_name()
    if not gpu and not options.tiny:
        import torch

        print(
            f"no GPU here: torch {torch.__version__} sees no CUDA device, so nothing was measured.\n"
            "Run this on a machine with one, or add --tiny to see on the CPU that every part runs.",
            file=sys.stderr,
        )
        return os.EX_UNAVAILABLE
    if options.part:
        device = "cuda" if gpu else "cpu"
        plan = Plan(device, options.tiny, options.folder, options.whisper, options.diarizer)
        measure_part(options.part, plan, options.json)
        return 0
    began = time.monotonic()
    figures: list[Figure] = []
    failed: dict[str, str] = {}
    for name in options.parts:
        print(f"{name} …", flush=True)
        found, problem = run_part(name, options, 60 * options.minutes * SHARES[name])
        figures += found
        if problem:
            failed[name] = problem
    findings = Findings(this_machine(), gpu, versions(), round(time.monotonic() - began, 1), figures, failed)
    show(findings)
    if options.json:
        options.json.write_text(json.dumps(asdict(findings), indent=2) + "\n")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
