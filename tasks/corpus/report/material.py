"""What a dataset's card and report are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tasks.corpus.assembly.statistics import Statistics
from tasks.corpus.report.samples import Sample
from tasks.dataset.manifest import DatasetManifest
from tasks.dataset.summary import Examples, Summary
from tasks.pages.formatting import phrase


@dataclass(frozen=True)
class DatasetMaterial:
    """A dataset, the corpus under `source` that it was made from, and utterances to show."""

    manifest: DatasetManifest
    version: str
    source: str
    statistics: Statistics
    examples: Examples
    kept: Sequence[Sample]
    mismatched: Sequence[Sample]
    """Dropped because the caption does not match the recogniser's hypothesis."""

    @property
    def max_match_error(self) -> float | None:
        """The bound of the match error; none where captions were not matched."""
        if not self.manifest.matched_by:
            return None
        return float(self.manifest.configuration["assemble-dataset"]["max_match_error"])


def damage(account: Summary) -> str:
    """A sentence about what could not be decoded of the programmes that were."""
    warnings = ", ".join(
        f"{tally.count:,} {phrase(reason)}" for reasons in account.warned.values() for reason, tally in reasons.items()
    )
    return (
        f"{account.lost_ms / 1000:,.1f} s of the programmes could not be decoded, and "
        f"{account.missing_ms / 1000:,.1f} s are missing at the end of truncated files. "
        f"Programmes with a warning: {warnings or 'none'}."
    )
