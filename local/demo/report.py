"""The demo's end: dataset, model, the night's table, and what each part took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from local.demo.display import seconds
from local.demo.night import ProgrammeScore, Row, Score, shown_path
from tasks.contract import Outcome, Receipt

SPLITS = ("train", "validation", "test")


def dataset_lines(assembled: Receipt) -> list[str]:
    """Hours and utterances, kept per split and dropped per reason."""
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
    """Version, error rates on the test split before and after, and what became of it."""
    metrics = evaluated.metrics
    interval = f" (95 % between {percent(metrics['wer_low'])} and {percent(metrics['wer_high'])})"
    was = f"{percent(before)} before, " if before is not None else ""
    lines = [f"WER on the dataset's test split: {was}{percent(metrics['wer'])} after fine-tuning{interval}"]
    if registered:
        lines.insert(0, f"{registered.labels['name']}, version {registered.labels['version']}")
    if promoted:
        said = {"yes": "promoted to champion", "already": "champion already", "no": "not promoted"}
        outcome = said.get(promoted.labels["promoted"], promoted.labels["promoted"])
        lines.append(f"{outcome}: {promoted.labels['reason']}")
    return lines


def night_table(rows: Sequence[Row], score: Score | None, transcripts: str) -> Table:
    """One row a programme. Texts are named from the programme's own folder on, as the last column's title tells."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in ("programme", "status"):
        table.add_column(name, no_wrap=True)
    for name in ("duration", "speakers", "WER", "× real time"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(f"text, below {shown_path(transcripts)}/<programme>", overflow="fold")
    for row in rows:
        text = _below(row.text, transcripts).removeprefix(f"{row.programme}/")
        known = score.of(row.programme) if score else None
        table.add_row(
            row.programme,
            Text(_status(row), style="green" if row.outcome is Outcome.DONE else "yellow"),
            _clock(row.duration_s) if row.duration_s else "",
            "" if row.speakers is None else str(row.speakers),
            _wer(known),
            f"{row.rtfx:.0f}" if row.rtfx else "",
            text if row.text else Text(row.detail, style="dim"),
        )
    return table


def show(console: Console, title: str, *content: RenderableType) -> None:
    """A section of the report."""
    console.print(Group(Text(f"\n{title}", style="bold"), *content), highlight=False, soft_wrap=False)


def parts_line(parts: Mapping[str, float]) -> str:
    """`services 24 s, corpus_features 1:30, … together 9:12`."""
    listed = ", ".join(f"{name} {seconds(value)}" for name, value in parts.items())
    return f"{listed}; together {seconds(sum(parts.values()))}"


def percent(rate: float) -> str:
    return f"{100 * rate:.1f} %"


def _status(row: Row) -> str:
    status = row.outcome.value.replace("_", " ")
    return f"{status} ({row.reason.value.replace('_', ' ')})" if row.reason else status


def _wer(known: ProgrammeScore | None) -> str:
    if known is None:
        return ""
    if known.wer is None:
        return f"{known.errors} invented" if known.errors else "nothing said"
    return percent(known.wer)


def _below(uri: str, prefix: str) -> str:
    return unquote(uri.removeprefix(f"{prefix}/")) if uri.startswith(f"{prefix}/") else shown_path(uri)


def _clock(duration_s: float) -> str:
    return f"{round(duration_s) // 60}:{round(duration_s) % 60:02d}"
