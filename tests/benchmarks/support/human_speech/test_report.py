"""Comparison of the systems by folder."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.support.human_speech.report import ALL, ALL_COMPOSED, ALL_RECORDED, compare
from benchmarks.support.human_speech.scoring import Score
from tasks.transcripts.error_counts import ErrorCounts


@dataclass(frozen=True)
class Scored:
    programme: str
    folder: str
    score: Score


def scored(errors: dict[str, int]) -> list[Scored]:
    """Programmes of ten words each, by their names `folder/name`."""
    return [
        Scored(name, name.rpartition("/")[0], Score(errors=ErrorCounts(deletions=n, length=10)))
        for name, n in errors.items()
    ]


def test_the_product_is_compared_with_the_better_peer() -> None:
    names = [f"{folder}/{n}" for folder in ("read", "composed/music") for n in range(5)]
    found = compare(
        {
            "airscript": scored(dict.fromkeys(names, 1)),
            "batched": scored({name: 2 if name.startswith("read") else 5 for name in names}),
            "sequential": scored(dict.fromkeys(names, 3)),
        }
    )
    by_folder = {comparison.folder: comparison for comparison in found}
    assert list(by_folder) == ["read", "composed/music", ALL_RECORDED, ALL_COMPOSED, ALL]
    assert [c.peer for c in found] == ["batched", "sequential", "batched", "sequential", "sequential"]
    assert by_folder["read"].difference is not None
    assert round(by_folder["read"].difference.difference, 6) == -0.1
    assert by_folder[ALL].scores["airscript"].errors.rate == 0.1
    assert by_folder[ALL].n_programmes == 10


def test_without_peers_there_is_no_difference() -> None:
    (found,) = compare({"airscript": scored({"read/0": 1})})
    assert (found.peer, found.difference) == ("", None)
