"""A dataset for people: a card in Markdown, and one HTML page that needs nothing but itself."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from tasks.contract import Reason
from tasks.corpus.dataset import MANIFEST, DatasetManifest
from tasks.corpus.figures import bars, histogram, spectrogram
from tasks.corpus.records import Split
from tasks.corpus.statistics import DURATION_EDGES_S, RATE_EDGES, WORDS_EDGES, Statistics
from tasks.corpus.summary import Drops, Tally

MAX_SOURCES = 20

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 860px; margin: 2rem auto; padding: 0 1rem; color: #1c2330; }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem; border-bottom: 1px solid #d8dce5 }
table { border-collapse: collapse } td, th { padding: .15rem .8rem .15rem 0; text-align: left; vertical-align: top }
td.n, th.n { text-align: right } code { background: #f1f3f7; padding: 0 .25rem; overflow-wrap: anywhere }
svg { max-width: 100%; font-size: 12px } svg rect { fill: #3f5fa8 } figure { margin: 1rem 0 }
img { width: 100%; height: 120px; image-rendering: pixelated } audio { width: 100% }
.grid { display: flex; flex-wrap: wrap; gap: 2rem }
"""


@dataclass(frozen=True)
class Sample:
    """One utterance to look at and to hear. `features` is `(n_frames, n_mels)`; `audio` is FLAC, empty if not kept."""

    utterance_id: str
    text: str
    duration_s: float
    features: np.ndarray
    audio: bytes


def card(manifest: DatasetManifest, version: str, source: str, statistics: Statistics) -> str:
    """The dataset's README, with the metadata that dataset catalogues read."""
    rows = "\n".join(
        f"| {split} | {manifest.programmes[split]} | {manifest.kept[split].count} | {manifest.kept[split].hours:.2f} |"
        for split in Split
    )
    return f"""---
language: [{manifest.language}]
task_categories: [automatic-speech-recognition]
pretty_name: {manifest.name}
---

# {manifest.name}

{manifest.account.kept.hours:.2f} hours of speech with text, cut from {manifest.account.media.hours:.2f} hours of
programmes under `{source}`. Version `{version}` (the sha256 of `{MANIFEST}`).

| split | programmes | utterances | hours |
|---|---:|---:|---:|
{rows}

Splits go by programme and date. Audio that occurs twice is kept once, in the split that is held out.

The shards stay where they were made; `locations.json` says where. To stream them:

    from datasets import load_dataset
    from tasks.corpus.dataset import load_manifest

    manifest, version = load_manifest("…/{MANIFEST}")
    rows = load_dataset("parquet", data_files=manifest.uris("train"), streaming=True, split="train")

## Columns

`utterance_id`, `programme_id`, `speaker`, `text`, `duration_s`, `sample_rate_hz`, `audio` (FLAC, 16 bit, mono; where it
was kept), `input_features` (float16, frames by mels), `features_config`, `sha256` (of the audio's samples).

Text is normalised by `{manifest.normaliser}`: lower case, letters of the language, `. , ?` and the apostrophe.
Features are `{manifest.features}`. There are {statistics.n_words} words.

## What was left out

{_markdown_drops(manifest.account.dropped, "utterances")}
{_markdown_drops(manifest.account.rejected, "programmes")}
No transcript covers {manifest.account.uncaptioned_ms / 3_600_000:.2f} hours of the programmes.
Each dropped utterance and programme is in `outcomes.jsonl` of the step that dropped it. See also `report.html`.
"""


