"""The page: what was decided and why, the curves, where the model is weak, and what its worst mistakes sound like."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from tasks.contract import StepResult
from training.evaluation.records import Comparison, Evaluation, ScoredUtterance, SliceKind
from training.evaluation.slices import members
from training.evaluation.units import choose_unit, sum_by_unit
from training.report.confusions import confusions
from training.report.curves import curve, smoothed
from training.scoring.bootstrap import N_FOR_PARTS, rate_interval

N_WORST = 12
MIN_SLICE_WORDS = 20
KIND_NAMES = {SliceKind.SNR: "signal to noise"}
_NUMBER = re.compile(r"[-+]?\d+([.]\d+)?( %)?( to -?\d+([.]\d+)? %)?")

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 900px; margin: 2rem auto; padding: 0 1rem; color: #1c2330; }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem; border-bottom: 1px solid #d8dce5 }
table { border-collapse: collapse } td, th { padding: .15rem .9rem .15rem 0; text-align: left; vertical-align: top }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums } code { background: #f1f3f7; padding: 0 .25rem }
svg { width: 100%; font-size: 14px } svg path { stroke: #b9c0cf; fill: none }
svg polyline { stroke: #3f5fa8; fill: none; stroke-width: 1.5 } svg circle { fill: #3f5fa8 }
.grid { display: flex; flex-wrap: wrap; gap: 2rem; align-items: flex-start }
figure { flex: 1 1 380px; margin: 0 } figcaption { color: #5a6375 } audio { height: 32px; vertical-align: middle }
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
        _slices(run.utterances, run.comparison),
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
        + "".join(f"<p>{escape(line)}</p>" for line in _beyond(run))
    )


def _beyond(run: RunMaterial) -> Iterator[str]:
    """What else was measured: times of words, speed against the champion, another dataset."""
    if times := run.evaluation.word_times:
        yield (
            f"Where the sound tells when speech begins or ends ({times.edges} times), the word beside it is"
            f" {times.median_ms:.0f} ms off at the median, 9 of 10 within {times.p90_ms:.0f} ms;"
            f" bias {times.bias_ms:+.0f} ms."
        )
    c = run.comparison
    if c.champion_rtfx:
        yield f"Speed: {c.challenger_rtfx:.0f} times real time, the champion {c.champion_rtfx:.0f}."
    if (other := run.evaluation.out_of_domain) and c.out_of_domain:
        yield (
            f"Out of domain, on {other.dataset_name}: WER {_percent(c.out_of_domain.challenger_wer)},"
            f" the champion {_percent(c.out_of_domain.champion_wer)}."
        )


def _curves(run: RunMaterial) -> str:
    window = max(5, len(run.losses) // 50)
    trained = run.trained.metrics
    return (
        f"<h2>Training</h2><p>{trained['trained_audio_hours']:.2f} hours of audio in"
        f" {trained['train_seconds'] / 60:.1f} minutes, {trained['audio_hours_per_hour']:.0f} times real time,"
        f" on {escape(run.trained.labels['hardware'])}.</p>"
        f'<div class="grid"><figure>{curve(smoothed(run.losses, window), "")}'
        f"<figcaption>Loss, mean of {window} steps</figcaption></figure>"
        f"<figure>{curve([(s, 100 * w) for s, w in run.validation_wers], '%', dots=True)}"
        f"<figcaption>WER on the validation sample</figcaption></figure></div>"
    )


def _slices(utterances: Sequence[ScoredUtterance], comparison: Comparison) -> str:
    """Where a part has few programmes, its interval says nothing about others."""
    champion = {(part.kind, part.value): _percent(part.champion_wer) for part in comparison.slices}
    rows = []
    for (kind, value), places in members(utterances).items():
        programmes = [utterances[p].programme_id for p in places]
        errors = [utterances[p].words.errors for p in places]
        lengths = [utterances[p].words.length for p in places]
        if sum(lengths) < MIN_SLICE_WORDS:
            continue
        by_unit = sum_by_unit(programmes, errors, lengths)
        found = rate_interval(by_unit[0], by_unit[1], n_resamples=N_FOR_PARTS)
        rows.append(
            (
                KIND_NAMES.get(kind, kind),
                value,
                str(sum(lengths)),
                _percent(found.value),
                f"{_percent(found.low)} to {_percent(found.high)}",
                f"{choose_unit(programmes)}s",
                champion.get((kind, value), ""),
            )
        )
    return _table(("by", "", "words", "WER", "95 % interval", "over", "champion's WER"), rows)


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
    """Columns that hold nothing but numbers stand at the right, their headings with them."""
    numeric = [all(_NUMBER.fullmatch(row[i]) for row in rows if row[i]) and bool(rows) for i in range(len(header))]

    def shown(tag: str, cells: Sequence[str]) -> str:
        marked = zip(cells, numeric, strict=True)
        return "<tr>" + "".join(f"<{tag}{' class=n' * n}>{escape(cell)}</{tag}>" for cell, n in marked) + "</tr>"

    return "<table>" + shown("th", header) + "".join(shown("td", row) for row in rows) + "</table>"


def _percent(rate: float) -> str:
    return f"{100 * rate:.2f} %"
