"""The published results of the nights, and their score against reference texts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from local.settings import CHECKOUT, UserError, path_of
from tasks.contract import Outcome, Reason


class ProgrammeResult(BaseModel):
    """A programme's line in `index.jsonl` of a night's report."""

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
    """A programme in the output of `python -m training score-night --json`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    programme: str
    reference_words: int
    errors: int
    wer: float | None


class NightScore(BaseModel):
    """The output of `python -m training score-night --json`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    reference_words: int
    errors: int
    wer: float | None
    programmes: tuple[ProgrammeScore, ...]

    def of(self, programme: str) -> ProgrammeScore | None:
        return next((score for score in self.programmes if score.programme == programme), None)


def indexes(transcripts: str) -> list[Path]:
    """The `index.jsonl` of every night, oldest first."""
    return sorted(path_of(transcripts).glob("_nights/*/index.jsonl"), key=lambda path: path.stat().st_mtime)


def programme_results(transcripts: str, model_version: str) -> list[ProgrammeResult]:
    """The newest result, over all nights, of each programme transcribed by one model or by none."""
    newest: dict[str, ProgrammeResult] = {}
    for index in indexes(transcripts):
        for line in index.read_text().splitlines():
            result = ProgrammeResult.model_validate_json(line)
            if result.model in ("", model_version):
                newest[result.media] = result
    return sorted(newest.values(), key=lambda result: result.programme)


def score_nights(
    transcripts: str, references: str, model_version: str, environment: Mapping[str, str]
) -> NightScore | None:
    """Word errors against the reference texts; None without references or without a night.

    Raises:
        UserError: the scorer failed.
    """
    folder, nights = path_of(references), indexes(transcripts)
    if not nights or not any(folder.glob("*.txt")):
        return None
    command = [sys.executable, "-m", "training", "score-night", *(f"--index={path.as_uri()}" for path in nights)]
    command += [f"--references={folder}", f"--model={model_version}", "--english", "--json"]
    done = subprocess.run(command, cwd=CHECKOUT, env=dict(environment), capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"scoring failed:\n{done.stderr.strip()[-2000:]}")
    return NightScore.model_validate_json(done.stdout)


def first_lines(result: ProgrammeResult, lines: int = 4) -> list[str]:
    """The first lines of a programme's plain text, without empty ones."""
    path = path_of(result.text)
    text = path.read_text() if result.text and path.is_file() else ""
    return [line for line in text.splitlines() if line.strip()][:lines]


def shown_path(uri: str) -> str:
    """A file's path for display, relative to the current folder if it is below it."""
    path = path_of(uri)
    relative = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return str(relative)
