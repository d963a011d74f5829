"""The README beside a diarizer's weights: how they were trained, and their errors on unseen voices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.pages.templates import render

if TYPE_CHECKING:
    from local.demo.diarizer.tuning import Tuned


@dataclass(frozen=True)
class Run:
    """The training run behind the weights."""

    n_speakers: int
    hours: float
    embedding_steps: int
    segmentation_steps: int
    seed: int
    human: bool
    started: bool
    """From existing weights instead of random ones."""
    seconds: float = 0.0


def write_card(run: Run, tuned: Tuned, weights: Path) -> None:
    from local.demo.diarizer.tuning import N_TALKS

    errors = tuned.errors
    shares = {
        name: 100 * getattr(errors, f"{name}_s") / errors.scored_s for name in ("missed", "false_alarm", "confusion")
    }
    card = render(
        "local.demo.diarizer/diarizer_card.md.jinja",
        run=run,
        tuned=tuned,
        errors=errors,
        weights=weights if not weights.is_absolute() else "DIR",
        n_talks=N_TALKS,
        **shares,
    )
    (weights / "README.md").write_text(card)
