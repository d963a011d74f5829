"""Keeping the search index up to date while people look at the desk.

The API server brings its own index up to date in the background: a page shows what is there, at most `MAX_AGE_S` behind
what is published. The first time, or without the index's disk, it is made from storage.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import structlog

from dags.common.settings import settings
from tasks.desk import index

MAX_AGE_S = 30.0

log = structlog.get_logger()
_lock = threading.Lock()
_refreshed_at = -MAX_AGE_S
_thread: threading.Thread | None = None


def refresh_soon() -> None:
    """Start to bring the index up to date, unless it was done just now or goes on."""
    global _thread
    with _lock:
        is_running = _thread is not None and _thread.is_alive()
        if is_running or time.monotonic() < _refreshed_at + MAX_AGE_S:
            return
        _thread = threading.Thread(target=_refresh, name="search-index", daemon=True)
        _thread.start()


def is_refreshing() -> bool:
    return _thread is not None and _thread.is_alive()


def wait() -> None:
    """Wait for a refresh that goes on."""
    if _thread is not None:
        _thread.join()


def _refresh() -> None:
    global _refreshed_at
    try:
        index.refresh(settings().transcripts, Path(settings().index))
    except Exception as error:
        log.exception("the search index could not be brought up to date", error=str(error))
    _refreshed_at = time.monotonic()
