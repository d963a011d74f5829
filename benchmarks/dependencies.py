"""What each package of the worker costs: megabytes, seconds of importing, and which steps can reach it.

A package's own size counts its files as installed, without bytecode. What it brings is the size of all packages that
would leave with it, because nothing else that the worker asks for needs them. Steps are found in the graph of imports
(grimp), which sees imports inside functions too. The times are those of new interpreters; the peer imports nothing.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from functools import cache
from importlib import metadata
from pathlib import Path

import grimp
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.support.harness import Report, make_report, run, time_interleaved
from tasks.contract import STEPS

NOTHING = "nothing"
REPEATS = 3


def measure() -> Report:
    packages = asked_for()
    rows = time_interleaved(
        {NOTHING: importing("sys")} | {name: importing(module_of(name)) for name in packages},
        peer=NOTHING,
        work=1.0,
        repeats=REPEATS,
    )
    steps = steps_by_package(packages)
    notes = [
        f"{name}: {size_mb({name}):.0f} MB, brings {size_mb(brings(name, packages)):.0f} MB; "
        f"{', '.join(steps[name]) or 'no step reaches it'}"
        for name in packages
    ]
    quantities = {"MB of all packages": size_mb(set().union(*map(needs, packages)))}
    what = "import of what the worker asks for"
    return make_report("dependencies", what, "imports a second", NOTHING, (), rows, notes, quantities)


def asked_for() -> list[str]:
    """The packages that the worker asks for by name."""
    requirements = map(Requirement, metadata.requires("airscript") or ())
    return sorted(
        canonicalize_name(requirement.name)
        for requirement in requirements
        if not requirement.marker or requirement.marker.evaluate({"extra": "worker"})
    )


@cache
def needs(package: str) -> frozenset[str]:
    """The installed packages that this one requires, directly or not, and itself."""
    found: set[str] = set()
    waiting = [package]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        try:
            requirements = [Requirement(text) for text in metadata.requires(name) or ()]
        except metadata.PackageNotFoundError:  # for another platform
            continue
        found.add(name)
        waiting += [r.name for r in requirements if not r.marker or r.marker.evaluate({"extra": ""})]
    return frozenset(found)


def brings(package: str, packages: list[str]) -> set[str]:
    """The packages that nothing but this one of `packages` requires."""
    others: set[str] = set().union(*(needs(other) for other in packages if other != package))
    return set(needs(package)) - others


def size_mb(packages: set[str]) -> float:
    """The size of the packages' files in megabytes, without bytecode."""
    files = (file for package in packages for file in metadata.files(package) or () if file.suffix != ".pyc")
    paths = (Path(str(file.locate())) for file in files)
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def module_of(package: str) -> str:
    """The name by which a package is imported."""
    if package == "pyannote-audio":  # `pyannote` belongs to several
        return "pyannote.audio"
    names = [name for name, owners in _modules().items() if package in owners]
    return next((name for name in names if name.replace("_", "-") == package), names[0])


@cache
def _modules() -> dict[str, list[str]]:
    owners = metadata.packages_distributions()
    return {module: [canonicalize_name(name) for name in names] for module, names in owners.items()}


def steps_by_package(packages: list[str]) -> dict[str, list[str]]:
    """For each package the steps from whose module its import can be reached."""
    graph = grimp.build_graph("tasks", "training", include_external_packages=True)
    return {
        name: [
            step.name
            for step in STEPS.values()
            if (module := module_of(name).partition(".")[0]) in graph.modules
            and graph.chain_exists(importer=step.module, imported=module)
        ]
        for name in packages
    }


def importing(module: str) -> Callable[[], object]:
    """A function that imports a module in a new interpreter."""
    return lambda: subprocess.run([sys.executable, "-c", f"import {module}"], check=True, capture_output=True)


if __name__ == "__main__":
    run(__doc__ or "", measure)
