"""Sounds are made ahead of publishing, and only a few lie on the disk at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.night import sound as sound_module
from tasks.night.sound import with_sounds
from tasks.publishing.sound import Sound

BROKEN = 3


@pytest.fixture
def handed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str, int]]:
    """Of ten programmes, made on two cores: number, what its sound has, and how many sounds lie on the disk then."""
    monkeypatch.setattr(sound_module.os, "sched_getaffinity", lambda _: {0, 1})

    def make(number: int) -> Sound | None:
        if number == BROKEN:
            raise OSError("no space left")
        made = Sound(tmp_path / f"{number}.webm", tmp_path / f"{number}.dat")
        made.webm.write_text(f"sound {number}")
        made.waveform.write_text("peaks")
        return made

    found = []
    for number, future in with_sounds(range(10), make):
        made = None if future.exception() else future.result()
        found.append((number, made.webm.read_text() if made else "", len(list(tmp_path.glob("*.webm")))))
    assert not list(tmp_path.iterdir())
    return found


def test_each_programme_gets_its_own_sound_in_order(handed_out: list[tuple[int, str, int]]) -> None:
    assert [(n, text) for n, text, _ in handed_out] == [(n, "" if n == BROKEN else f"sound {n}") for n in range(10)]


def test_no_more_sounds_than_cores_are_made_ahead(handed_out: list[tuple[int, str, int]]) -> None:
    assert max(n_files for _, _, n_files in handed_out) <= 3
