"""What a worker tells of itself: Prometheus figures, and whether it lives and works."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

LATENCIES_S = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)


class WorkerMetrics:
    """The figures of one worker."""

    def __init__(self, component: str) -> None:
        self.registry = CollectorRegistry()
        self._component = component
        self.messages = self._counter("messages", "messages taken")
        self.duplicates = self._counter("duplicates", "messages that had come before, passed over")
        self.gaps = self._counter("gaps", "messages that never came, by their sequence numbers")
        self.dead_letters = self._counter("dead_letters", "messages that could not be read")
        self.errors = self._counter("errors", "faults of a broker or of the network that passed")
        self.rebuilt = self._counter("sessions_rebuilt", "sessions taken over from a snapshot")
        self.sessions = self._gauge("sessions", "sessions that are open")
        self.lag = self._gauge("lag_messages", "messages that wait in the partitions of this worker")
        self.latency = self._histogram("latency_seconds", "from the capture of the sound to the end of this component")
        self.work = self._histogram("work_seconds", "processing of one message")

    def _counter(self, name: str, text: str) -> Counter:
        counter = Counter(f"airscript_stream_{name}", text, ["component"], registry=self.registry)
        return counter.labels(self._component)

    def _gauge(self, name: str, text: str) -> Gauge:
        gauge = Gauge(f"airscript_stream_{name}", text, ["component"], registry=self.registry)
        return gauge.labels(self._component)

    def _histogram(self, name: str, text: str) -> Histogram:
        histogram = Histogram(
            f"airscript_stream_{name}", text, ["component"], registry=self.registry, buckets=LATENCIES_S
        )
        return histogram.labels(self._component)


class Health:
    """`/live`: the loop goes round. `/ready`: it has partitions, or waits for them as a member of its group."""

    def __init__(self, stalled_after_s: float = 60.0) -> None:
        self._stalled_after_s = stalled_after_s
        self._beat = time.monotonic()
        self.ready = False

    def beat(self) -> None:
        self._beat = time.monotonic()

    @property
    def alive(self) -> bool:
        return time.monotonic() - self._beat < self._stalled_after_s


def serve(metrics: WorkerMetrics, health: Health, port: int) -> Callable[[], None]:
    """Answer `/metrics`, `/live` and `/ready` on a port; returns what stops it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, generate_latest(metrics.registry), CONTENT_TYPE_LATEST)
            elif self.path in ("/live", "/ready"):
                well = health.alive and (health.ready or self.path == "/live")
                self._answer(200 if well else 503, b"yes\n" if well else b"no\n", "text/plain")
            else:
                self._answer(404, b"/metrics, /live or /ready\n", "text/plain")

        def _answer(self, status: int, body: bytes, media_type: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Probes come every few seconds: they are not worth a line."""

    server = ThreadingHTTPServer(("", port), Handler)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server.shutdown
