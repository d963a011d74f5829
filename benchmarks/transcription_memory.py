"""Peak memory of a night's steps on a programme of four hours, beside that on one of ten minutes.

Each step runs in its own process, with the repository's base CTC model and embedded diarizer.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.support.harness import BASE, Report, Row, make_report, run, step_peak_mib
from benchmarks.transcription import make_programme
from tasks.step import load_result

SHORT_MINUTES, LONG_MINUTES = 10, 240


def peak_mib(minutes: int, folder: Path) -> dict[str, float]:
    """Peak memory in MiB of each step with its descendants, on one programme of `minutes`."""
    inbox, transcripts = folder / "inbox", (folder / "transcripts").as_uri()
    inbox.mkdir(parents=True)
    make_programme(inbox / "programme.aac", minutes)
    peaks: dict[str, float] = {}

    def step(name: str, **arguments: str) -> str:
        output = folder / "work" / name
        flags = [f"--{flag}={value}" for flag, value in ({"output": output.as_uri()} | arguments).items()]
        peaks[name] = step_peak_mib(name, *flags)
        return next(output.glob("*/result.json")).as_uri()

    plan = step(
        "plan-night",
        inbox=inbox.as_uri(),
        transcripts=transcripts,
        model=str(BASE),
        **{"settle-s": "0"},
    )
    batch = f"{plan.removesuffix('/result.json')}/{load_result(plan).items[0].path}"
    prepared = step("prepare-media", batch=batch)
    recognised = step("recognise", prepared=prepared, model=str(BASE))
    diarized = step("diarize", prepared=prepared)
    step("publish", batch=batch, prepared=prepared, recognised=recognised, diarized=diarized, transcripts=transcripts)
    return peaks


def measure() -> Report:
    rows, peaks = [], []
    with tempfile.TemporaryDirectory() as folder:
        for minutes in (SHORT_MINUTES, LONG_MINUTES):
            started = time.perf_counter()
            peaks.append(peak_mib(minutes, Path(folder) / str(minutes)))
            seconds = time.perf_counter() - started
            rate = 60 * minutes / seconds
            rows.append(
                Row(f"{minutes} minutes", seconds, (seconds, seconds), rate, rate / rows[0].rate if rows else 1.0)
            )
    short, long = peaks
    notes = [
        f"{name}: {short[name]:,.0f} → {long[name]:,.0f} MiB, {long[name] / short[name]:.2f} times" for name in long
    ]
    return make_report(
        "transcription_memory",
        "all steps on one programme, 48 kHz stereo AAC, base CTC model, embedded diarizer",
        "x real time",
        rows[0].name,
        ("av", "soxr", "torch", "transformers", "soundfile"),
        rows,
        notes,
    )


if __name__ == "__main__":
    run(__doc__ or "", measure)
