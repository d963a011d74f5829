"""A slice of the fuzz run: `python -m tests.tasks.media.fuzz` is the long form, over thousands of mutations."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.tasks.media import fuzz

N_MUTATIONS = 120


def test_mutations_end_within_their_limits_and_leave_the_caller_as_it_was(tmp_path: Path):
    before = fuzz.own_state()
    results = list(fuzz.run(range(N_MUTATIONS), tmp_path))
    assert [result.number for result in results] == list(range(N_MUTATIONS))
    assert max(result.seconds for result in results) < fuzz.MAX_S
    assert len(Counter(result.outcome for result in results)) > 4
    assert fuzz.own_state() == before
    assert [path.name for path in tmp_path.iterdir()] == ["medium"]


def test_a_mutation_is_made_from_its_number():
    assert [fuzz.mutation(number) for number in range(5)] == [fuzz.mutation(number) for number in range(5)]
    assert len({fuzz.mutation(number)[1] for number in range(200)}) > 190


def test_the_seeds_are_media_of_every_kind():
    assert len([name for name in fuzz.seeds() if " of " in name]) == len(fuzz.WRITTEN)
