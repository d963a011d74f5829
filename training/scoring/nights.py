"""Score nights against references: `python -m training score-night --index URI --references DIR [--english] [--json]`.

A reference is `<programme>.txt`, a verbatim transcript. Hypotheses come from report-night's `index.jsonl`; of several
indexes, each programme's last row counts. A programme without a transcript counts all its words as deletions, so
skipping difficult programmes does not improve the score.

Where `<programme>.json` beside the reference lists lines with speakers, `cpwer` is the speaker-attributed word error
rate: a word attributed to the wrong speaker counts twice.
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
from tasks.transcripts.error_counts import ErrorCounts, total
from tasks.transcripts.normaliser import NORMALISER, normalise
from training.scoring.english import ENGLISH_NORMALISER, normalise_english
from training.scoring.errors import word_errors
from training.scoring.speakers import speaker_word_errors

UNKNOWN_SPEAKER = "?"  # of words without a speaker


class IndexRow(BaseModel):
    """The fields of a row of `index.jsonl` that scoring needs."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    programme: str
    model: str = ""
    text: str = ""


class SpokenLine(BaseModel):
    """One speaker's line in a reference."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    speaker: str
    text: str


class SpokenReference(BaseModel):
    """`<programme>.json`: the reference by speaker."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    lines: tuple[SpokenLine, ...] = ()


class ProgrammeScore(Frozen):
    """Errors of one programme. `wer` is null where the reference is empty: all insertions are hallucinated words."""

    programme: str
    transcribed: bool
    reference_words: int
    errors: int
    insertions: int
    wer: float | None
    cpwer: float | None = None
    """None where reference or transcript has no speakers."""


class NightScore(Frozen):
    """All programmes with a reference, every word weighted equally."""

    normaliser: str
    reference_words: int
    errors: int
    wer: float | None
    programmes: tuple[ProgrammeScore, ...]


def score_night(indexes: Sequence[str], references: Path, model: str = "", is_english: bool = False) -> NightScore:
    """Score every programme with a reference, as transcribed by this model version, or by any if empty.

    `is_english`: ways of writing English are no errors (`training.scoring.english`).
    """
    to_words, normaliser = (normalise_english, ENGLISH_NORMALISER) if is_english else (normalise, NORMALISER)
    rows = latest_rows(indexes, model)
    hypotheses = {programme: storage.read_bytes(row.text).decode() for programme, row in rows.items()}
    counts = {
        path.stem: word_errors(to_words(path.read_text("utf-8")), to_words(hypotheses.get(path.stem, "")))
        for path in sorted(references.glob("*.txt"))
    }
    overall = total(counts.values())
    return NightScore(
        normaliser=normaliser,
        reference_words=overall.length,
        errors=overall.errors,
        wer=_rate(overall),
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


def latest_rows(indexes: Sequence[str], model: str = "") -> dict[str, IndexRow]:
    """Return each transcribed programme's last row."""
    rows: dict[str, IndexRow] = {}
    for uri in indexes:
        found = map(IndexRow.model_validate_json, storage.read_bytes(uri).splitlines())
        rows |= {row.programme: row for row in found if row.text and (not model or row.model == model)}
    return rows


def cpwer(reference: Path, text: str) -> float | None:
    """Compute the cpWER of the transcript whose plain text is at the URI `text`."""
    canonical = text.removesuffix(".txt") + ".json"
    if not reference.exists() or not storage.exists(canonical):
        return None
    lines = SpokenReference.model_validate_json(reference.read_bytes()).lines
    transcript = Transcript.from_bytes(storage.read_bytes(canonical))
    if not lines or transcript.provenance.diarizer is None:
        return None
    references = by_speaker((line.speaker, line.text) for line in lines)
    hypotheses = by_speaker((word.speaker or UNKNOWN_SPEAKER, word.text) for word in transcript.words)
    return _rate(speaker_word_errors(references, hypotheses))


def by_speaker(pieces: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Join each speaker's text, normalised."""
    texts: dict[str, list[str]] = defaultdict(list)
    for speaker, text in pieces:
        texts[speaker].append(text)
    return {speaker: normalise(" ".join(parts)) for speaker, parts in texts.items()}


def _rate(counts: ErrorCounts) -> float | None:
    return counts.rate if counts.length else None


app = typer.Typer()


@app.command()
def score(
    index: Annotated[list[str], typer.Option(help="URI of a night's index.jsonl; later ones override earlier ones")],
    references: Annotated[Path, typer.Option(help="folder of reference texts, one <programme>.txt each")],
    model: Annotated[str, typer.Option(help="only transcripts by this model version")] = "",
    english: Annotated[bool, typer.Option(help="count ways of writing English, such as numbers, as no errors")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the scores as one JSON object")] = False,
) -> None:
    """Print the word error rate of each programme and overall."""
    found = score_night(index, references, model, english)
    if as_json:
        typer.echo(found.model_dump_json())
        return
    for programme in found.programmes:
        speakers = "" if programme.cpwer is None else f"  {100 * programme.cpwer:6.2f} % cpWER"
        typer.echo(f"{programme.programme:<48} {_format_rate(programme.wer, programme.errors)}{speakers}")
    typer.echo(f"{'overall':<48} {_format_rate(found.wer, found.errors)} of {found.reference_words} words")


def _format_rate(wer: float | None, errors: int) -> str:
    return f"{100 * wer:6.2f} %" if wer is not None else f"{errors} hallucinated"


def main(argv: list[str]) -> int:
    app(argv, prog_name="python -m training score-night")
    return ExitCode.DONE
