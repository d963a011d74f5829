"""How much was kept and what was dropped, as it adds up over programmes, shards and steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from pydantic import Field

from tasks.audio import SAMPLE_RATE_HZ, SAMPLES_PER_MS
from tasks.contract import Frozen, ItemOutcome, Reason

SUMMARY = "summary.json"


def whole_ms(duration_s: float) -> int:
    """The whole milliseconds of a row's `duration_s`, as accounts count them."""
    return round(duration_s * SAMPLE_RATE_HZ) // SAMPLES_PER_MS


class Tally(Frozen):
    """How many, and their length together. Milliseconds, so that sums are exact."""

    count: int = 0
    ms: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(count=self.count + other.count, ms=self.ms + other.ms)

    @property
    def hours(self) -> float:
        return self.ms / 3_600_000


Drops = dict[str, dict[Reason, Tally]]
"""What was dropped, per step and reason."""


Examples = dict[str, dict[Reason, tuple[ItemOutcome, ...]]]
"""Some of what was dropped, per step and reason."""

MAX_EXAMPLES = 3  # of a step and reason, for people to look at


class Summary(Frozen):
    """A shard's or a dataset's account. `cut` is `kept` and everything in `dropped` together, to the millisecond."""

    media: Tally = Field(default=Tally(), description="programmes that were decoded, as long as the decode says")
    cut: Tally = Field(default=Tally(), description="utterances that the transcripts gave")
    kept: Tally = Field(default=Tally(), description="utterances that are left")
    dropped: Drops = Field(default_factory=dict, description="utterances, per step and reason")
    rejected: Drops = Field(default_factory=dict, description="whole programmes, per step and reason")
    uncaptioned_ms: int = Field(default=0, description="media time that no utterance covers, kept or dropped")
    warned: Drops = Field(default_factory=dict, description="programmes decoded with a warning, per step and reason")
    lost_ms: int = Field(default=0, description="media time that could not be decoded: silence stands for it")
    missing_ms: int = Field(default=0, description="media time missing at the end of files that broke off")


def total(summaries: Iterable[Summary]) -> Summary:
    """The account of all together."""
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
    """Drops added up, in a fixed order."""
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
    """The first few of all parts."""
    merged: dict[str, dict[Reason, tuple[ItemOutcome, ...]]] = defaultdict(dict)
    for part in parts:
        for step, reasons in part.items():
            for reason, some in reasons.items():
                merged[step][reason] = (*merged[step].get(reason, ()), *some)[:MAX_EXAMPLES]
    return {step: dict(sorted(reasons.items())) for step, reasons in sorted(merged.items())}
