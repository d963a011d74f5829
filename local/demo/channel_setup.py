"""The folders of the demo's synthetic channel: an archive, an inbox and the inbox's reference texts, made once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from local.services import tail
from local.settings import CHECKOUT, Installation, UserError, path_of

SYNTHESISER = (sys.executable, "-m", "local.demo.synthesis")


def ensure_channel(installation: Installation, console: Console, synthesiser: Sequence[str] = SYNTHESISER) -> bool:
    """Synthesise the folders that are empty or missing; returns whether there were any.

    Folders with files are left unchanged: they may be the user's own. The synthesiser writes to a temporary folder
    whose parts are then renamed, so an interruption leaves no incomplete folder.

    Raises:
        UserError: the synthesiser failed.
    """
    settings = installation.settings
    uris = {"archive": settings.corpus, "inbox": settings.inbox, "references": installation.references}
    ours = {name: path_of(uri) for name, uri in uris.items() if uri.startswith(f"{settings.storage}/")}
    missing = {name: folder for name, folder in ours.items() if name != "references" and not _has_files(folder)}
    if not missing:
        return False
    partial = installation.storage_path / ".channel"
    shutil.rmtree(partial, ignore_errors=True)
    command = [*synthesiser, *(f"--{name}={partial / name}" for name in uris)]
    log = installation.logs / "channel.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with console.status("synthesising the demo's channel: archive and inbox"), log.open("wb") as sink:
        done = subprocess.run(command, cwd=CHECKOUT, stdout=sink, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise UserError(f"the demo's channel could not be synthesised:\n{tail(log)}\nThe whole log: {log}")
    if "inbox" in missing and "references" in ours:
        # References first, so that there is never an inbox without its references.
        shutil.rmtree(ours["references"], ignore_errors=True)
        missing = {"references": ours["references"], **missing}
    for name, folder in missing.items():
        _move(partial / name, folder)
    shutil.rmtree(partial, ignore_errors=True)
    return True


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        target.rmdir()
    source.rename(target)
