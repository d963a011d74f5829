"""The model card: a model's origin, its measured quality and its known weaknesses."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.contract import StepResult
from tasks.dataset.manifest import DatasetManifest
from tasks.pages.formatting import percent
from tasks.pages.templates import render
from training.evaluation.records import Comparison, Evaluation
from training.finetuning.recipe import Recipe
from training.scoring.bootstrap import RateInterval

N_WORST_SLICES = 5
MIN_SLICE_WORDS = 50


@dataclass(frozen=True)
class Sources:
    """What a version was made of."""

    name: str
    trained: StepResult
    recipe: Recipe
    converted: StepResult
    manifest: DatasetManifest


def render_model_card(sources: Sources, evaluation: Evaluation, evaluated: StepResult, comparison: Comparison) -> str:
    """Markdown, after M. Mitchell et al., "Model Cards for Model Reporting" (2019)."""
    trained = sources.trained
    rejected = {name.removeprefix("rejected:"): n for name, n in trained.counts.items() if name.startswith("rejected:")}
    worst_slices = sorted(
        (part for part in evaluation.slices if part.words.length >= MIN_SLICE_WORDS),
        key=lambda part: -part.words.rate,
    )[:N_WORST_SLICES]
    return render(
        "training.report/model_card.md.jinja",
        name=sources.name,
        trained=trained,
        recipe=sources.recipe,
        converted=sources.converted.labels,
        manifest=sources.manifest,
        rejected=rejected,
        evaluation=evaluation,
        wer=_rate(evaluation.wer),
        cer=_rate(evaluation.cer),
        evaluated=evaluated,
        comparison=comparison,
        worst_slices=worst_slices,
    )


def _rate(rate: RateInterval) -> str:
    return f"{percent(rate.value)} ({100 * rate.low:.2f} to {100 * rate.high:.2f})"
