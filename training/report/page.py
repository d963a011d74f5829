"""The page: what was decided and why, the curves, where the model is weak, and what its worst mistakes sound like."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from tasks.contract import StepResult
from training.comparison.rule import Comparison
from training.evaluation.records import Evaluation, ScoredUtterance
from training.evaluation.slices import members
from training.report.confusions import confusions
from training.report.curves import curve, smoothed
from training.scoring.bootstrap import N_FOR_PARTS, rate_interval

N_WORST = 12
MIN_SLICE_WORDS = 20

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 900px; margin: 2rem auto; padding: 0 1rem; color: #1c2330; }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem; border-bottom: 1px solid #d8dce5 }
table { border-collapse: collapse } td, th { padding: .15rem .9rem .15rem 0; text-align: left; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums } code { background: #f1f3f7; padding: 0 .25rem }
svg { max-width: 100%; font-size: 12px } svg path { stroke: #b9c0cf; fill: none }
svg polyline { stroke: #3f5fa8; fill: none; stroke-width: 1.5 } svg circle { fill: #3f5fa8 }
.grid { display: flex; flex-wrap: wrap; gap: 2rem } audio { height: 32px; vertical-align: middle }
.said { color: #1c2330 } .heard { color: #a8323f } .decision { font-weight: 600 }
"""


@dataclass(frozen=True)
class RunMaterial:
    """What a run left, as the page needs it."""

    name: str
    trained: StepResult
    losses: Sequence[float | None]
    validation_wers: Sequence[tuple[int, float]]
    evaluation: Evaluation
    evaluated: StepResult
    utterances: Sequence[ScoredUtterance]
    comparison: Comparison


def worst(utterances: Sequence[ScoredUtterance]) -> list[ScoredUtterance]:
    """The utterances with the most word errors; among equals the shorter, where more of it is wrong."""
    wrong = [u for u in utterances if u.words.errors]
    return sorted(wrong, key=lambda u: (-u.words.errors, u.words.length, u.utterance_id))[:N_WORST]


def run_page(run: RunMaterial, audio: Mapping[str, bytes]) -> str:
    """The page as HTML. `audio` holds FLAC bytes of the worst utterances, by id."""
    parts = [
        _head(run),
        _curves(run),
        "<h2>Where it errs</h2>",
        _slices(run.utterances),
        "<h2>What it takes for what</h2>",
        _confusions(run.utterances),
        "<h2>Worst utterances</h2>",
        *[_utterance(utterance, audio.get(utterance.utterance_id, b"")) for utterance in worst(run.utterances)],
        "<h2>Sounds without speech</h2>",
        _table(
            ("sound", "seconds", "words", "heard"),
            [(s.sound, f"{s.seconds:g}", str(s.words), s.heard) for s in run.evaluation.invented],
        ),
    ]
    title = escape(f"{run.name}: {run.comparison.challenger}")
    body = "\n".join(parts)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _head(run: RunMaterial) -> str:
    e, c = run.evaluation, run.comparison
    return (
        f"<h1>{escape(run.name)}</h1>"
        f'<p><span class="decision">{escape(c.decision)}</span>: {escape("; ".join(c.reasons))}</p>'
        + _table(
            ("", "WER", "95 % interval", "S", "D", "I", "words"),
            [
                (
                    c.challenger,
                    _percent(e.wer.value),
                    f"{_percent(e.wer.low)} to {_percent(e.wer.high)}",
                    *(str(n) for n in (e.words.substitutions, e.words.deletions, e.words.insertions, e.words.length)),
                ),
                (c.champion, _percent(c.champion_wer), "", "", "", "", ""),
                (
                    "difference",
                    _percent(c.difference),
                    f"{_percent(c.difference_low)} to {_percent(c.difference_high)}",
                    *[""] * 4,
                ),
            ],
        )
        + f"<p>CER {_percent(e.cer.value)}; {run.evaluated.metrics['rtfx']:.0f} times real time on"
        f" {escape(run.evaluated.labels['hardware'])}; intervals over {c.n_resampled} {escape(c.resampled)}s;"
        f" {escape(e.split)} split of <code>{escape(e.dataset_name)}</code> {escape(e.dataset_version[:12])},"
        f" {e.utterances} utterances, {60 * e.hours:.1f} minutes.</p>"
    )


def _curves(run: RunMaterial) -> str:
    window = max(5, len(run.losses) // 50)
    trained = run.trained.metrics
    return (
        f"<h2>Training</h2><p>{trained['trained_audio_hours']:.2f} hours of audio in"
        f" {trained['train_seconds'] / 60:.1f} minutes, {trained['audio_seconds_per_second']:.0f} times real time,"
        f" on {escape(run.trained.labels['hardware'])}.</p>"
        f'<div class="grid"><figure>{curve(smoothed(run.losses, window), "")}'
        f"<figcaption>Loss, mean of {window} steps</figcaption></figure>"
        f"<figure>{curve([(s, 100 * w) for s, w in run.validation_wers], '%', dots=True)}"
        f"<figcaption>WER on the validation sample</figcaption></figure></div>"
    )


def _slices(utterances: Sequence[ScoredUtterance]) -> str:
    rows = []
    for (kind, value), places in members(utterances).items():
        errors = np.array([utterances[p].words.errors for p in places])
        lengths = np.array([utterances[p].words.length for p in places])
        if lengths.sum() < MIN_SLICE_WORDS:
            continue
        found = rate_interval(errors, lengths, n_resamples=N_FOR_PARTS)
        interval = f"{_percent(found.low)} to {_percent(found.high)}"
        rows.append((kind.replace("_", " "), value, str(lengths.sum()), _percent(found.value), interval))
    return _table(("by", "", "words", "WER", "95 % over utterances"), rows)


def _confusions(utterances: Sequence[ScoredUtterance]) -> str:
    found = confusions(utterances)
    substituted = _table(("said", "heard", "times"), [(s, h, str(n)) for (s, h), n in found.substituted])
    deleted = _table(("not heard", "times"), [(word, str(n)) for word, n in found.deleted])
    inserted = _table(("made up", "times"), [(word, str(n)) for word, n in found.inserted])
    return f'<div class="grid">{substituted}{deleted}{inserted}</div>'


def _utterance(utterance: ScoredUtterance, audio: bytes) -> str:
    player = ""
    if audio:
        player = (
            f'<audio controls preload="none" src="data:audio/flac;base64,{base64.b64encode(audio).decode()}"></audio>'
        )
    return (
        f"<p>{player} <code>{escape(utterance.utterance_id)}</code> {utterance.words.errors} errors in"
        f' {utterance.words.length} words<br><span class="said">{escape(utterance.reference)}</span><br>'
        f'<span class="heard">{escape(utterance.hypothesis)}</span></p>'
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def row(tag: str, cells: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}{_number(cell)}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    return "<table>" + row("th", header) + "".join(row("td", cells) for cells in rows) + "</table>"


def _number(cell: str) -> str:
    return ' class="n"' if cell[:1].isdigit() or cell[:2].lstrip("-").isdigit() else ""


def _percent(rate: float) -> str:
    return f"{100 * rate:.2f} %"
