"""Allow a process the system calls that computing needs, and no others (seccomp, Linux 3.17).

A process that has its input and output open needs no call that takes a path, an address or a process id. Calls outside
the list fail with EPERM instead of killing the process: libraries ask for what they can do without (a time zone, the
number of processors). The filter stays for the process's life and cannot be widened.

The program is classic BPF over `struct seccomp_data`; the calls' numbers are those of the kernel's
arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from dataclasses import dataclass

from tasks.media.sandbox.libc import syscall

SECCOMP_SET_MODE_FILTER = 1
RET_ALLOW, RET_KILL_PROCESS, RET_ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
DENY = RET_ERRNO | errno.EPERM

# Offsets in `struct seccomp_data`: the call, the architecture, the low halves of its six arguments (little-endian).
CALL_AT, ARCHITECTURE_AT, ARGUMENTS_AT, ARGUMENT_BYTES = 0, 4, 16, 8
LOAD, JUMP_IF_EQUAL, JUMP_IF_SET, RETURN = 0x20, 0x15, 0x45, 0x06  # BPF operations on 32-bit words

PROT_EXEC = 4


@dataclass(frozen=True)
class Machine:
    """What differs between processor architectures: the audit number, and system calls by name."""

    audit: int
    seccomp: int
    calls: dict[str, int]


# Allowed calls: their numbers on x86_64 and aarch64. The frequent ones come first.
CALLS = (
    ("read", 0, 63), ("write", 1, 64), ("readv", 19, 65), ("writev", 20, 66), ("lseek", 8, 62), ("pread64", 17, 67),
    ("fstat", 5, 80), ("close", 3, 57), ("mmap", 9, 222), ("munmap", 11, 215), ("mprotect", 10, 226),
    ("mremap", 25, 216), ("brk", 12, 214), ("madvise", 28, 233), ("futex", 202, 98), ("rt_sigaction", 13, 134),
    ("rt_sigprocmask", 14, 135), ("rt_sigreturn", 15, 139), ("sigaltstack", 131, 132), ("getpid", 39, 172),
    ("gettid", 186, 178), ("clock_gettime", 228, 113), ("clock_getres", 229, 114), ("gettimeofday", 96, 169),
    ("nanosleep", 35, 101), ("clock_nanosleep", 230, 115), ("getrandom", 318, 278), ("getrusage", 98, 165),
    ("sched_yield", 24, 124), ("sched_getaffinity", 204, 123), ("sysinfo", 99, 179), ("setitimer", 38, 103),
    ("restart_syscall", 219, 128), ("kill", 62, 129), ("tgkill", 234, 131), ("exit", 60, 93), ("exit_group", 231, 94),
)  # fmt: skip
MACHINES = {
    "x86_64": Machine(0xC000003E, 317, {name: number for name, number, _ in CALLS}),
    "aarch64": Machine(0xC00000B7, 277, {name: number for name, _, number in CALLS}),
}

Instruction = tuple[int, int, int, int]
"""Operation, how many instructions to skip if the condition holds and if not, operand: `struct sock_filter`."""


def deny_all_but_computing() -> None:
    """Install the filter for this process, which must have no other threads. Raises OSError; needs no-new-privileges.

    What it may still do: use open descriptors, take memory that is never executable, wait, and end itself.
    """
    machine = MACHINES.get(platform.machine())
    if machine is None:
        raise OSError(errno.ENOSYS, f"no list of system calls for {platform.machine()}")
    program = b"".join(struct.pack("=HBBI", *instruction) for instruction in _assemble(machine, os.getpid()))
    # `struct sock_fprog`: the number of instructions, and a pointer to them.
    code = ctypes.create_string_buffer(program, len(program))
    prog = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(code)))
    syscall(machine.seccomp, SECCOMP_SET_MODE_FILTER, 0, ctypes.byref(prog))


def _assemble(machine: Machine, pid: int) -> list[Instruction]:
    """Return the program. Another architecture's calls (32-bit, x32) end the process: their numbers mean others."""
    program = [
        (LOAD, 0, 0, ARCHITECTURE_AT),
        (JUMP_IF_EQUAL, 1, 0, machine.audit),
        (RETURN, 0, 0, RET_KILL_PROCESS),
        (LOAD, 0, 0, CALL_AT),
    ]
    for name, number in machine.calls.items():
        condition: list[Instruction] = []
        if name in ("mmap", "mprotect"):  # their third argument: no executable memory, so no code of the file's own
            condition = [(LOAD, 0, 0, ARGUMENTS_AT + 2 * ARGUMENT_BYTES), (JUMP_IF_SET, 1, 0, PROT_EXEC)]
        elif name in ("kill", "tgkill"):  # itself only, as abort() does
            condition = [(LOAD, 0, 0, ARGUMENTS_AT), (JUMP_IF_EQUAL, 0, 1, pid)]
        verdict: list[Instruction] = [*condition, (RETURN, 0, 0, RET_ALLOW)]
        if condition:
            verdict.append((RETURN, 0, 0, DENY))
        program += [(JUMP_IF_EQUAL, 0, len(verdict), number), *verdict]
    return [*program, (RETURN, 0, 0, DENY)]
