"""Alerts of a night: one a run, and only if somebody has to act."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from dags.common import alerts
from dags.common.receipts import task_receipt_uri
from dags.common.settings import settings
from tasks import storage
from tasks.contract import Receipt, Status

RUN = "scheduled__2026-11-22T01:00:00+00:00"


def report(**counts: int) -> Receipt:
    return Receipt(
        step="report-night",
        status=Status.DONE,
        result="s3://speech/work/report-night/0/result.json",
        counts={"programmes": 20, **counts},
        labels={"page": "s3://speech/transcripts/_nights/1/report.html"},
    )


@pytest.mark.parametrize(
    ("receipt", "failed", "expected"),
    [
        (report(done=19, done_no_speech=1), False, ""),
        (report(done=18, done_with_warnings=2), False, ""),
        (report(done=17, quarantined=2, failed=1), False, "finished: 1 failed, 2 quarantined, of 20 programmes"),
        (
            report(done=12, done_with_warnings=8, without_speakers=8),
            False,
            "finished: 8 without speakers, of 20",
        ),
        (report(done=19, failed=1, without_speakers=2), False, "finished: 1 failed, 2 without speakers, of 20"),
        (report(done=20), True, "failed: some tasks failed, of 20 programmes"),
        (report(done=10, failed=10), True, "failed: 10 failed, of 20 programmes"),
        (None, True, "failed before its report was written"),
        (Receipt(step="report-night", status=Status.FAILED), True, "failed before its report was written"),
        (None, False, ""),
    ],
)
def test_a_night_raises_an_alert_if_somebody_has_to_act(receipt: Receipt | None, failed: bool, expected: str) -> None:
    text = alerts.alert_text("the night", receipt, failed)
    assert (expected in text) if expected else (text == "")
    assert text.count("report.html") == (1 if expected and receipt and receipt.result else 0)


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, str]]]:
    """The alerts that were posted. The server rejects the first."""
    posted: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(500 if len(posted) == 1 else 200)
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv(alerts.URL_VARIABLE, f"http://127.0.0.1:{server.server_port}/secret")
    yield posted
    server.shutdown()
    thread.join()
    server.server_close()


def test_success_failure_and_a_late_run_raise_one_alert_each(
    environment: Callable[..., None], webhook: list[dict[str, str]], tmp_path: Path
) -> None:
    environment(AIRSCRIPT_STORAGE=str(tmp_path / "storage"))
    dag = SimpleNamespace(dag_id="nightly_transcription")
    alerts.night_ended({"dag": dag, "run_id": RUN, "reason": "success"})  # no report: no alert
    uri = task_receipt_uri(settings().storage, "report-night", dag.dag_id, RUN, "report_night")
    storage.write(uri, report(done=19, failed=1).model_dump_json().encode())
    for reason in ("success", "task_failure"):
        alerts.night_ended({"dag": dag, "run_id": RUN, "reason": reason})
    asyncio.run(alerts.night_is_late("06:00 UTC", context={"dag_run": {"dag_id": dag.dag_id, "dag_run_id": RUN}}))
    first_words = [post["text"].removeprefix(f"nightly_transcription {RUN} ").split(" ")[0] for post in webhook]
    assert first_words == ["finished:", "failed:", "is"]
    assert "is late: it was needed by 06:00 UTC" in webhook[-1]["text"]
    for state in ("success", "failed"):  # a run that has ended is the other callback's business
        ended = {"dag_run": {"dag_id": dag.dag_id, "dag_run_id": RUN, "state": state}}
        asyncio.run(alerts.night_is_late("06:00 UTC", context=ended))
    assert len(webhook) == 3


def test_an_unreachable_webhook_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(alerts.URL_VARIABLE, "http://127.0.0.1:9/secret")
    alerts.send("the night is late")
