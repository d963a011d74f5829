"""An HTTP proxy in front of an S3 server that injects faults: answers of its own, resets, torn and lost answers.

A fault is chosen per request by a function, so a test may fail the third put only, or a seeded share of all requests
(`seeded`). The proxy speaks plain HTTP/1.1 and passes the client's Host header on, so that signatures stay valid.
"""

from __future__ import annotations

import random
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})
TIMEOUT_S = 20


@dataclass(frozen=True)
class Answer:
    """An error that the proxy answers itself, with S3's XML."""

    status: int
    code: str
    message: str = "said the proxy"
    headers: tuple[tuple[str, str], ...] = ()

    def body(self) -> bytes:
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Error><Code>{self.code}</Code><Message>{self.message}</Message>"
            "<RequestId>0123456789ABCDEF</RequestId><HostId>proxy</HostId></Error>"
        ).encode()


@dataclass(frozen=True)
class Reset:
    """The connection is reset: before the request reaches the server, or after, when the answer is lost."""

    after: bool = False


@dataclass(frozen=True)
class Torn:
    """The answer's body ends in its middle, and the connection with it."""


@dataclass(frozen=True)
class Raced:
    """The request is answered by the proxy after the server has carried it out."""

    answer: Answer


Fault = Answer | Reset | Torn | Raced

CONFLICT = Answer(409, "ConditionalRequestConflict", "A conflicting operation is in progress; try again.")
SLOW_DOWN = Answer(503, "SlowDown", "Please reduce your request rate.")


@dataclass(frozen=True)
class Request:
    """What a fault may depend on."""

    number: int
    method: str
    path: str
    headers: dict[str, str]

    @property
    def is_conditional_put(self) -> bool:
        return self.method == "PUT" and "if-none-match" in self.headers

    @property
    def is_listing(self) -> bool:
        return self.method == "GET" and "list-type=2" in self.path


Chooser = Callable[[Request], Fault | None]


def seeded(seed: int, share: float, faults: Sequence[Fault]) -> Chooser:
    """Fail a share of all requests, each time with one of the faults."""
    generator = random.Random(seed)
    lock = threading.Lock()

    def choose(_request: Request) -> Fault | None:
        with lock:
            return generator.choice(faults) if generator.random() < share else None

    return choose


def first(n: int, fault: Fault, matches: Callable[[Request], bool] = lambda _: True) -> Chooser:
    """Fail the first n requests that match."""
    seen = 0
    lock = threading.Lock()

    def choose(request: Request) -> Fault | None:
        nonlocal seen
        with lock:
            if not matches(request) or seen >= n:
                return None
            seen += 1
            return fault

    return choose


@dataclass
class S3Proxy:
    """`with S3Proxy(upstream, choose) as proxy:` serves at `proxy.endpoint`."""

    upstream: str
    choose: Chooser = lambda _: None
    requests: list[Request] = field(default_factory=list)
    injected: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        proxy = self
        lock, conditional = threading.Lock(), threading.Lock()
        address = urlsplit(self.upstream).netloc

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def _serve(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with lock:
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    request = Request(len(proxy.requests), self.command, self.path, headers)
                    proxy.requests.append(request)
                    fault = proxy.choose(request)
                    if fault is not None:
                        proxy.injected.append(fault)
                if isinstance(fault, Reset) and not fault.after:
                    return self._reset()
                if isinstance(fault, Answer):
                    return self._answer(fault)
                # moto looks and puts in two steps: on a busy machine two conditional puts of one key succeed.
                with conditional if request.is_conditional_put else nullcontext():
                    response, data = self._forward(body)
                if isinstance(fault, Reset):
                    return self._reset()
                if isinstance(fault, Raced):
                    return self._answer(fault.answer)
                self._send(response, data, torn=isinstance(fault, Torn))
                return None

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve

            def _forward(self, body: bytes) -> tuple[HTTPResponse, bytes]:
                connection = HTTPConnection(address, timeout=TIMEOUT_S)
                headers = {n: v for n, v in self.headers.items() if n.lower() not in HOP_BY_HOP}
                connection.request(self.command, self.path, body, {**headers, "Content-Length": str(len(body))})
                response = connection.getresponse()
                data = response.read()
                connection.close()
                return response, data

            def _send(self, response: HTTPResponse, data: bytes, torn: bool) -> None:
                self.send_response_only(response.status, response.reason)
                for name, value in response.getheaders():
                    if name.lower() not in HOP_BY_HOP:
                        self.send_header(name, value)
                # The answer to HEAD states a length without having a body.
                length = response.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
                self.send_header("Content-Length", length or "0")
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data[: len(data) // 2] if torn else data)
                if torn:
                    self._reset()

            def _answer(self, answer: Answer) -> None:
                data = answer.body()
                self.send_response_only(answer.status)
                for name, value in answer.headers:
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/xml")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            def _reset(self) -> None:
                self.wfile.flush()
                self.close_connection = True
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that goes away, or a connection that was reset here, is what this is about."""

            def shutdown_request(self, request: Any) -> None:
                self.close_request(request)  # a reset must not become an orderly end

        self._server = Server(("127.0.0.1", 0), Handler)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        # By default it looks every half second whether it shall stop.
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
