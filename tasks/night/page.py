"""The night's report as one HTML page that needs nothing else."""

from __future__ import annotations

from html import escape

from tasks.contract import Outcome
from tasks.night.records import NightReport, NightRow

STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #2e7d32; --fair: #b26a00; --bad: #c62828; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 84rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin-bottom: .2rem; }
p { margin: .2rem 0 1rem; opacity: .8; }
ul.counts { display: flex; flex-wrap: wrap; gap: .5rem 2rem; list-style: none; padding: 0; }
ul.counts b { display: block; font-size: 1.5rem; font-weight: 600; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .6rem; text-align: left; vertical-align: top; }
th { font-weight: 600; position: sticky; top: 0; background: Canvas; }
.number { text-align: right; white-space: nowrap; }
.done { color: var(--good); } .warned { color: var(--fair); } .not { color: var(--bad); }
small { display: block; opacity: .75; overflow-wrap: anywhere; }
"""

COLUMNS = (
    ("Programme", ""),
    ("Outcome", ""),
    ("Duration", "number"),
    ("Speakers", "number"),
    ("Words", "number"),
    ("Words/min", "number"),
    ("Coverage", "number"),
    ("Confidence", "number"),
    ("Heard again", "number"),
    ("Suspect", "number"),
    ("Cues off limits", "number"),
    ("RTFx", "number"),
    ("Cost", "number"),
    ("Transcript", ""),
)


def render_page(report: NightReport) -> str:
    """Equal reports give equal pages."""
    title = f"Transcripts of {report.night}"
    counts = [
        (str(len(report.rows)), "programmes"),
        (f"{report.hours:.2f} h", "transcribed"),
        (f"{report.words:,}", "words"),
        (f"{report.cost:.2f}" if report.cost is not None else clock(report.compute_s), "cost"),
        *((str(n), outcome.replace("_", " ")) for outcome, n in report.outcomes.items()),
    ]
    figures = "".join(f"<li><b>{escape(value)}</b>{escape(label)}</li>" for value, label in counts)
    head = "".join(f'<th class="{kind}">{escape(name)}</th>' for name, kind in COLUMNS)
    body = "\n".join(_row(row) for row in report.rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>" if report.rows else ""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>\n'
        f"<h1>{escape(title)}</h1><p>{escape(report.news)}. Model {escape(report.model_version)}.</p>\n"
        f'<ul class="counts">{figures}</ul>\n{table}\n</body></html>\n'
    )


def _row(row: NightRow) -> str:
    link = f'<a href="{escape(row.text)}">text</a>, <a href="{escape(row.transcript)}/">all</a>'
    cells = (
        f"{escape(row.programme)}<small>{escape(row.media)}</small>",
        f'<span class="{_kind(row.outcome)}">{escape(row.outcome.replace("_", " "))}</span>{_remark(row)}',
        clock(row.duration_s) if row.duration_s else "",
        "" if row.speakers is None else str(row.speakers),
        f"{row.words:,}" if row.transcript else "",
        _figure(row.words_a_minute, ".0f"),
        _figure(row.coverage, ".0%"),
        _figure(row.confidence, ".2f"),
        f"{row.redecoded_s:.0f} s" if row.redecoded_s else "",
        f"{row.suspect_s:.0f} s" if row.suspect_s else "",
        f"{row.cues_beyond} of {row.cues}" if row.cues else "",
        _figure(row.rtfx, ".0f"),
        _cost(row),
        link if row.transcript else "",
    )
    return (
        "<tr>"
        + "".join(f'<td class="{kind}">{cell}</td>' for cell, (_, kind) in zip(cells, COLUMNS, strict=True))
        + "</tr>"
    )


def _kind(outcome: Outcome) -> str:
    if outcome in (Outcome.DONE, Outcome.DONE_NO_SPEECH):
        return "done"
    return "warned" if outcome is Outcome.DONE_WITH_WARNINGS else "not"


def _remark(row: NightRow) -> str:
    text = ": ".join(part for part in ((row.reason or "").replace("_", " "), row.detail) if part)
    return f"<small>{escape(text)}</small>" if text else ""


def _cost(row: NightRow) -> str:
    """In money where prices are known, else in the time of machines."""
    if row.cost is not None:
        return f"{row.cost:.2f}"
    return "" if row.compute_s is None else clock(row.compute_s)


def _figure(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def clock(duration_s: float) -> str:
    """`1:02:03`, or `2:03` below an hour."""
    minutes, seconds = divmod(round(duration_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
