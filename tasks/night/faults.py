"""One programme's fault must not cost the others of its batch their night."""

from __future__ import annotations

from tasks import storage
from tasks.contract import StepError


def own_fault(error: Exception) -> str:
    """What to tell of a fault that one programme brings to light.

    Raises:
        Exception: it is `error` again where more than one programme is concerned: stopped, out of memory, a full disk.
    """
    if isinstance(error, (StepError, MemoryError)) or storage.is_disk_full(error):
        raise error
    return f"{type(error).__name__}: {error}"
