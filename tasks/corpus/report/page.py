"""A dataset's report: one HTML page that needs nothing but itself."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from tasks.contract import ItemOutcome, Reason
from tasks.corpus.assembly.statistics import DURATION_EDGES_S, MATCH_EDGES, RATE_EDGES, WORDS_EDGES, Statistics
from tasks.corpus.report.card import damage
from tasks.corpus.report.figures import bars, histogram, spectrogram, stacked_bar
from tasks.dataset.manifest import DatasetManifest, Split
from tasks.dataset.summary import Examples, Tally

MAX_SOURCES = 20
MAX_DETAIL = 240  # characters of an example

_STYLE = """
:root { --ink: #1c2330; --faint: #667085; --line: #d8dce5; --kept: #3f5fa8; --lost: #b8443e; --rest: #c9ced9 }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 960px; margin: 2rem auto; padding: 0 1rem; color: var(--ink) }
h1 { font-size: 1.6rem; margin-bottom: 0 } h2 { font-size: 1.15rem; margin-top: 2.5rem }
h3 { font-size: .95rem; margin: 0 0 .3rem } p { margin: .4rem 0 } .faint, figcaption small { color: var(--faint) }
table { border-collapse: collapse; width: 100% } tr { border-bottom: 1px solid var(--line) }
td, th { padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top; white-space: nowrap }
td:last-child { white-space: normal } ul { margin: .2rem 0; padding-left: 1.1rem }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
code { background: #f1f3f7; padding: 0 .25rem; overflow-wrap: anywhere; font-size: .9em }
svg { max-width: 100%; font-size: 12px; overflow: visible } svg rect { fill: var(--kept) }
svg .lost { fill: var(--lost) } svg .rest { fill: var(--rest) } svg line { stroke: var(--lost); stroke-dasharray: 3 2 }
svg path { stroke: var(--line) } svg text { fill: var(--faint) }
.tiles { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.2rem 0 }
.tile { border: 1px solid var(--line); border-radius: 6px; padding: .5rem 1rem; min-width: 6.5rem }
.tile strong { display: block; font-size: 1.4rem; font-weight: 600; font-variant-numeric: tabular-nums }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); gap: 2rem }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(26rem, 1fr)); gap: 1.5rem 2rem }
figure { margin: 0 } img { width: 100%; height: 110px; image-rendering: pixelated; display: block }
audio { width: 100%; height: 34px; margin: .3rem 0 } summary { cursor: pointer } li { margin: .2rem 0 }
.heard { color: var(--lost) }
"""


@dataclass(frozen=True)
class Sample:
    """One utterance to look at and to hear. `features` is `(n_frames, n_mels)`; `audio` is FLAC, empty if not kept."""

    utterance_id: str
    text: str
    duration_s: float
    features: np.ndarray
    audio: bytes
    match_error: float | None = None
    heard: str = ""


def page(
    manifest: DatasetManifest,
    version: str,
    source: str,
    statistics: Statistics,
    examples: Examples,
    samples: Sequence[Sample],
    doubtful: Sequence[Sample],
) -> str:
    """The page as HTML: `samples` of what is kept, and of what was `doubtful` because it did not match."""
    sections = [
        f"<h1>{escape(manifest.name)}</h1>"
        f'<p class="faint">version <code>{version}</code><br>from <code>{escape(source)}</code></p>',
        _tiles(manifest, statistics),
        "<h2>Where the hours went</h2>" + _flow(manifest),
        "<h2>What was dropped, and why</h2>" + _dropped(manifest, examples),
        "<h2>Splits</h2>" + _splits(manifest),
        "<h2>Hours by source</h2>" + _sources(statistics),
        "<h2>What utterances are like</h2>" + _histograms(manifest, statistics),
        '<h2>Samples</h2><div class="samples">' + "".join(map(_sample, samples)) + "</div>",
    ]
    if doubtful:
        told = '<h2>Dropped: the caption is not what was heard</h2><div class="samples">'
        sections.append(told + "".join(map(_sample, doubtful)) + "</div>")
    sections.append("<h2>Made with</h2>" + _configuration(manifest))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(manifest.name)}</title><style>{_STYLE}</style></head><body>{''.join(sections)}</body></html>\n"
    )


def _tiles(manifest: DatasetManifest, statistics: Statistics) -> str:
    account = manifest.account
    values = [
        (f"{account.kept.hours:,.2f} h", "kept"),
        (_share(account.kept.ms, account.media.ms), "of the media"),
        (f"{account.kept.count:,}", "utterances"),
        (f"{sum(manifest.programmes.values()):,}", "programmes"),
        (f"{statistics.n_words:,}", "words"),
        (f"{len(statistics.speakers):,}", "named speakers"),
    ]
    tiles = "".join(f'<div class="tile"><strong>{value}</strong>{name}</div>' for value, name in values)
    return f'<div class="tiles">{tiles}</div>'


def _flow(manifest: DatasetManifest) -> str:
    account = manifest.account
    dropped = [
        (_words(reason), tally.hours, "lost")
        for reasons in account.dropped.values()
        for reason, tally in reasons.items()
    ]
    uncovered = account.uncaptioned_ms / 3_600_000
    parts = [("kept", account.kept.hours, "kept"), *dropped, ("not covered by a transcript", uncovered, "rest")]
    return (
        stacked_bar(parts, "h")
        + f'<p class="faint">{account.media.count:,} programmes with {account.media.hours:,.2f} h were decoded. '
        f"{uncovered:,.2f} h of them no transcript covers. {account.cut.count:,} utterances with "
        f"{account.cut.hours:,.2f} h were cut; {account.kept.count:,} with {account.kept.hours:,.2f} h are kept.</p>"
        f'<p class="faint">{escape(damage(account))}</p>'
    )


def _dropped(manifest: DatasetManifest, examples: Examples) -> str:
    account = manifest.account
    header = ("", "reason", "step", "number", "hours", "of those cut", "examples")
    rows: list[list[str]] = []
    utterances, programmes = ("utterances", account.dropped, account.cut.ms), ("programmes", account.rejected, 0)
    for what, drops, whole_ms in (utterances, programmes):
        for step, reasons in drops.items():
            for reason, tally in sorted(reasons.items(), key=lambda item: -item[1].ms):
                share = _share(tally.ms, whole_ms) if whole_ms else ""
                some = examples.get(step, {}).get(reason, ())
                where = f"<code>{escape(step)}</code>"
                rows.append([what, _words(reason), where, f"{tally.count:,}", _hours(tally), share, _examples(some)])
    if not rows:
        return "<p>Nothing.</p>"
    return _table(header, rows, numbers={3, 4, 5})


def _examples(outcomes: Sequence[ItemOutcome]) -> str:
    if not outcomes:
        return ""
    items = "".join(f"<li><code>{escape(o.item)}</code> {escape(o.detail[:MAX_DETAIL])}</li>" for o in outcomes)
    return f"<details><summary>{len(outcomes)} shown</summary><ul>{items}</ul></details>"


def _splits(manifest: DatasetManifest) -> str:
    rows = [
        [
            str(split),
            f"{manifest.programmes[split]:,}",
            f"{tally.count:,}",
            _hours(tally),
            _share(tally.ms, manifest.account.kept.ms),
        ]
        for split, tally in ((split, manifest.kept[split]) for split in Split)
    ]
    return _table(("", "programmes", "utterances", "hours", "share"), rows, numbers={1, 2, 3, 4}) + (
        '<p class="faint">Split by programme and date. No programme and no audio is in two splits: a dataset that '
        "breaks this is refused.</p>"
    )


def _sources(statistics: Statistics) -> str:
    sources = sorted(statistics.hours_by_source.items(), key=lambda item: (-item[1], item[0]))
    shown = [(name, hours, f"{hours:,.2f} h") for name, hours in sources[:MAX_SOURCES]]
    if more := sources[MAX_SOURCES:]:
        hours = sum(h for _, h in more)
        shown.append((f"{len(more)} others", hours, f"{hours:,.2f} h"))
    return bars(shown)


def _histograms(manifest: DatasetManifest, statistics: Statistics) -> str:
    prepared = manifest.configuration.get("prepare-corpus", {})
    durations_s = [prepared[name] for name in ("min_duration_s", "max_duration_s") if name in prepared]
    rates = [prepared[name] for name in ("min_characters_per_s", "max_characters_per_s") if name in prepared]
    figures = [
        ("Duration", histogram(statistics.durations, DURATION_EDGES_S, "s", durations_s)),
        ("Characters a second", histogram(statistics.characters_per_s, RATE_EDGES, "/s", rates)),
        ("Words a minute", histogram(statistics.words_per_minute, WORDS_EDGES, "/min")),
    ]
    if statistics.match_errors.any():
        bound = manifest.configuration["assemble-dataset"]["max_match_error"]
        figures.append(("Match error", histogram(statistics.match_errors, MATCH_EDGES, "", [bound])))
    cells = "".join(f"<div><h3>{name}</h3>{figure}</div>" for name, figure in figures)
    return (
        f'<div class="grid">{cells}</div><p class="faint">Dashed lines are the bounds of the filters. The match error '
        "counts what is dropped for it, too.</p>"
    )


def _sample(sample: Sample) -> str:
    sound = ""
    if sample.audio:
        data = base64.b64encode(sample.audio).decode()
        sound = f'<audio controls preload="none" src="data:audio/flac;base64,{data}"></audio>'
    matched = ""
    if sample.match_error is not None:
        heard = escape(sample.heard) or "nothing"
        matched = f'<br><small>match error {sample.match_error:.2f}, heard:</small> <span class="heard">{heard}</span>'
    return (
        f'<figure><img alt="log-mel features of {escape(sample.utterance_id)}" src="{spectrogram(sample.features)}">'
        f"{sound}<figcaption>{escape(sample.text)}{matched}"
        f"<br><small>{escape(sample.utterance_id)}, {sample.duration_s:.1f} s</small></figcaption></figure>"
    )


def _configuration(manifest: DatasetManifest) -> str:
    matched = ", ".join(manifest.matched_by) or "nothing: captions are taken at their word"
    rows = [
        ["text", f"<code>{escape(manifest.normaliser)}</code>, language {escape(manifest.language)}"],
        ["features", f"<code>{escape(manifest.features)}</code>"],
        ["captions held against", escape(matched)],
    ]
    for step, arguments in manifest.configuration.items():
        told = ", ".join(f"{name}={value}" for name, value in sorted(arguments.items())) or "–"
        rows.append([f"<code>{escape(step)}</code>", escape(told)])
    return _table(("", ""), rows, numbers=set())


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: set[int]) -> str:
    """`rows` of HTML; the columns in `numbers` stand to the right."""

    def line(tag: str, cells: Sequence[str]) -> str:
        marked = (
            f"<{tag}{' class=n' if column in numbers else ''}>{cell}</{tag}>" for column, cell in enumerate(cells)
        )
        return f"<tr>{''.join(marked)}</tr>"

    return f"<table>{line('th', header) if any(header) else ''}{''.join(line('td', row) for row in rows)}</table>"


def _words(reason: Reason) -> str:
    return str(reason).replace("_", " ")


def _hours(tally: Tally) -> str:
    return f"{tally.hours:,.3f}"


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"
