"""The checks before the start, and the channel's folders, with a stand-in for the synthesiser."""

import sys
from pathlib import Path

import pytest

from local import checks
from local.demo.channel_setup import CONVERSATION_NAME, ensure_channel
from local.demo.children import Children
from local.settings import Installation, UserError, path_of

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


def installation(tmp_path: Path, **environ: str) -> Installation:
    return Installation.from_environment({"AIRSCRIPT_HOME": str(tmp_path / "home"), **environ})


def make(made_for: Installation, synthesiser: tuple[str, ...] = SYNTHESISER) -> bool:
    return ensure_channel(made_for, Children(), synthesiser)


def files(made_for: Installation) -> dict[str, str]:
    places = (made_for.settings.corpus, made_for.settings.inbox, made_for.references)
    return {
        f"{path_of(place).name}/{path.name}": path.read_text()
        for place in places
        if path_of(place).is_dir()
        for path in path_of(place).iterdir()
    }


def test_the_channel_is_synthesised_once(tmp_path: Path) -> None:
    ours = installation(tmp_path)
    assert make(ours)
    conversation = path_of(ours.settings.inbox) / CONVERSATION_NAME
    assert conversation.read_bytes().startswith(b"RIFF")
    conversation.unlink()
    assert files(ours) == {"corpus/made.txt": "archive", "inbox/made.txt": "inbox", "references/made.txt": "references"}
    assert not make(ours, FAILING)
    assert not (ours.storage_path / ".channel").exists()


def test_the_users_own_files_are_kept(tmp_path: Path) -> None:
    ours = installation(tmp_path)
    path_of(ours.settings.inbox).mkdir(parents=True)
    (path_of(ours.settings.inbox) / "mine.wav").write_text("mine")
    assert make(ours)
    assert files(ours) == {"corpus/made.txt": "archive", "inbox/mine.wav": "mine"}


def test_nothing_is_synthesised_if_both_folders_are_given(tmp_path: Path) -> None:
    ours = installation(tmp_path, AIRSCRIPT_CORPUS=str(tmp_path / "archive"), AIRSCRIPT_INBOX=str(tmp_path / "arrived"))
    assert not make(ours, FAILING)


def test_a_failing_synthesiser_leaves_no_incomplete_folder(tmp_path: Path) -> None:
    ours = installation(tmp_path)
    with pytest.raises(UserError, match="no voice called mary"):
        make(ours, FAILING)
    assert files(ours) == {}


def test_a_missing_base_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"base model not found: {tmp_path}/gone .*AIRSCRIPT_BASE_MODEL"):
        checks.check_prerequisites(installation(tmp_path, AIRSCRIPT_BASE_MODEL=f"{tmp_path}/gone"))


def test_an_empty_inbox_is_named(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text("{}")
    (tmp_path / "arrived").mkdir()
    environ = {"AIRSCRIPT_BASE_MODEL": str(base), "AIRSCRIPT_INBOX": str(tmp_path / "arrived")}
    with pytest.raises(UserError, match=r"AIRSCRIPT_INBOX=.*arrived: the folder is empty"):
        checks.check_prerequisites(installation(tmp_path, **environ))
    with pytest.raises(UserError, match=r"AIRSCRIPT_INBOX=.*nowhere: no such folder"):
        checks.check_prerequisites(installation(tmp_path, **environ | {"AIRSCRIPT_INBOX": f"{tmp_path}/nowhere"}))
    (tmp_path / "arrived" / "news.wav").write_bytes(b"RIFF")
    checks.check_prerequisites(installation(tmp_path, **environ))


def test_a_full_disk_is_reported_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "MIN_FREE_DISK_BYTES", 1 << 60)
    with pytest.raises(UserError, match="set AIRSCRIPT_HOME to a folder on another disk"):
        checks.check_prerequisites(installation(tmp_path))
