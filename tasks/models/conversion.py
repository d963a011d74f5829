"""Conversions of models on one host: each is written once, and shared by all steps there."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from tasks.contract import digest_of


def convert_once(kind: str, source: Path, write: Callable[[Path], None]) -> Path:
    """Return the folder that `write` fills from `source`, a file or a folder, unless it exists already.

    It lies under `AIRSCRIPT_MODEL_CACHE`, or in a folder of this user's under the system's temporary one, and is named
    after the source's files, their sizes and times.
    """
    files = sorted(source.rglob("*")) if source.is_dir() else [source]
    stamps = [(str(p.relative_to(source)), p.stat().st_size, p.stat().st_mtime_ns) for p in files if p.is_file()]
    root = os.environ.get("AIRSCRIPT_MODEL_CACHE") or Path(tempfile.gettempdir()) / f"airscript-models-{os.getuid()}"
    target = Path(root) / f"{kind}-{digest_of([str(source.absolute()), stamps])[:32]}"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = target.with_name(f".{target.name}-{secrets.token_hex(4)}")
    try:
        write(partial)
        partial.rename(target)
    except OSError:
        if not target.exists():  # else another process was first
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target
