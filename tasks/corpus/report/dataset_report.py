"""A dataset's report as one HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from tasks.contract import ItemOutcome, Reason
from tasks.corpus.assembly.statistics import DURATION_EDGES_S, MATCH_EDGES, RATE_EDGES, WORDS_EDGES, Statistics
from tasks.corpus.report.material import DatasetMaterial, damage
from tasks.corpus.report.spectrogram import spectrogram
from tasks.dataset.manifest import DatasetManifest, Split
from tasks.dataset.summary import Examples, Tally
from tasks.pages.charts import bars, histogram, stacked_bar
from tasks.pages.formatting import number, phrase, share
from tasks.pages.tables import Table, figures, text
from tasks.pages.templates import render

MAX_SOURCES = 20
MAX_DETAIL = 240  # characters of an example


@dataclass(frozen=True)
class DropRow:
    """What one step dropped for one reason."""

    what: str
    reason: Reason
    step: str
    tally: Tally
    share: str
    """Of the utterances that were cut; empty for programmes."""
    examples: Sequence[ItemOutcome]


def render_dataset_report(material: DatasetMaterial) -> str:
    manifest, statistics = material.manifest, material.statistics
    return render(
        "tasks.corpus.report/dataset_report.html.jinja",
        material=material,
        manifest=manifest,
        account=manifest.account,
        damage=damage(manifest.account),
        tiles=_tiles(manifest, statistics),
        hours=_hours_chart(manifest),
        drops=list(_drops(manifest, material.examples)),
        max_detail=MAX_DETAIL,
        splits=_splits(manifest),
        sources=_sources_chart(statistics),
        histograms=list(_histograms(material)),
        spectrogram=spectrogram,
    )


def _tiles(manifest: DatasetManifest, statistics: Statistics) -> list[tuple[str, str, str]]:
    account = manifest.account
    return [
        (f"{number(account.kept.hours, 2)} h", "kept", ""),
        (share(account.kept.ms, account.media.ms), "of the media", ""),
        (number(account.kept.count), "utterances", ""),
        (number(sum(manifest.programmes.values())), "programmes", ""),
        (number(statistics.n_words), "words", ""),
        (number(len(statistics.speakers)), "named speakers", ""),
    ]


def _hours_chart(manifest: DatasetManifest) -> Markup:
    account = manifest.account
    dropped = [
        (phrase(reason), tally.hours, "lost")
        for reasons in account.dropped.values()
        for reason, tally in reasons.items()
    ]
    uncaptioned = ("without a transcript", account.uncaptioned_ms / 3_600_000, "rest")
    return stacked_bar([("kept", account.kept.hours, "kept"), *dropped, uncaptioned], "h")


def _drops(manifest: DatasetManifest, examples: Examples) -> Iterator[DropRow]:
    account = manifest.account
    utterances, programmes = ("utterances", account.dropped, account.cut.ms), ("programmes", account.rejected, 0)
    for what, drops, whole_ms in (utterances, programmes):
        for step, reasons in drops.items():
            for reason, tally in sorted(reasons.items(), key=lambda item: -item[1].ms):
                part = share(tally.ms, whole_ms) if whole_ms else ""
                yield DropRow(what, reason, step, tally, part, examples.get(step, {}).get(reason, ()))


def _splits(manifest: DatasetManifest) -> Table:
    rows = [
        (
            str(split),
            number(manifest.programmes[split]),
            number(tally.count),
            number(tally.hours, 3),
            share(tally.ms, manifest.account.kept.ms),
        )
        for split, tally in ((split, manifest.kept[split]) for split in Split)
    ]
    return Table(text("Split") + figures("Programmes", "Utterances", "Hours", "Share"), tuple(rows))


def _sources_chart(statistics: Statistics) -> Markup:
    sources = sorted(statistics.hours_by_source.items(), key=lambda item: (-item[1], item[0]))
    shown = sources[:MAX_SOURCES]
    if more := sources[MAX_SOURCES:]:
        shown.append((f"{len(more)} others", sum(hours for _, hours in more)))
    return bars([(name, hours, f"{number(hours, 2)} h") for name, hours in shown])


def _histograms(material: DatasetMaterial) -> Iterator[tuple[str, Markup]]:
    statistics = material.statistics
    prepared = material.manifest.configuration.get("prepare-corpus", {})
    durations_s = [prepared[name] for name in ("min_duration_s", "max_duration_s") if name in prepared]
    rates = [prepared[name] for name in ("min_characters_per_s", "max_characters_per_s") if name in prepared]
    yield "Duration", _histogram(statistics.durations, DURATION_EDGES_S, "s", durations_s)
    yield "Characters per second", _histogram(statistics.characters_per_s, RATE_EDGES, "/s", rates)
    yield "Words per minute", _histogram(statistics.words_per_minute, WORDS_EDGES, "/min")
    if statistics.match_errors.any():
        bound = material.manifest.configuration["assemble-dataset"]["max_match_error"]
        yield "Match error", _histogram(statistics.match_errors, MATCH_EDGES, "", [bound])


def _histogram(counts: np.ndarray, edges: np.ndarray, unit: str, bounds: Sequence[float] = ()) -> Markup:
    return histogram(counts.tolist(), edges.tolist(), unit, bounds)
