"""Give up a process's privileges: the root user, capabilities, network, what a debugger may do (Linux)."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
from pathlib import Path

from tasks.media.sandbox.libc import prctl, syscall, unshare

SET_PARENT_DEATH_SIGNAL, SET_DUMPABLE, SET_NO_NEW_PRIVILEGES = 1, 4, 38
NEW_UTS, NEW_IPC, NEW_USER, NEW_NETWORK = 0x04000000, 0x08000000, 0x10000000, 0x40000000
CAP_KILL, CAP_SETGID, CAP_SETUID = 5, 6, 7
CAPABILITY_VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3
CAPSET = {"x86_64": 126, "aarch64": 91}
NOBODY = 65534


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent, process `parent`, ends. Call after forking."""
    prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the call above
        os._exit(1)


def close_to_others() -> None:
    """Close this process's environment, memory and descriptors in `/proc` to other processes of its user.

    Nor can they trace it, and it leaves no core dump.
    """
    prctl(SET_DUMPABLE, 0)


def forbid_new_privileges() -> None:
    """Make set-uid programs ordinary ones for this process and its children. Required by `seccomp` and `landlock`."""
    prctl(SET_NO_NEW_PRIVILEGES, 1)


def leave_network() -> None:
    """Move to a network without interfaces, and away from the host's IPC. Raises OSError where the host denies it.

    Without privileges this takes a new user namespace, which containers' default seccomp profiles deny.
    """
    spaces = NEW_NETWORK | NEW_IPC | NEW_UTS
    try:
        unshare(spaces)
    except PermissionError:
        unshare(spaces | NEW_USER)


def become_nobody() -> bool:
    """Change root to the user nobody, and give up all capabilities. Return whether the user changed.

    Without CAP_KILL the caller could not end a process of another user, so the user then stays.
    """
    has_changed = os.getuid() == 0 and _has_capabilities(CAP_KILL, CAP_SETGID, CAP_SETUID)
    if has_changed:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    # `struct __user_cap_header_struct`, and two of `__user_cap_data_struct` without any bit.
    header = ctypes.create_string_buffer(struct.pack("=Ii", CAPABILITY_VERSION, 0))
    syscall(CAPSET[platform.machine()], ctypes.byref(header), ctypes.byref(ctypes.create_string_buffer(24)))
    return has_changed


def _has_capabilities(*numbers: int) -> bool:
    lines = Path("/proc/self/status").read_text().splitlines()
    effective = int(next(line for line in lines if line.startswith("CapEff:")).split()[1], 16)
    return all(effective >> number & 1 for number in numbers)
