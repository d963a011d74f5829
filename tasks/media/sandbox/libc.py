"""System calls that Python's library does not offer, through libc."""

from __future__ import annotations

import ctypes
import os

_LIBC = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, value: int) -> None:
    """Call `prctl(2)` (Linux only). Raises OSError."""
    _check(_LIBC.prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)))


def syscall(number: int, *arguments: object) -> int:
    """Call `syscall(2)` with integers or pointers and return its result. Raises OSError."""
    passed = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _check(_LIBC.syscall(ctypes.c_long(number), *passed))


def unshare(flags: int) -> None:
    """Call `unshare(2)` (Linux only). Raises OSError."""
    _check(_LIBC.unshare(ctypes.c_int(flags)))


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
