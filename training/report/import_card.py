"""The model card of an imported model: where it comes from, its licence, and what was measured here."""

from __future__ import annotations

from tasks.contract import StepResult
from tasks.pages.templates import render
from training.evaluation.records import Comparison, Evaluation


def render_import_card(
    name: str,
    imported: StepResult,
    converted: StepResult,
    digest: str,
    evaluation: Evaluation | None,
    evaluated: StepResult | None,
    comparison: Comparison | None,
) -> str:
    """Markdown. Evaluation and comparison are None for a model that was imported without a dataset."""
    return render(
        "training.report/import_card.md.jinja",
        name=name,
        imported=imported,
        converted=converted.labels,
        digest=digest,
        evaluation=evaluation,
        evaluated=evaluated,
        comparison=comparison,
    )
