"""The benchmark harness: hardware and versions, medians of interleaved repeats, memory, table and JSON."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path

BASE = Path(__file__).parents[2] / "local" / "demo" / "base_model" / "weights"  # the model in the repository
SAMPLE_EVERY_S = 0.1


@dataclass(frozen=True)
class Machine:
    """The hardware and Python version of a measurement."""

    processor: str
    cores: int
    memory_gib: float
    python: str


@dataclass(frozen=True)
class Row:
    """A contender's result: its median time and its rate in units of work."""

    name: str
    median_s: float
    spread_s: tuple[float, float]
    rate: float
    """Units of work a second (audio seconds a second are "times real time")."""
    ratio: float
    """This rate over the peer's: the median over pairs of adjacent repeats."""


@dataclass(frozen=True)
class Report:
    """The result of a benchmark."""

    benchmark: str
    what: str
    unit: str
    peer: str
    machine: Machine
    versions: dict[str, str]
    rows: list[Row]
    peak_memory_mib: float
    notes: list[str] = field(default_factory=list)
    quantities: dict[str, float] = field(default_factory=dict)
    """Other measured quantities, by name with unit."""


def this_machine() -> Machine:
    """Describe this machine."""
    cpuinfo = Path("/proc/cpuinfo")
    models = (
        [line.split(":")[1] for line in cpuinfo.read_text().splitlines() if "model name" in line]
        if cpuinfo.exists()
        else []
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Machine(
        processor=models[0].strip() if models else platform.processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(memory, 1),
        python=platform.python_version(),
    )


def processor_seconds() -> float:
    """Processor time of this process and the children it has waited for: 3600 are a core-hour. Unlike wall-clock time
    it does not depend on other load."""
    return _seconds_of(resource.RUSAGE_SELF) + children_seconds()


def children_seconds() -> float:
    """Processor time of the children that this process has waited for."""
    return _seconds_of(resource.RUSAGE_CHILDREN)


def _seconds_of(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


@dataclass(frozen=True)
class Usage:
    """What a process and its descendants used."""

    wall_s: float
    processor_s: float
    """Of the process and the descendants that were waited for."""
    peak_mib: float
    """Shared memory is counted once (PSS). It is sampled ten times a second, so shorter peaks are missed. getrusage's
    peak is not usable: a process inherits that of its parent."""


def measure_process(*arguments: str) -> Usage:
    """Run Python with these arguments in its own process, to its end.

    Raises:
        RuntimeError: it failed.
    """
    # Sampling the memory takes processor time of this process, about 2 s a minute.
    began, processor_began = time.perf_counter(), children_seconds()
    peak = 0
    with tempfile.TemporaryFile("w+") as output:  # a pipe that nobody reads would fill
        process = subprocess.Popen([sys.executable, *arguments], stdout=output)
        while process.poll() is None:
            peak = max(peak, _memory_of_tree(process.pid))
            time.sleep(SAMPLE_EVERY_S)
        if process.returncode:
            output.seek(0)
            raise RuntimeError(f"{' '.join(arguments)} failed with {process.returncode}: {output.read()[-2000:]}")
    processor_s = children_seconds() - processor_began
    return Usage(time.perf_counter() - began, processor_s, peak / 2**20)


def step_peak_mib(*arguments: str) -> float:
    """Run a step in its own process and return the peak memory of it and all its descendants, in MiB."""
    return measure_process("-m", "tasks", *arguments).peak_mib


def _memory_of_tree(pid: int) -> int:
    import psutil

    used = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        step = psutil.Process(pid)
        for process in (step, *step.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                used += process.memory_full_info().pss
    return used


def time_interleaved(
    contenders: Mapping[str, Callable[[], object]],
    peer: str,
    work: float,
    repeats: int,
    clock: Callable[[], float] = time.perf_counter,
    warm_up: int = 1,
) -> list[Row]:
    """Time the contenders in turn, A B C A B C …, so that changes in the machine's load affect all alike.

    `work`: units of work in one call. `warm_up`: rounds that are run first and not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for counted in range(-warm_up, repeats):
        for name, call in contenders.items():
            started = clock()
            call()
            if counted >= 0:
                seconds[name].append(clock() - started)
    return [
        Row(
            name=name,
            median_s=statistics.median(taken),
            spread_s=(min(taken), max(taken)),
            rate=work / statistics.median(taken),
            ratio=statistics.median(other / own for own, other in zip(taken, seconds[peer], strict=True)),
        )
        for name, taken in seconds.items()
    ]


def make_report(
    benchmark: str,
    what: str,
    unit: str,
    peer: str,
    packages: tuple[str, ...],
    rows: list[Row],
    notes: list[str],
    quantities: dict[str, float] | None = None,
) -> Report:
    """A report with this machine, the packages' versions and this process's peak memory."""
    return Report(
        benchmark=benchmark,
        what=what,
        unit=unit,
        peer=peer,
        machine=this_machine(),
        versions={name: metadata.version(name) for name in packages},
        rows=rows,
        peak_memory_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        notes=notes,
        quantities=quantities or {},
    )


def print_report(result: Report) -> None:
    """Print a report as a table."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    machine = result.machine
    table = Table("", "median s", "min – max s", result.unit, f"÷ {result.peer}", title=result.what)
    for row in result.rows:
        low, high = row.spread_s
        table.add_row(
            row.name, f"{row.median_s:.3f}", f"{low:.3f} – {high:.3f}", f"{row.rate:,.0f}", f"{row.ratio:.2f}"
        )
    console.print(table)
    console.print(f"{machine.processor}, {machine.cores} cores, {machine.memory_gib} GiB, Python {machine.python}")
    console.print(", ".join(f"{name} {version}" for name, version in result.versions.items()))
    console.print(f"peak memory of the whole run {result.peak_memory_mib:,.0f} MiB")
    for name, value in result.quantities.items():
        console.print(f"{name}: {value:,.{0 if value >= 100 else 1}f}")
    for note in result.notes:
        console.print(f"- {note}")


def run(description: str, measure: Callable[[], Report]) -> None:
    """The command line of a benchmark without its own flags: measure, print, and write JSON if requested."""
    options = argument_parser(description).parse_args()
    print_and_save(measure(), options.json)


def argument_parser(description: str) -> argparse.ArgumentParser:
    """A parser with the flag that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, help="also write the report here")
    return parser


def model_folder(name: str) -> Path:
    """The folder of a flag's model: a name in `local.weights`, or the folder itself.

    Raises:
        ArgumentTypeError: it is not there.
    """
    from local import weights

    folder = weights.folder(name) if name in weights.CATALOGUE else Path(name)
    if folder is None or not folder.is_dir():
        raise argparse.ArgumentTypeError(f"no model {name} (install it: python -m local.weights)")
    return folder


def print_and_save(result: Report, path: Path | None) -> None:
    """Print a report, and write it as JSON if a path is given."""
    print_report(result)
    if path:
        path.write_text(json.dumps(asdict(result), indent=2) + "\n")
