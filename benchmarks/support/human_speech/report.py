"""Comparison of the systems by folder, and its table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from benchmarks.support.harness import Machine, Usage
from benchmarks.support.human_speech.composed import COMPOSED
from benchmarks.support.human_speech.scoring import Score, sum_of
from benchmarks.support.human_speech.systems import PRODUCT
from training.scoring.bootstrap import PairedDifference, paired_difference

WIDTH = 150  # of the table, also where the output is no terminal
ALL, ALL_RECORDED, ALL_COMPOSED = "all", "all recorded", "all composed"


class ScoredProgramme(Protocol):
    """One system's score of one programme."""

    @property
    def programme(self) -> str: ...
    @property
    def folder(self) -> str: ...
    @property
    def score(self) -> Score: ...


@dataclass(frozen=True)
class Comparison:
    """A folder's scores by system, and the product's difference from the better peer."""

    folder: str
    n_programmes: int
    scores: dict[str, Score]
    peer: str = ""
    """The peer with the lowest WER; empty without peers or words."""
    difference: PairedDifference | None = None
    """The product's WER minus the peer's."""


def compare(scored: Mapping[str, Sequence[ScoredProgramme]]) -> list[Comparison]:
    """Compare the systems on each folder and on sums of folders. Each has the same programmes in the same order."""
    folders = list(dict.fromkeys(one.folder for of_system in scored.values() for one in of_system))
    recorded, composed = ([f for f in folders if f.startswith(COMPOSED) is wanted] for wanted in (False, True))
    groups = {folder: [folder] for folder in folders}
    if len(folders) > 1:
        groups |= {ALL_RECORDED: recorded, ALL_COMPOSED: composed, ALL: folders}
    return [_compare(name, group, scored) for name, group in groups.items() if group]


def _compare(name: str, folders: Sequence[str], scored: Mapping[str, Sequence[ScoredProgramme]]) -> Comparison:
    own = {system: [one.score for one in of_system if one.folder in folders] for system, of_system in scored.items()}
    sums = {system: sum_of(scores) for system, scores in own.items()}
    peers = [system for system in sums if system != PRODUCT]
    n_programmes = len(next(iter(own.values())))
    if PRODUCT not in sums or not peers or not sums[PRODUCT].errors.length:
        return Comparison(name, n_programmes, sums)
    peer = min(peers, key=lambda system: sums[system].errors.errors)
    ours, theirs = (np.array([score.errors.errors for score in own[system]]) for system in (PRODUCT, peer))
    lengths = np.array([score.errors.length for score in own[PRODUCT]])
    return Comparison(name, n_programmes, sums, peer, paired_difference(ours, theirs, lengths))


def print_findings(
    usage: Mapping[str, Mapping[str, Usage]],
    folders: Sequence[Comparison],
    audio_s: Mapping[str, float],
    machine: Machine,
) -> None:
    """Print the table of `folders`, and what each part of the programmes took."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=max(WIDTH, Console().width))
    systems = list(next(iter(usage.values())))
    table = Table(
        "folder",
        "n",
        "words",
        title="WER % (S/D/I), invented words, seconds of speech without words",
        box=None,
    )
    for system in systems:
        table.add_column(system, justify="right")
    table.add_column("airscript - better peer, 95 %", justify="right")
    for comparison in folders:
        reference = next(iter(comparison.scores.values())).errors.length
        cells = [_cell(comparison.scores[system]) for system in systems]
        style = "bold" if comparison.folder.startswith("all") else ""
        n = str(comparison.n_programmes)
        table.add_row(comparison.folder, n, str(reference), *cells, _difference(comparison), style=style)
    console.print(table)
    for part, of_systems in usage.items():
        for system, used in of_systems.items():
            console.print(
                f"{part}, {system}: {used.wall_s:.0f} s, {used.processor_s:.0f} processor seconds,"
                f" {audio_s[part] / used.processor_s:.1f} x real time of one core, {used.peak_mib:,.0f} MiB"
            )
    console.print(f"{machine.processor}, {machine.cores} cores, {machine.memory_gib} GiB, Python {machine.python}")


def _cell(score: Score) -> str:
    errors = score.errors
    rate = f"{100 * errors.rate:.1f} ({errors.substitutions}/{errors.deletions}/{errors.insertions})"
    parts = [rate if errors.length else "", f"{score.invented} inv." if score.invented else ""]
    parts.append(f"{score.uncovered_s:.1f} s" if score.uncovered_s >= 0.05 else "")
    return ", ".join(filter(None, parts)) or "-"


def _difference(comparison: Comparison) -> str:
    found = comparison.difference
    if found is None:
        return ""
    interval = f" ({100 * found.low:+.1f} to {100 * found.high:+.1f})" if comparison.n_programmes > 1 else ""
    return f"{100 * found.difference:+.1f}{interval} {comparison.peer}"
