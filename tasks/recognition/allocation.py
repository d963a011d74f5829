"""The C library's allocator, told to keep what is given back to it."""

from __future__ import annotations

import ctypes

# Of glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
LARGEST = 2**31 - 1  # an int


def keep_freed_memory() -> None:
    """From here on, large blocks that were freed are used again, in every thread, and not returned to the system.

    CTranslate2 asks for every layer's results anew. From 32 MB on, glibc fetches each from the system, page by page:
    a window of Whisper's small met 600,000 page faults, and its encoder took 3.4 s with them, 2.4 without. Does nothing
    where the C library is another.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, LARGEST)
        mallopt(M_ARENA_MAX, 1)  # a thread's own arena cannot hold blocks of 64 MB
