"""A worker's observability: Prometheus metrics, liveness and readiness over HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

LATENCIES_S = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)


class WorkerMetrics:
    """Prometheus metrics of one worker."""

    def __init__(self, component: str) -> None:
        self.registry = CollectorRegistry()
        self.component = component
        self.messages = self._counter("messages", "messages processed")
        self.duplicates = self._counter("duplicates", "duplicate messages, skipped")
        self.gaps = self._counter("gaps", "missing messages, by gaps in sequence numbers")
        self.dead_letters = self._counter("dead_letters", "messages moved to the dead-letter topic")
        self.errors = self._counter("errors", "transient errors of brokers or network")
        self.rebuilt = self._counter("sessions_rebuilt", "sessions restored from a snapshot")
        self.sessions = self._gauge("sessions", "open sessions")
        self.lag = self._gauge("lag_messages", "consumer lag over this worker's partitions")
        self.latency = self._histogram("latency_seconds", "time from audio capture to the output of this component")
        self.work = self._histogram("work_seconds", "processing time of one message")

    def _counter(self, name: str, text: str) -> Counter:
        counter = Counter(f"airscript_stream_{name}", text, ["component"], registry=self.registry)
        return counter.labels(self.component)

    def _gauge(self, name: str, text: str) -> Gauge:
        gauge = Gauge(f"airscript_stream_{name}", text, ["component"], registry=self.registry)
        return gauge.labels(self.component)

    def _histogram(self, name: str, text: str) -> Histogram:
        histogram = Histogram(
            f"airscript_stream_{name}", text, ["component"], registry=self.registry, buckets=LATENCIES_S
        )
        return histogram.labels(self.component)


class Health:
    """`/live`: the loop is running. `/ready`: partitions have been assigned, possibly none."""

    def __init__(self, stalled_after_s: float = 60.0) -> None:
        self._stalled_after_s = stalled_after_s
        self._beat = time.monotonic()
        self.is_ready = False

    def beat(self) -> None:
        self._beat = time.monotonic()

    @property
    def is_alive(self) -> bool:
        return time.monotonic() - self._beat < self._stalled_after_s


def serve(metrics: WorkerMetrics, health: Health, port: int) -> Callable[[], None]:
    """Serve `/metrics`, `/live` and `/ready` on a port; return a function that stops the server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(metrics.registry), CONTENT_TYPE_LATEST)
            elif self.path in ("/live", "/ready"):
                is_healthy = health.is_alive and (health.is_ready or self.path == "/live")
                self._answer(200 if is_healthy else 503, b"yes\n" if is_healthy else b"no\n", "text/plain")
            else:
                self._answer(404, b"/metrics, /live or /ready\n", "text/plain")

        def _answer(self, status: int, body: bytes, media_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing: probes come every few seconds."""

    server = ThreadingHTTPServer(("", port), Handler)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server.shutdown
