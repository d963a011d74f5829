"""Metrics, liveness and readiness over HTTP."""

from __future__ import annotations

import urllib.error
import urllib.request

from tasks.streaming.runtime.metrics import Health, WorkerMetrics, serve


def test_metrics_and_health() -> None:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    metrics, health = WorkerMetrics("prepare"), Health()
    metrics.gaps.inc(3)
    stop = serve(metrics, health, port)

    def get(path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    assert get("/live")[0] == 200
    assert get("/ready")[0] == 503
    health.is_ready = True
    assert get("/ready")[0] == 200
    assert 'airscript_stream_gaps_total{component="prepare"} 3.0' in get("/metrics")[1]
    assert get("/else")[0] == 404
    stop()
