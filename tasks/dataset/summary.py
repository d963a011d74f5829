"""Totals of what was kept and dropped, summed over programmes, shards and steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from pydantic import Field

from tasks.audio import SAMPLE_RATE_HZ, SAMPLES_PER_MS
from tasks.contract import Frozen, ItemOutcome, Reason

SUMMARY = "summary.json"


def whole_ms(duration_s: float) -> int:
    """A row's `duration_s` in whole milliseconds, as summaries count it."""
    return round(duration_s * SAMPLE_RATE_HZ) // SAMPLES_PER_MS


class Tally(Frozen):
    """A count and a total duration, in milliseconds so that sums are exact."""

    count: int = 0
    ms: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(count=self.count + other.count, ms=self.ms + other.ms)

    @property
    def hours(self) -> float:
        return self.ms / 3_600_000


Drops = dict[str, dict[Reason, Tally]]
"""Tallies of what was dropped, per step and reason."""


Examples = dict[str, dict[Reason, tuple[ItemOutcome, ...]]]
"""A few dropped items, per step and reason."""

MAX_EXAMPLES = 3  # per step and reason, for the report


class Summary(Frozen):
    """Totals of a shard or a dataset. `cut` equals `kept` plus everything in `dropped`, to the millisecond."""

    media: Tally = Field(default=Tally(), description="decoded programmes and their decoded duration")
    cut: Tally = Field(default=Tally(), description="utterances cut by the transcripts")
    kept: Tally = Field(default=Tally(), description="utterances kept")
    dropped: Drops = Field(default_factory=dict, description="utterances, per step and reason")
    rejected: Drops = Field(default_factory=dict, description="whole programmes, per step and reason")
    uncaptioned_ms: int = Field(default=0, description="media time not covered by any utterance, kept or dropped")
    warned: Drops = Field(default_factory=dict, description="programmes decoded with a warning, per step and reason")
    lost_ms: int = Field(default=0, description="media time that could not be decoded and was replaced by silence")
    missing_ms: int = Field(default=0, description="media time missing at the end of truncated files")


def total(summaries: Iterable[Summary]) -> Summary:
    """The sum of all summaries."""
    parts = list(summaries)
    return Summary(
        media=sum((part.media for part in parts), Tally()),
        cut=sum((part.cut for part in parts), Tally()),
        kept=sum((part.kept for part in parts), Tally()),
        dropped=merge(part.dropped for part in parts),
        rejected=merge(part.rejected for part in parts),
        uncaptioned_ms=sum(part.uncaptioned_ms for part in parts),
        warned=merge(part.warned for part in parts),
        lost_ms=sum(part.lost_ms for part in parts),
        missing_ms=sum(part.missing_ms for part in parts),
    )


def merge(parts: Iterable[Drops]) -> Drops:
    """The sum of all drops, in a fixed order."""
    merged: dict[str, dict[Reason, Tally]] = defaultdict(lambda: defaultdict(Tally))
    for part in parts:
        for step, reasons in part.items():
            for reason, tally in reasons.items():
                merged[step][reason] = merged[step][reason] + tally
    return {step: dict(sorted(reasons.items())) for step, reasons in sorted(merged.items())}


def counts_of(drops: Drops, prefix: str) -> dict[str, int]:
    """`{"dropped:alphabet": 3}` over all steps, for a step's result."""
    counts: dict[str, int] = defaultdict(int)
    for reasons in drops.values():
        for reason, tally in reasons.items():
            counts[f"{prefix}:{reason}"] += tally.count
    return dict(sorted(counts.items()))


def hours_of(drops: Drops, prefix: str) -> dict[str, float]:
    """`{"hours_dropped:alphabet": 0.2}` over all steps, for a step's result."""
    ms: dict[str, int] = defaultdict(int)
    for reasons in drops.values():
        for reason, tally in reasons.items():
            ms[f"hours_{prefix}:{reason}"] += tally.ms
    return {name: value / 3_600_000 for name, value in sorted(ms.items())}


def examples_of(step: str, outcomes: Iterable[ItemOutcome]) -> Examples:
    """The first few outcomes of each reason."""
    found: dict[Reason, list[ItemOutcome]] = defaultdict(list)
    for outcome in outcomes:
        if outcome.reason is not None and not outcome.is_done and len(found[outcome.reason]) < MAX_EXAMPLES:
            found[outcome.reason].append(outcome)
    return {step: {reason: tuple(some) for reason, some in sorted(found.items()) if some}}


def merge_examples(parts: Iterable[Examples]) -> Examples:
    """The first few examples over all parts."""
    merged: dict[str, dict[Reason, tuple[ItemOutcome, ...]]] = defaultdict(dict)
    for part in parts:
        for step, reasons in part.items():
            for reason, some in reasons.items():
                merged[step][reason] = (*merged[step].get(reason, ()), *some)[:MAX_EXAMPLES]
    return {step: dict(sorted(reasons.items())) for step, reasons in sorted(merged.items())}
