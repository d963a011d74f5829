"""JSON Lines manifests: NeMo entries, lhotse cuts, and invalid lines."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest

from tasks.corpus.captions import jsonlines
from tasks.corpus.captions.jsonlines import ManifestEntry, read_entries
from tasks.corpus.captions.problems import TranscriptProblem
from tasks.corpus.records import Supervision


def entries(*records: object, name: str = "manifest.jsonl") -> list[ManifestEntry | TranscriptProblem]:
    lines = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    return list(read_entries(io.BytesIO(gzip.compress(lines) if name.endswith(".gz") else lines), name))


@pytest.mark.parametrize("name", ["manifest.jsonl", "manifest.jsonl.gz"])
def test_nemo(name: str) -> None:
    assert entries(
        {"audio_filepath": "a/b.wav", "duration": 2.5, "text": "hello there"},
        {"audio_filepath": "a/c.wav", "offset": 10.0, "duration": 2.5, "text": "hello", "speaker": "ann"},
        name=name,
    ) == [
        ManifestEntry("a/b.wav", Supervision(start_s=0.0, end_s=None, text="hello there")),
        ManifestEntry("a/c.wav", Supervision(start_s=10.0, end_s=12.5, text="hello", speaker="ann")),
    ]


def test_cuts_written_by_lhotse(tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse")
    source = lhotse.audio.AudioSource(type="file", channels=[0], source="media/show.mp4")
    recording = lhotse.Recording(
        id="show", sources=[source], sampling_rate=48000, num_samples=48000 * 60, duration=60.0
    )
    cuts = lhotse.CutSet.from_cuts(
        lhotse.MonoCut(
            id=f"cut-{start}",
            start=float(start),
            duration=10.0,
            channel=0,
            recording=recording,
            supervisions=[
                lhotse.SupervisionSegment(
                    id=f"s-{start}", recording_id="show", start=1.5, duration=2.0, text=f"at {start}", speaker="ann"
                )
            ],
        )
        for start in (0, 20)
    )
    path = tmp_path / "cuts.jsonl.gz"
    cuts.to_file(path)
    with path.open("rb") as file:
        assert list(read_entries(file, path.name)) == [
            ManifestEntry("media/show.mp4", Supervision(start_s=1.5, end_s=3.5, text="at 0", speaker="ann")),
            ManifestEntry("media/show.mp4", Supervision(start_s=21.5, end_s=23.5, text="at 20", speaker="ann")),
        ]


@pytest.mark.parametrize(
    "record",
    [
        {"text": "names no medium"},
        {"audio_filepath": "a.wav"},
        {"audio_filepath": "a.wav", "offset": 1, "duration": -1, "text": "x"},
        {"audio_filepath": "a.wav", "offset": float("nan"), "duration": 1, "text": "x"},
        {"audio_filepath": "a.wav", "offset": 1e300, "duration": 1, "text": "x"},
        {"audio_filepath": "a.wav", "offset": 10**400, "text": "x"},
        {"audio_filepath": "a.wav", "offset": 0, "duration": 10**400, "text": "x"},
        {"audio_filepath": "a\ud800.wav", "text": "x"},
        {"audio_filepath": "a.wav", "text": "x \udfff"},
        {"audio_filepath": "a.wav", "text": "x", "speaker": "\ud83d"},
        {"\ud800": "a"},
        {"type": "MixedCut", "supervisions": []},
        {"supervisions": [{}], "recording": {}},
        ["a", "list"],
        "a word",
        None,
        7,
    ],
)
def test_invalid_lines_are_reported(record: object) -> None:
    good = {"audio_filepath": "b.wav", "text": "x"}
    (problem, entry) = entries(record, good)
    assert isinstance(problem, TranscriptProblem)
    assert problem.line == 1
    assert isinstance(entry, ManifestEntry)


def test_broken_json_and_deep_nesting_are_reported() -> None:
    file = io.BytesIO(b'{"audio_filepath"\n' + b"[" * 100_000 + b"\n\n")
    assert [p.line for p in read_entries(file, "m.jsonl") if isinstance(p, TranscriptProblem)] == [1, 2]


def test_a_small_gzip_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonlines, "MAX_LINE_BYTES", 1 << 20)
    bomb = gzip.compress(b" " * (64 << 20))
    (problem,) = read_entries(io.BytesIO(bomb), "bomb.jsonl.gz")
    assert isinstance(problem, TranscriptProblem)
    assert "a line of more than" in problem.message


def test_a_gzip_of_short_lines_is_not_read_beyond_its_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines by the million in a few kilobytes: valid ones, invalid ones and empty ones."""
    monkeypatch.setattr(jsonlines, "MAX_EXPANDED_BYTES", 1 << 20)
    monkeypatch.setattr(jsonlines, "MAX_INVALID_LINES", 50)
    monkeypatch.setattr(jsonlines, "READ_BYTES", 64 << 10)
    line = b'{"audio_filepath": "a.wav", "text": "x"}\n'
    *entries_read, last = read_entries(io.BytesIO(gzip.compress(line * 100_000)), "m.jsonl.gz")
    assert len(entries_read) < (2 << 20) / len(line)
    assert "expands to more than" in str(last)
    problems = list(read_entries(io.BytesIO(gzip.compress(b"1\n" * 100_000)), "m.jsonl.gz"))
    assert len(problems) == 51
    assert "50 lines are invalid" in str(problems[-1])
    (problem,) = read_entries(io.BytesIO(gzip.compress(b"\n" * (8 << 20))), "m.jsonl.gz")
    assert "expands to more than" in str(problem)
    assert len(list(read_entries(io.BytesIO(gzip.compress(line * 3)), "m.jsonl.gz", max_bytes=2 * len(line)))) == 1


def test_a_truncated_gzip_and_one_of_two_members() -> None:
    line = b'{"audio_filepath": "a.wav", "text": "x"}\n'
    two = gzip.compress(line) + gzip.compress(line)
    assert [type(e) for e in read_entries(io.BytesIO(two), "m.jsonl.gz")] == [ManifestEntry, ManifestEntry]
    assert [type(e) for e in read_entries(io.BytesIO(two[:-9]), "m.jsonl.gz")] == [
        ManifestEntry,
        ManifestEntry,
        TranscriptProblem,
    ]
