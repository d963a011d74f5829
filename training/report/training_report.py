"""A training's report as one HTML page: the decision, the curves, where the model is weak, its worst utterances."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.pages.charts import Point, curve
from tasks.pages.formatting import number, percent
from tasks.pages.tables import Table, figures, text, without_empty_columns
from tasks.pages.templates import render
from training.evaluation.records import Comparison, HallucinatedWords, ScoredUtterance, SliceKind
from training.evaluation.resampling import choose_unit, sum_by_unit
from training.evaluation.slices import slice_indices
from training.report.confusions import confusions
from training.report.material import RunMaterial, worst_utterances
from training.scoring.bootstrap import N_SLICE_RESAMPLES, rate_interval

REPORT = "report.html"
MIN_SLICE_WORDS = 20
KIND_NAMES = {SliceKind.SNR: "signal to noise"}


def render_training_report(run: RunMaterial) -> str:
    window = max(5, len(run.losses) // 50)
    found = confusions(run.utterances)
    return render(
        "training.report/training_report.html.jinja",
        run=run,
        evaluation=run.evaluation,
        comparison=run.comparison,
        tiles=_tiles(run),
        wers=_wer_table(run),
        trained=run.trained.metrics,
        window=window,
        loss=curve(smoothed(run.losses, window), ""),
        validation=curve([(step, 100 * wer) for step, wer in run.validation_wers], "%", dots=True),
        slices=slice_table(run.utterances, run.comparison),
        substitutions=Table(
            text("Reference", "Hypothesis") + figures("Count"),
            tuple((reference, hypothesis, number(n)) for (reference, hypothesis), n in found.substituted),
        ),
        deletions=_counts("Deleted", found.deleted),
        insertions=_counts("Inserted", found.inserted),
        worst=worst_utterances(run.utterances),
        invented=_invented_table(run.evaluation.invented),
    )


def smoothed(losses: Sequence[float | None], window: int) -> list[Point]:
    """Means over `window` steps, as points at the windows' ends; steps without a loss are left out."""
    points = []
    for end in range(window, len(losses) + 1, max(1, window // 4)):
        found = [loss for loss in losses[end - window : end] if loss is not None]
        if found:
            points.append((float(end), sum(found) / len(found)))
    return points


def slice_table(utterances: Sequence[ScoredUtterance], comparison: Comparison) -> Table:
    """WER by slice, with the champion's. Below `MIN_SLICE_WORDS` words a slice is left out.

    Where a slice has few programmes, its interval is over utterances and says nothing about other programmes.
    """
    champion_wers = {(part.kind, part.value): part.champion_wer for part in comparison.slices}
    rows = []
    for (kind, value), indices in slice_indices(utterances).items():
        programmes = [utterances[i].programme_id for i in indices]
        errors = [utterances[i].words.errors for i in indices]
        lengths = [utterances[i].words.length for i in indices]
        if sum(lengths) < MIN_SLICE_WORDS:
            continue
        unit_errors, unit_lengths = sum_by_unit(programmes, errors, lengths)
        wer = rate_interval(unit_errors, unit_lengths, n_resamples=N_SLICE_RESAMPLES)
        rows.append(
            (
                KIND_NAMES.get(kind, kind),
                value,
                number(sum(lengths)),
                percent(wer.value),
                _interval(wer.low, wer.high),
                f"{choose_unit(programmes)}s",
                percent(champion_wers.get((kind, value))),
            )
        )
    columns = (
        *text("Slice", "Value"),
        *figures("Words", "WER", "95 % interval"),
        *text("Resampled"),
        *figures("Champion's WER"),
    )
    return without_empty_columns(columns, rows)


def _tiles(run: RunMaterial) -> list[tuple[str, str, str]]:
    return [
        (percent(run.evaluation.wer.value), "WER", ""),
        (percent(run.comparison.champion_wer), "champion's WER", ""),
        (percent(run.evaluation.cer.value), "CER", ""),
        (number(run.evaluated.metrics["rtfx"]), "RTFx", ""),
        (number(run.evaluation.words.length), "words", ""),
    ]


def _wer_table(run: RunMaterial) -> Table:
    e, c = run.evaluation, run.comparison
    counts = (e.words.substitutions, e.words.deletions, e.words.insertions, e.words.length)
    columns = (
        *text("Model"),
        *figures("WER", "95 % interval", "Substitutions", "Deletions", "Insertions", "Words"),
    )
    rows = (
        (f"{c.challenger} (challenger)", percent(e.wer.value), _interval(e.wer.low, e.wer.high), *map(number, counts)),
        (f"{c.champion} (champion)", percent(c.champion_wer), *[""] * 5),
        ("difference", percent(c.difference), _interval(c.difference_low, c.difference_high), *[""] * 4),
    )
    return Table(columns, rows)


def _counts(heading: str, counts: Sequence[tuple[str, int]]) -> Table:
    return Table(text(heading) + figures("Count"), tuple((word, number(n)) for word, n in counts))


def _invented_table(invented: Sequence[HallucinatedWords]) -> Table:
    rows = [(sound.sound, f"{sound.seconds:g}", number(sound.words), sound.heard) for sound in invented]
    return without_empty_columns((*text("Sound"), *figures("Seconds", "Words"), *text("Hypothesis")), rows)


def _interval(low: float, high: float) -> str:
    return f"{percent(low)} to {percent(high)}"
