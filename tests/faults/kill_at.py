"""Run a step's command and kill -9 the process at its n-th change of storage.

`python kill_at.py N <tasks|training> <step> --flag=value …`. On a folder a change is the moment before a link, a
rename or a removal (seen by an audit hook, without patching); on S3 it is the moments before and after each put. With
N = 0 nothing is killed, and the number of changes is printed last.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

WATCHED = {"os.link", "os.rename", "os.remove"}


class Killer:
    """Counts changes and dies at the chosen one."""

    def __init__(self, at: int) -> None:
        self.at, self.seen = at, 0

    def change(self) -> None:
        self.seen += 1
        if self.seen == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event in WATCHED and "/storage/" in os.fsdecode(args[0]):
            self.change()


def main() -> int:
    killer = Killer(int(sys.argv[1]))
    program, argv = sys.argv[2], sys.argv[3:]
    import obstore

    from tasks.command import main as run

    put = obstore.put

    def watched_put(*args: Any, **kwargs: Any) -> Any:
        killer.change()
        done = put(*args, **kwargs)
        killer.change()
        return done

    obstore.put = watched_put
    sys.addaudithook(killer.audit)
    exit_code = run(program, argv)
    print(f"changes={killer.seen}")
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
