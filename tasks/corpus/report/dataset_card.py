"""A dataset's card: Markdown with the metadata that dataset catalogues read."""

from __future__ import annotations

from tasks.corpus.report.material import DatasetMaterial, damage
from tasks.dataset.manifest import MANIFEST, Split
from tasks.pages.templates import render


def render_dataset_card(material: DatasetMaterial) -> str:
    """The README of a dataset."""
    return render(
        "tasks.corpus.report/dataset_card.md.jinja",
        material=material,
        manifest=material.manifest,
        account=material.manifest.account,
        damage=damage(material.manifest.account),
        manifest_name=MANIFEST,
        splits=list(Split),
    )
