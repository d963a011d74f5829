import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from local.lock import Lock
from local.settings import UserError

HOLDER = """
import sys, time
from pathlib import Path
from local.lock import Lock
with Lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_command_is_rejected_with_the_holders_pid(tmp_path: Path) -> None:
    path = tmp_path / "home" / "run" / "lock"
    first = holder(path)
    try:
        with pytest.raises(UserError, match=rf"pid {first.pid}\)"), Lock(path):
            pass
    finally:
        first.kill()
        first.wait()
    with Lock(path):  # released when its holder died
        assert path.read_text() == str(os.getpid())


def test_down_interrupts_the_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = holder(path)
    assert Lock(path).interrupt_holder()
    assert first.wait() == -signal.SIGTERM
    assert not Lock(path).interrupt_holder()
