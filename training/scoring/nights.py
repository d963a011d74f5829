"""Scores nights against known texts: `python -m training score-night --index URI --references DIR [--json]`.

A reference is `<programme>.txt`: what is really said. What was transcribed is told by the `index.jsonl` of
report-night; of several, each programme's last row counts. A programme without a transcript counts with all its words
as deletions, so nothing is won by leaving out what is hard.

Where `<programme>.json` beside it lists lines with speakers, `cpwer` tells how much of the words stands at the right
speaker: 0 is everything, and a word at the wrong one counts twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel, ConfigDict

from tasks import storage
from tasks.contract import ExitCode, Frozen
from tasks.transcripts.document import Transcript
from training.scoring.errors import ErrorCounts, total, word_errors
from training.scoring.normaliser import NORMALISER, normalise
from training.scoring.speakers import speaker_word_errors

NOBODY = "?"  # under this name stand words whose speaker is not known


class IndexRow(BaseModel):
    """What a row of `index.jsonl` says that matters here."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    programme: str
    model: str = ""
    text: str = ""


class Line(BaseModel):
    """What one speaker says without a break."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    speaker: str
    text: str


class SpokenReference(BaseModel):
    """`<programme>.json`: who really says what."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    lines: tuple[Line, ...] = ()


class ProgrammeScore(Frozen):
    """Errors of one programme. `wer` is null where nothing is said: there, insertions are invented words."""

    programme: str
    transcribed: bool
    reference_words: int
    errors: int
    insertions: int
    wer: float | None
    cpwer: float | None = None
    """None where the reference does not say who speaks, or the transcript does not."""


class NightScore(Frozen):
    """All programmes that have a reference, each word weighing alike."""

    normaliser: str
    reference_words: int
    errors: int
    wer: float | None
    programmes: tuple[ProgrammeScore, ...]


def score_night(indexes: Sequence[str], references: Path, model: str = "") -> NightScore:
    """Score every programme that has a reference, as the model of this version transcribed it (or any model)."""
    rows = newest_rows(indexes, model)
    hypotheses = {programme: storage.read_bytes(row.text).decode() for programme, row in rows.items()}
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
                cpwer=cpwer(references / f"{name}.json", rows[name].text) if name in rows else None,
            )
            for name, found in counts.items()
        ),
    )


def newest_rows(indexes: Sequence[str], model: str = "") -> dict[str, IndexRow]:
    """The row of each programme; what has no transcript is not in it."""
    rows: dict[str, IndexRow] = {}
    for uri in indexes:
        found = map(IndexRow.model_validate_json, storage.read_bytes(uri).splitlines())
        rows |= {row.programme: row for row in found if row.text and (not model or row.model == model)}
    return rows


def cpwer(reference: Path, text: str) -> float | None:
    """Word errors by speaker of the transcript whose plain text lies at `text`."""
    canonical = text.removesuffix(".txt") + ".json"
    if not reference.exists() or not storage.exists(canonical):
        return None
    lines = SpokenReference.model_validate_json(reference.read_bytes()).lines
    transcript = Transcript.from_bytes(storage.read_bytes(canonical))
    if not lines or transcript.provenance.diarizer is None:
        return None
    said = by_speaker((line.speaker, line.text) for line in lines)
    heard = by_speaker((word.speaker or NOBODY, word.text) for word in transcript.words)
    return _rate(speaker_word_errors(said, heard))


def by_speaker(pieces: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Each speaker's text, normalised."""
    texts: dict[str, list[str]] = defaultdict(list)
    for speaker, text in pieces:
        texts[speaker].append(text)
    return {speaker: normalise(" ".join(parts)) for speaker, parts in texts.items()}


def _rate(counts: ErrorCounts) -> float | None:
    return counts.rate if counts.length else None


app = typer.Typer()


@app.command()
def command(
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
        by_speakers = "" if programme.cpwer is None else f"  {100 * programme.cpwer:6.2f} % with speakers"
        typer.echo(f"{programme.programme:<48} {_shown(programme.wer, programme.errors)}{by_speakers}")
    typer.echo(f"{'together':<48} {_shown(found.wer, found.errors)} of {found.reference_words} words")


def _shown(wer: float | None, errors: int) -> str:
    return f"{100 * wer:6.2f} %" if wer is not None else f"{errors} invented"


def main(argv: list[str]) -> int:
    app(argv, prog_name="python -m training score-night")
    return ExitCode.DONE
