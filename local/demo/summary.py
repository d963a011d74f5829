"""The demo's final summary: dataset, model, the night's programmes, and the time of each part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import unquote

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from local.demo.display import seconds
from local.demo.night_results import NightScore, ProgrammeResult, ProgrammeScore, first_lines, shown_path
from tasks.contract import Outcome, Reason, Receipt

EXAMPLES = 2
SPLITS = ("train", "validation", "test")


def dataset_lines(assembled: Receipt) -> list[str]:
    """Hours and utterances by split, and dropped utterances by reason."""
    splits = (
        f"{split} {assembled.metrics[f'hours_{split}']:.2f} h, {assembled.counts[f'utterances_{split}']} utterances"
        for split in SPLITS
        if f"hours_{split}" in assembled.metrics
    )
    dropped = [f"{name.split(':')[1]} {n}" for name, n in assembled.counts.items() if name.startswith("dropped:")]
    lines = [
        f"{assembled.metrics['hours']:.2f} h in {assembled.counts['utterances']} utterances: {'; '.join(splits)}",
        f"version {assembled.labels['version'][:12]}   {shown_path(assembled.labels['manifest'])}",
    ]
    return [*lines, f"dropped: {', '.join(dropped)}"] if dropped else lines


def model_lines(
    registered: Receipt | None, promoted: Receipt | None, evaluated: Receipt, before: float | None
) -> list[str]:
    """Version, WER on the test split before and after fine-tuning, and the decision on its promotion."""
    metrics = evaluated.metrics
    interval = f" (95 % CI {percent(metrics['wer_low'])} to {percent(metrics['wer_high'])})"
    was = f"{percent(before)} before, " if before is not None else ""
    lines = [f"WER on the dataset's test split: {was}{percent(metrics['wer'])} after fine-tuning{interval}"]
    if registered:
        lines.insert(0, f"{registered.labels['name']}, version {registered.labels['version']}")
    if promoted:
        wording = {"yes": "promoted to champion", "already": "champion already", "no": "not promoted"}
        outcome = wording.get(promoted.labels["promoted"], promoted.labels["promoted"])
        lines.append(f"{outcome}: {promoted.labels['reason']}")
    return lines


def night_table(
    results: Sequence[ProgrammeResult], transcripts: str, scores: Mapping[str, NightScore] | None = None
) -> Table:
    """One row a programme, with its WER by model. Paths of texts are relative to the programme's folder."""
    scores = scores or {}
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in ("programme", "status"):
        table.add_column(name, no_wrap=True)
    for name in ("duration", "speakers", "× real time"):
        table.add_column(name, justify="right", no_wrap=True)
    for model in scores:
        table.add_column(f"WER\n{model}", justify="right")
    table.add_column(f"text, below {shown_path(transcripts)}/<programme>", overflow="fold")
    for result in results:
        text = _relative(result.text, transcripts).removeprefix(f"{result.programme}/")
        table.add_row(
            result.programme,
            Text(_status(result), style="green" if result.outcome is Outcome.DONE else "yellow"),
            _clock(result.duration_s) if result.duration_s else "",
            "" if result.speakers is None else str(result.speakers),
            f"{result.rtfx:.0f}" if result.rtfx else "",
            *(_wer(score.of(result.programme)) for score in scores.values()),
            text if result.text else Text(result.detail, style="dim"),
        )
    return table


def inbox_line(scores: Mapping[str, NightScore]) -> str:
    """Each model's WER over all programmes with a reference."""
    listed = ", ".join(f"{percent(score.wer)} with {model}" for model, score in scores.items() if score.wer is not None)
    return f"WER on the inbox ({next(iter(scores.values())).reference_words} words): {listed}"


def example_lines(results: Mapping[str, Sequence[ProgrammeResult]]) -> Iterator[tuple[str, list[str]]]:
    """The first lines of the same programmes by each model: titles and lines."""
    texts = {model: {result.programme: first_lines(result) for result in own} for model, own in results.items()}
    in_all = [name for name in next(iter(texts.values())) if all(of_model.get(name) for of_model in texts.values())]
    for name in in_all[:EXAMPLES]:
        for model, of_model in texts.items():
            yield f"{name}.txt by {model} begins", of_model[name]


def show(console: Console, title: str, *content: RenderableType) -> None:
    """Print a section of the summary."""
    console.print(Group(Text(f"\n{title}", style="bold"), *content), highlight=False, soft_wrap=False)


def durations_line(parts: Mapping[str, float]) -> str:
    """`services 24 s, corpus_features 1:30, …; together 9:12`."""
    listed = ", ".join(f"{name} {seconds(value)}" for name, value in parts.items())
    return f"{listed}; together {seconds(sum(parts.values()))}"


def percent(rate: float) -> str:
    return f"{100 * rate:.1f} %"


def _status(result: ProgrammeResult) -> str:
    outcome, reason = result.outcome, result.reason
    if outcome is Outcome.DONE_NO_SPEECH:
        outcome, reason = Outcome.DONE, reason or Reason.NO_SPEECH
    status = outcome.value.replace("_", " ")
    return f"{status} ({reason.value.replace('_', ' ')})" if reason else status


def _wer(score: ProgrammeScore | None) -> str:
    if score is None:
        return ""
    if score.wer is None:  # the reference has no words
        return f"{score.errors} hallucinated" if score.errors else "-"
    return percent(score.wer)


def _relative(uri: str, prefix: str) -> str:
    return unquote(uri.removeprefix(f"{prefix}/")) if uri.startswith(f"{prefix}/") else shown_path(uri)


def _clock(duration_s: float) -> str:
    return f"{round(duration_s) // 60}:{round(duration_s) % 60:02d}"
