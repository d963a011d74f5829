"""What the nights have written, and how it compares with known texts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from local.settings import CHECKOUT, LaptopError, path_of
from tasks.contract import Outcome, Reason


class Row(BaseModel):
    """One programme, as `index.jsonl` of a night's report tells it."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    programme: str
    media: str
    outcome: Outcome
    reason: Reason | None = None
    detail: str = ""
    duration_s: float = 0.0
    speakers: int | None = None
    words: int = 0
    rtfx: float | None = None
    text: str = ""
    model: str = ""


class ProgrammeScore(BaseModel):
    """One programme of `python -m training score-night --json`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    programme: str
    reference_words: int
    errors: int
    wer: float | None


class Score(BaseModel):
    """The whole answer of `python -m training score-night --json`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    reference_words: int
    errors: int
    wer: float | None
    programmes: tuple[ProgrammeScore, ...]

    def of(self, programme: str) -> ProgrammeScore | None:
        return next((score for score in self.programmes if score.programme == programme), None)


def indexes(transcripts: str) -> list[Path]:
    """The `index.jsonl` of every night, the oldest first."""
    return sorted(path_of(transcripts).glob("_nights/*/index.jsonl"), key=lambda path: path.stat().st_mtime)


def rows(transcripts: str, model_version: str) -> list[Row]:
    """The newest row of each programme that one model transcribed, or that no model could, over all nights."""
    newest: dict[str, Row] = {}
    for index in indexes(transcripts):
        for line in index.read_text().splitlines():
            row = Row.model_validate_json(line)
            if row.model in ("", model_version):
                newest[row.media] = row
    return sorted(newest.values(), key=lambda row: row.programme)


def score(transcripts: str, references: str, model_version: str, environment: Mapping[str, str]) -> Score | None:
    """Word errors against the known texts; None when there are no texts, or no night yet.

    Raises:
        LaptopError: the scorer failed.
    """
    folder, nights = path_of(references), indexes(transcripts)
    if not nights or not any(folder.glob("*.txt")):
        return None
    command = [sys.executable, "-m", "training", "score-night", *(f"--index={path.as_uri()}" for path in nights)]
    command += [f"--references={folder}", f"--model={model_version}", "--json"]
    done = subprocess.run(command, cwd=CHECKOUT, env=dict(environment), capture_output=True, text=True, check=False)
    if done.returncode:
        raise LaptopError(f"scoring failed:\n{done.stderr.strip()[-2000:]}")
    return Score.model_validate_json(done.stdout)


def first_lines(row: Row, lines: int = 4) -> list[str]:
    """How a programme's plain text begins."""
    path = path_of(row.text)
    text = path.read_text() if row.text and path.is_file() else ""
    return [line for line in text.splitlines() if line.strip()][:lines]


def shown_path(uri: str) -> str:
    """A file's path, relative to the current folder where that is shorter."""
    path = path_of(uri)
    relative = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return str(relative)
