"""Apply the measures of the sandbox to the decoder's processes, and report which of them the host gave.

The fork server confines itself once, with what it can still fork under; each process that it forks for a medium adds
the rest before it reads the first byte. On a host that denies a measure, or has none of them (macOS), the others hold,
and the report says so. `AIRSCRIPT_SANDBOX=require` refuses to decode without the essential ones.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable

from tasks.contract import Frozen, Misconfigured, Reason
from tasks.media.sandbox import landlock, privileges, seccomp

SETTING, REQUIRE = "AIRSCRIPT_SANDBOX", "require"
CPU_MARGIN_S = 5
GIVEN = "given"
SYSTEM_CALLS = "system_calls"
ESSENTIAL = ("no_new_privileges", SYSTEM_CALLS)


class SandboxReport(Frozen):
    """By measure: `GIVEN`, or why the host did not give it."""

    measures: dict[str, str]

    @property
    def denied(self) -> dict[str, str]:
        return {name: state for name, state in self.measures.items() if state != GIVEN}

    def check(self) -> None:
        """Raise Misconfigured if an essential measure is missing and the settings require them."""
        missing = [name for name in ESSENTIAL if self.measures.get(name) != GIVEN]
        if missing and os.environ.get(SETTING) == REQUIRE:
            raise Misconfigured(
                f"this host does not give the decoder's sandbox {', '.join(missing)}: {self.denied}",
                reason=Reason.INVALID_ARGUMENT,
                subject=f"{SETTING}={REQUIRE}",
                next_step="allow seccomp and no-new-privileges, or unset it to decode with what is left",
            )


def confine_server() -> SandboxReport:
    """Confine this process, which has loaded all its code and still forks. What it forks inherits the measures."""
    if sys.platform != "linux":
        return SandboxReport(measures=dict.fromkeys((*ESSENTIAL, "no_files", "no_network"), f"no {sys.platform} way"))
    return SandboxReport(
        measures={
            "no_network": _attempt(privileges.leave_network),
            "own_user": _attempt(_become_nobody),
            "no_new_privileges": _attempt(privileges.forbid_new_privileges),
            "closed_to_others": _attempt(privileges.close_to_others),
            "no_files": _attempt(landlock.deny_all),
        }
    )


def close_to_others() -> None:
    """Close this process's environment and memory to the decoder, should it get out: same user, same `/proc`."""
    if sys.platform == "linux":
        privileges.close_to_others()


def die_with_parent(parent: int) -> None:
    """Have this process, just forked, killed when its parent ends. Where there is no such call, its pipe's end does."""
    if sys.platform == "linux":
        privileges.die_with_parent(parent)


def limit_resources(memory_bytes: int, cpu_s: int, *, in_use_bytes: int) -> None:
    """Limit this process's memory beyond `in_use_bytes` and its processor time for good.

    It cannot write files or core dumps, open anything, or start processes or threads. Works on any POSIX system.
    """
    limits = {
        "RLIMIT_AS": in_use_bytes + memory_bytes,
        "RLIMIT_CPU": cpu_s,
        "RLIMIT_FSIZE": 0,
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": 0,
        "RLIMIT_NPROC": 0,
    }
    for name, limit in limits.items():
        kind = getattr(resource, name)
        _, hard = resource.getrlimit(kind)
        ceiling = sys.maxsize if hard == resource.RLIM_INFINITY else hard
        # At the hard limit of processor time comes SIGKILL, which does not say why.
        margin = CPU_MARGIN_S if name == "RLIMIT_CPU" else 0
        resource.setrlimit(kind, (min(limit, ceiling), min(limit + margin, ceiling)))


def filter_system_calls() -> str:
    """Deny this process all system calls but those of computing. Return `GIVEN`, or why the host did not allow it."""
    return _attempt(seccomp.deny_all_but_computing) if sys.platform == "linux" else f"no {sys.platform} way"


def _become_nobody() -> None:
    if not privileges.become_nobody():
        raise PermissionError("runs as the caller's user, without capabilities")


def _attempt(measure: Callable[[], object]) -> str:
    try:
        measure()
    except (OSError, KeyError) as error:
        return str(error)
    return GIVEN
