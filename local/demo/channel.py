"""The demo's own television channel: an archive, an inbox and the known texts of the inbox, synthesised once."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from local.services import tail
from local.settings import CHECKOUT, Laptop, LaptopError, path_of

SYNTHESISER = (sys.executable, "-m", "local.demo.synthesis")


def make_channel(laptop: Laptop, console: Console, synthesiser: Sequence[str] = SYNTHESISER) -> bool:
    """Make what is missing of the three folders; returns whether anything was made.

    Folders that hold something are left as they are: they may be the person's own. The synthesiser writes beside them
    and each folder is put in its place whole, so an interruption leaves nothing half made.

    Raises:
        LaptopError: the synthesiser failed.
    """
    places = {"archive": laptop.places.corpus, "inbox": laptop.places.inbox, "references": laptop.references}
    ours = {name: path_of(uri) for name, uri in places.items() if uri.startswith(f"{laptop.places.storage}/")}
    wanted = {name: folder for name, folder in ours.items() if name != "references" and not _is_filled(folder)}
    if not wanted:
        return False
    partial = laptop.storage_path / ".channel"
    shutil.rmtree(partial, ignore_errors=True)
    command = [*synthesiser, *(f"--{name}={partial / name}" for name in places)]
    log = laptop.logs / "channel.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with console.status("making the demo's channel: archive and inbox"), log.open("wb") as sink:
        done = subprocess.run(command, cwd=CHECKOUT, stdout=sink, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise LaptopError(f"the demo's channel could not be made:\n{tail(log)}\nThe whole log: {log}")
    if "inbox" in wanted and "references" in ours:
        # The texts go first: an inbox in its place always has its texts.
        shutil.rmtree(ours["references"], ignore_errors=True)
        wanted = {"references": ours["references"], **wanted}
    for name, folder in wanted.items():
        _put(partial / name, folder)
    shutil.rmtree(partial, ignore_errors=True)
    return True


def _is_filled(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _put(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        target.rmdir()
    source.rename(target)
