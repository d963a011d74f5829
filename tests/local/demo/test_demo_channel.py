"""Checks before the start, and the channel's folders, with a synthesiser that only writes a line to each file."""

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from local import checks
from local.demo.channel import make_channel
from local.settings import Laptop, LaptopError, path_of

SYNTHESISER = (
    sys.executable,
    "-c",
    "import sys, pathlib\n"
    "for word in sys.argv[1:]:\n"
    "    name, _, folder = word[2:].partition('=')\n"
    "    pathlib.Path(folder).mkdir(parents=True)\n"
    "    (pathlib.Path(folder) / 'made.txt').write_text(name)",
)
FAILING = (sys.executable, "-c", "raise SystemExit('no voice called mary')")


def laptop(tmp_path: Path, **environ: str) -> Laptop:
    return Laptop.from_environment({"AIRSCRIPT_HOME": str(tmp_path / "home"), **environ})


def make(made_for: Laptop, synthesiser: tuple[str, ...] = SYNTHESISER) -> bool:
    return make_channel(made_for, Console(file=io.StringIO()), synthesiser)


def files(made_for: Laptop) -> dict[str, str]:
    places = (made_for.places.corpus, made_for.places.inbox, made_for.references)
    return {
        f"{path_of(place).name}/{path.name}": path.read_text()
        for place in places
        if path_of(place).is_dir()
        for path in path_of(place).iterdir()
    }


def test_the_channel_is_made_once(tmp_path: Path) -> None:
    ours = laptop(tmp_path)
    assert make(ours)
    assert files(ours) == {"corpus/made.txt": "archive", "inbox/made.txt": "inbox", "references/made.txt": "references"}
    assert not make(ours, FAILING)
    assert not (ours.storage_path / ".channel").exists()


def test_a_person_s_own_files_stay_as_they_are(tmp_path: Path) -> None:
    ours = laptop(tmp_path)
    path_of(ours.places.inbox).mkdir(parents=True)
    (path_of(ours.places.inbox) / "mine.wav").write_text("mine")
    assert make(ours)
    assert files(ours) == {"corpus/made.txt": "archive", "inbox/mine.wav": "mine"}


def test_nothing_is_made_when_both_folders_are_given(tmp_path: Path) -> None:
    ours = laptop(tmp_path, AIRSCRIPT_CORPUS=str(tmp_path / "archive"), AIRSCRIPT_INBOX=str(tmp_path / "arrived"))
    assert not make(ours, FAILING)


def test_a_failing_synthesiser_leaves_nothing_half_made(tmp_path: Path) -> None:
    ours = laptop(tmp_path)
    with pytest.raises(LaptopError, match="no voice called mary"):
        make(ours, FAILING)
    assert files(ours) == {}


def test_a_missing_base_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(LaptopError, match=f"base model not found: {tmp_path}/gone .*AIRSCRIPT_BASE_MODEL"):
        checks.check(laptop(tmp_path, AIRSCRIPT_BASE_MODEL=f"{tmp_path}/gone"))


def test_an_empty_inbox_is_named(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    (tmp_path / "arrived").mkdir()
    environ = {"AIRSCRIPT_BASE_MODEL": str(base), "AIRSCRIPT_INBOX": str(tmp_path / "arrived")}
    with pytest.raises(LaptopError, match=r"AIRSCRIPT_INBOX=.*arrived: the folder is empty"):
        checks.check(laptop(tmp_path, **environ))
    with pytest.raises(LaptopError, match=r"AIRSCRIPT_INBOX=.*nowhere: no such folder"):
        checks.check(laptop(tmp_path, **environ | {"AIRSCRIPT_INBOX": f"{tmp_path}/nowhere"}))
    (tmp_path / "arrived" / "news.wav").write_bytes(b"RIFF")
    checks.check(laptop(tmp_path, **environ))


def test_a_full_disk_is_told_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "MIN_FREE_DISK_BYTES", 1 << 60)
    with pytest.raises(LaptopError, match="set AIRSCRIPT_HOME to a folder on another disk"):
        checks.check(laptop(tmp_path))
