"""Unexpected errors in one programme, which must not fail the others of the batch."""

from __future__ import annotations

from tasks import storage
from tasks.contract import StepError


def describe_or_reraise(error: Exception) -> str:
    """Describe an error that concerns one programme only.

    Raises:
        Exception: `error` itself, if it concerns the whole step: a stop request, no memory left, a full disk.
    """
    if isinstance(error, (StepError, MemoryError)) or storage.is_disk_full(error):
        raise error
    return f"{type(error).__name__}: {error}"
