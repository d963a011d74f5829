"""A Kafka broker on this machine: noida-db (MIT), one process of 12 MB with the limits of a default Kafka.

For development, tests and the laptop: a single node, on loopback, without logins. Production runs Kafka
(`docker-compose.yaml`, `k8s/kafka/`).
"""

from __future__ import annotations

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
STOP_TIMEOUT_S = 10.0


def command_line(folder: Path, port: int) -> list[str]:
    """The command that runs a broker in the foreground, with its data below `folder`.

    The program itself, not its Python wrapper, which would leave it behind when it is killed.
    """
    package = find_spec("noida_db")
    if package is None or not package.submodule_search_locations:
        raise UserError("noida-db, the Kafka broker for development, is not installed. Run `make setup`.")
    program = Path(package.submodule_search_locations[0]) / "noida-db"
    return [str(program), "start", "--data-dir", str(folder), "--only", "kafka", "--kafka-port", str(port)]


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
    with tempfile.TemporaryDirectory(prefix="kafka-", ignore_cleanup_errors=True) as scratch:
        port, log = free_port(), Path(scratch) / "log"
        with log.open("wb") as sink:
            process = subprocess.Popen(
                command_line(Path(scratch) / "data", port), stdin=subprocess.DEVNULL, stdout=sink, stderr=sink
            )
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while not is_answering(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise UserError(f"the Kafka broker does not start:\n{log.read_text(errors='replace')[-2000:]}")
                time.sleep(0.05)
            yield f"{HOST}:{port}"
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
