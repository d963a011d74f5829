"""Free and taken TCP ports on this machine."""

from __future__ import annotations

import contextlib
import socket
import sys

import psutil

from local.settings import HOST, UserError


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: ignore connections in TIME_WAIT after a server has stopped.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port(host: str = HOST) -> int:
    """A port on which nothing listens at this moment."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def listening_process(port: int) -> str:
    """The process that listens on a port, such as `java (pid 4711)`; empty if this user may not see it."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("inet"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            if listens and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""


def require_free(port: int, service: str, variable: str) -> None:
    """Raise `UserError` if the port is taken; the message names its process and another port."""
    if is_free(port):
        return
    process = listening_process(port) or "another program, perhaps another user's"
    if port == 5000 and sys.platform == "darwin":
        process += " (on macOS often the AirPlay receiver)"
    other = next((candidate for candidate in range(port + 1, min(port + 200, 65535)) if is_free(candidate)), port + 1)
    raise UserError(
        f"port {port} for {service} is taken by {process}. Stop it, or choose another port: {variable}={other} make …"
    )
