"""Deny a process and its children every file, TCP port and signal outside (Landlock, Linux 5.13).

The second lock behind `seccomp`, and unlike it inherited by a process that has to fork. A ruleset without rules denies
whatever it handles; what is handled depends on the kernel's version of the interface (include/uapi/linux/landlock.h).
Descriptors that are open already stay usable.
"""

from __future__ import annotations

import ctypes
import os
import struct

from tasks.media.sandbox.libc import syscall

CREATE_RULESET, RESTRICT_SELF = 444, 446  # the same on all architectures
ASK_VERSION = 1

# By interface version, the number of rights on files that exist since then.
N_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
NETWORK_SINCE, TCP = 4, 0b11  # bind and connect
SCOPES_SINCE, SCOPES = 6, 0b11  # abstract unix sockets and signals of processes that are not confined


def deny_all() -> int:
    """Apply the ruleset and return the kernel's version of the interface. Raises OSError; needs no-new-privileges."""
    version = syscall(CREATE_RULESET, 0, 0, ASK_VERSION)
    n_rights = max(n for since, n in N_FILE_RIGHTS.items() if since <= version)
    handled = struct.pack("=Q", (1 << n_rights) - 1)
    if version >= NETWORK_SINCE:
        handled += struct.pack("=Q", TCP)
    if version >= SCOPES_SINCE:
        handled += struct.pack("=Q", SCOPES)
    attributes = ctypes.create_string_buffer(handled, len(handled))
    ruleset = syscall(CREATE_RULESET, ctypes.byref(attributes), len(handled), 0)
    try:
        syscall(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return version
