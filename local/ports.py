"""Whether a port is free, and who holds it if not."""

from __future__ import annotations

import contextlib
import socket
import sys

import psutil

from local.settings import HOST, LaptopError


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections that linger after a server has stopped do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def holder(port: int) -> str:
    """The process that listens on a port, as far as this user may see it: `java (pid 4711)`, or nothing."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("inet"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            if listens and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""


def require_free(port: int, service: str, variable: str) -> None:
    """Raises LaptopError when the port is taken: names the port, its holder, and how to choose another."""
    if is_free(port):
        return
    who = holder(port) or "another program, perhaps another user's"
    if port == 5000 and sys.platform == "darwin":
        who += " (on macOS often the AirPlay receiver)"
    other = next((candidate for candidate in range(port + 1, min(port + 200, 65535)) if is_free(candidate)), port + 1)
    raise LaptopError(
        f"port {port} for {service} is taken by {who}. Stop it, or choose another port: {variable}={other} make …"
    )
