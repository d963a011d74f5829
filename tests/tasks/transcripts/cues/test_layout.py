"""The layout has minimal cost, and the search takes linear time."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given

from tasks.transcripts.cues.layout import BlockCosts, best_blocks
from tasks.transcripts.cues.profiles import PROFILES, CueProfile
from tasks.transcripts.document import Word
from tests.tasks.transcripts.builders import broadcast, words


def laid_out(spoken: list[Word], profile: CueProfile) -> tuple[BlockCosts, list]:
    arguments = (
        spoken,
        [one.speaker for one in spoken],
        [profile.coloured_line_width if one.speaker == "ben" else profile.line_width for one in spoken],
        "en",
        profile,
    )
    return BlockCosts(*arguments), best_blocks(*arguments)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@given(spoken=words(max_words=12))
def test_no_layout_is_cheaper(profile: CueProfile, spoken: list[Word]):
    if not spoken:
        return
    costs, blocks = laid_out(spoken, profile)

    @cache
    def cheapest_from(first: int) -> float:
        """Exhaustive search, without the bounds of the real one."""
        if first == len(spoken):
            return 0.0
        ends = [end for end in range(first + 1, len(spoken) + 1) if costs.can_hold(first, end)]
        return min(costs.cost(first, end)[0] + cheapest_from(end) for end in ends)

    assert sum(costs.cost(block.first, block.end)[0] for block in blocks) == pytest.approx(cheapest_from(0))


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@given(spoken=words(max_words=24))
def test_blocks_hold_every_word_once(profile: CueProfile, spoken: list[Word]):
    _, blocks = laid_out(spoken, profile) if spoken else (None, best_blocks([], [], [], "en", profile))
    assert [index for block in blocks for index in range(block.first, block.end)] == list(range(len(spoken)))
    assert all(block.first < block.second <= block.end for block in blocks)


def test_work_is_linear(monkeypatch: pytest.MonkeyPatch):
    n_costs = 0
    cost = BlockCosts.cost

    def counted(self: BlockCosts, first: int, end: int) -> tuple[float, int]:
        nonlocal n_costs
        n_costs += 1
        return cost(self, first, end)

    monkeypatch.setattr(BlockCosts, "cost", counted)
    per_word = []
    for n_words in (500, 2_000, 4_000):
        n_costs = 0
        laid_out(broadcast(n_words), PROFILES["bbc-37"])
        per_word.append(n_costs / n_words)
    assert max(per_word) < 1.1 * min(per_word)
    assert max(per_word) < 16  # words that two lines may hold