def page(
    manifest: DatasetManifest, version: str, source: str, statistics: Statistics, samples: Sequence[Sample]
) -> str:
    """The report: one HTML page with its figures and sounds inside."""
    account = manifest.account
    sources = sorted(statistics.hours_by_source.items(), key=lambda item: (-item[1], item[0]))
    shown = [(name, hours, f"{hours:.2f} h") for name, hours in sources[:MAX_SOURCES]]
    if more := sources[MAX_SOURCES:]:
        hours = sum(h for _, h in more)
        shown.append((f"{len(more)} others", hours, f"{hours:.2f} h"))
    sections = [
        f"<h1>{escape(manifest.name)}</h1><p>Version <code>{version}</code>, from <code>{escape(source)}</code></p>",
        _table(
            ("", "programmes", "utterances", "hours"),
            [
                *((str(s), manifest.programmes[s], manifest.kept[s].count, _hours(manifest.kept[s])) for s in Split),
                ("together", sum(manifest.programmes.values()), account.kept.count, _hours(account.kept)),
            ],
        ),
        f"<p>{statistics.n_words} words; {len(statistics.speakers)} named speakers; "
        f"features <code>{escape(manifest.features)}</code>, text <code>{escape(manifest.normaliser)}</code>.</p>",
        "<h2>Kept and dropped</h2>" + _flow(manifest),
        f"<h2>Hours by source</h2>{bars(shown)}",
        '<div class="grid">'
        f"<div><h2>Duration</h2>{histogram(statistics.durations, DURATION_EDGES_S, 's')}</div>"
        f"<div><h2>Characters a second</h2>{histogram(statistics.characters_per_s, RATE_EDGES, '/s')}</div>"
        f"<div><h2>Words a minute</h2>{histogram(statistics.words_per_minute, WORDS_EDGES, '/min')}</div></div>",
        "<h2>Samples</h2>" + "".join(map(_sample, samples)),
    ]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(manifest.name)}</title><style>{_STYLE}</style><body>{''.join(sections)}</body></html>\n"
    )


def _flow(manifest: DatasetManifest) -> str:
    """Every hour of the media, and where it went."""
    account = manifest.account
    rows: list[tuple[str, object, object, object]] = [
        ("media decoded", "", account.media.count, _hours(account.media)),
        ("not covered by a transcript", "", "", f"{account.uncaptioned_ms / 3_600_000:.3f}"),
        ("utterances cut", "", account.cut.count, _hours(account.cut)),
        *_drop_rows("programmes left out", account.rejected),
        *_drop_rows("utterances dropped", account.dropped),
        ("utterances kept", "", account.kept.count, _hours(account.kept)),
    ]
    return _table(("", "reason", "number", "hours"), rows)


def _drop_rows(name: str, drops: Drops) -> list[tuple[str, object, object, object]]:
    return [
        (f"{name} by {step}", _words(reason), tally.count, _hours(tally))
        for step, reasons in drops.items()
        for reason, tally in reasons.items()
    ]


def _sample(sample: Sample) -> str:
    sound = ""
    if sample.audio:
        data = base64.b64encode(sample.audio).decode()
        sound = f'<audio controls preload="none" src="data:audio/flac;base64,{data}"></audio>'
    return (
        f'<figure><img alt="log-mel features" src="{spectrogram(sample.features)}">{sound}'
        f"<figcaption><code>{escape(sample.utterance_id)}</code> {sample.duration_s:.1f} s: "
        f"{escape(sample.text)}</figcaption></figure>"
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    def line(tag: str, cells: Sequence[object]) -> str:
        return "<tr>" + "".join(_cell(tag, cell) for cell in cells) + "</tr>"

    return f"<table>{line('th', header)}{''.join(line('td', row) for row in rows)}</table>"


def _cell(tag: str, cell: object) -> str:
    is_number = isinstance(cell, int) or str(cell).replace(".", "", 1).isdigit()
    return f"<{tag}{' class=n' if is_number else ''}>{escape(str(cell))}</{tag}>"


def _markdown_drops(drops: Drops, what: str) -> str:
    lines = [
        f"- {tally.count} {what} ({tally.hours:.3f} h): {_words(reason)}, by `{step}`"
        for step, reasons in drops.items()
        for reason, tally in reasons.items()
    ]
    return "\n".join(lines) or f"No {what}."


def _words(reason: Reason) -> str:
    return str(reason).replace("_", " ")


def _hours(tally: Tally) -> str:
    return f"{tally.hours:.3f}"
