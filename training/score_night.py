"""Scores nights against known texts: `python -m training.score_night --index URI --references DIR [--json]`.

A reference is `<programme>.txt`: what is really said. What was transcribed is told by the `index.jsonl` of
report-night; of several, each programme's last row counts. A programme without a transcript counts with all its words
as deletions, so nothing is won by leaving out what is hard.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, ConfigDict

from tasks import storage
from tasks.contract import Frozen
from training.scoring.errors import ErrorCounts, total, word_errors
from training.scoring.normaliser import NORMALISER, normalise


class IndexRow(BaseModel):
    """What a row of `index.jsonl` says that matters here."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    programme: str
    model: str = ""
    text: str = ""


class ProgrammeScore(Frozen):
    """Errors of one programme. `wer` is null where nothing is said: there, insertions are invented words."""

    programme: str
    transcribed: bool
    reference_words: int
    errors: int
    insertions: int
    wer: float | None


class NightScore(Frozen):
    """All programmes that have a reference, each word weighing alike."""

    normaliser: str
    reference_words: int
    errors: int
    wer: float | None
    programmes: tuple[ProgrammeScore, ...]


def score_night(indexes: Sequence[str], references: Path, model: str = "") -> NightScore:
    """Score every programme that has a reference, as the model of this version transcribed it (or any model)."""
    hypotheses = transcribed(indexes, model)
    counts = {
        path.stem: word_errors(normalise(path.read_text("utf-8")), normalise(hypotheses.get(path.stem, "")))
        for path in sorted(references.glob("*.txt"))
    }
    together = total(counts.values())
    return NightScore(
        normaliser=NORMALISER,
        reference_words=together.length,
        errors=together.errors,
        wer=_rate(together),
        programmes=tuple(
            ProgrammeScore(
                programme=name,
                transcribed=name in hypotheses,
                reference_words=found.length,
                errors=found.errors,
                insertions=found.insertions,
                wer=_rate(found),
            )
            for name, found in counts.items()
        ),
    )


def transcribed(indexes: Sequence[str], model: str = "") -> dict[str, str]:
    """The plain text of each programme; what has no transcript is not in it."""
    rows: dict[str, IndexRow] = {}
    for uri in indexes:
        found = map(IndexRow.model_validate_json, storage.read_bytes(uri).splitlines())
        rows |= {row.programme: row for row in found if row.text and (not model or row.model == model)}
    return {programme: storage.read_bytes(row.text).decode() for programme, row in rows.items()}


def _rate(counts: ErrorCounts) -> float | None:
    return counts.rate if counts.length else None


def main(
    index: Annotated[list[str], typer.Option(help="URI of a night's index.jsonl; later ones go over earlier ones")],
    references: Annotated[Path, typer.Option(help="folder of known texts, one <programme>.txt each")],
    model: Annotated[str, typer.Option(help="only transcripts by this model version")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    found = score_night(index, references, model)
    if as_json:
        typer.echo(found.model_dump_json())
        return
    for programme in found.programmes:
        typer.echo(f"{programme.programme:<48} {_shown(programme.wer, programme.errors)}")
    typer.echo(f"{'together':<48} {_shown(found.wer, found.errors)} of {found.reference_words} words")


def _shown(wer: float | None, errors: int) -> str:
    return f"{100 * wer:6.2f} %" if wer is not None else f"{errors} invented"


if __name__ == "__main__":
    typer.run(main)
