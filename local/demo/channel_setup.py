"""The folders of the demo's synthetic channel: an archive, an inbox and the inbox's reference texts, made once.

The inbox also gets half a minute of human conversation, which comes with pyannote.audio.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from local.demo.children import Children
from local.services import tail
from local.settings import Installation, UserError, path_of

SYNTHESISER = (sys.executable, "-m", "local.demo.synthesis")
# Two people on the telephone. MIT, as the package: https://github.com/pyannote/pyannote-audio
CONVERSATION = "sample/sample.wav"
CONVERSATION_SHA256 = "c319b4abca767b124e41432d364fd7df006cb26bb79d09326c487d606a134e6e"
CONVERSATION_NAME = "2026-03-23_conversation.wav"


def ensure_channel(installation: Installation, children: Children, synthesiser: Sequence[str] = SYNTHESISER) -> bool:
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
    if not children.run(command, log):
        raise UserError(f"the demo's channel could not be synthesised:\n{tail(log)}\nThe whole log: {log}")
    add_conversation(partial / "inbox")
    if "inbox" in missing and "references" in ours:
        # References first, so that there is never an inbox without its references.
        shutil.rmtree(ours["references"], ignore_errors=True)
        missing = {"references": ours["references"], **missing}
    for name, folder in missing.items():
        _move(partial / name, folder)
    shutil.rmtree(partial, ignore_errors=True)
    return True


def add_conversation(inbox: Path) -> None:
    """Copy the conversation to the inbox. Another version of the package may have another recording, or none."""
    package = find_spec("pyannote.audio")
    for folder in package.submodule_search_locations or () if package else ():
        sample = Path(folder, CONVERSATION)
        if sample.is_file() and hashlib.sha256(sample.read_bytes()).hexdigest() == CONVERSATION_SHA256:
            shutil.copy(sample, inbox / CONVERSATION_NAME)


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        target.rmdir()
    source.rename(target)
