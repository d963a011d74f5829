"""Reports and transcripts in the browser: what is shown, to whom, and the link that leads there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urljoin

import pytest

from dags.common.links import ReportLink, page_url
from dags.common.receipts import task_receipt_uri
from dags.common.settings import settings
from tasks import storage
from tasks.contract import Receipt, Status

RUN = "scheduled__2026-11-22T01:00:00+00:00"


@pytest.fixture
def transcripts(environment: Callable[..., None], tmp_path: Path) -> Path:
    environment(AIRSCRIPT_STORAGE=str(tmp_path / "storage"))
    root = tmp_path / "storage" / "transcripts"
    (root / "_nights" / "1").mkdir(parents=True)
    (root / "news" / "0123").mkdir(parents=True)
    (root / "news" / "0123" / "news <1>.txt").write_text("Good evening.")
    (root / "_nights" / "1" / "report.html").write_text(
        '<a href="../../news/0123/news%20%3C1%3E.txt">text</a>, <a href="https://elsewhere/">no</a>'
    )
    (tmp_path / "storage" / "secret.txt").write_text("secret")
    (root / "leads-away.txt").symlink_to(tmp_path / "storage" / "secret.txt")
    return root


@pytest.fixture
def browser(transcripts: Path) -> Any:
    """A client of somebody who may read the runs."""
    from airflow.api_fastapi.core_api import security
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    from dags.plugins.desk import access
    from dags.plugins.desk.app import app as desk

    app = FastAPI()
    app.mount("/airscript", desk)
    desk.dependency_overrides = {access.may_read.dependency: lambda: None, security.get_user: lambda: None}
    yield TestClient(app)
    desk.dependency_overrides = {}


def test_a_report_links_what_the_browser_can_open(browser: Any, transcripts: Path) -> None:
    page = browser.get("/airscript/transcripts/_nights/1/report.html")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.text == (transcripts / "_nights" / "1" / "report.html").read_text()
    link = page.text.split('href="')[1].split('"')[0]
    assert browser.get(urljoin(str(page.url), link)).text == "Good evening."


def test_a_folder_is_listed_and_its_files_shown(browser: Any) -> None:
    page = browser.get("/airscript/transcripts/news/0123")
    assert str(page.url).endswith("/airscript/transcripts/news/0123/"), "relative links need the slash"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "news &lt;1&gt;.txt" in page.text
    link = urljoin(str(page.url), page.text.split('href="')[1].split('"')[0])
    assert browser.get(link).text == "Good evening."
    assert browser.get(link).headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize(
    "path",
    ["../secret.txt", "..%2Fsecret.txt", "news/../../secret.txt", "leads-away.txt", "no/such", "%2Fetc%2Fpasswd"],
)
def test_nothing_else_is_shown(browser: Any, path: str) -> None:
    found = browser.get(f"/airscript/transcripts/{path}")
    assert found.status_code == 404
    assert "secret" not in found.text


def test_strangers_see_nothing(transcripts: Path) -> None:
    from fastapi.testclient import TestClient

    from dags.plugins.desk.app import app

    found = TestClient(app).get("/transcripts/_nights/1/report.html")
    assert found.status_code in (401, 403)


def test_the_link_of_report_night(transcripts: Path, load_dags: Callable[[], dict[str, Any]]) -> None:
    task = load_dags()["nightly_transcription"].get_task("report_night")
    assert [link.name for link in task.operator_extra_links] == ["Report"]
    key = SimpleNamespace(dag_id="nightly_transcription", run_id=RUN, task_id="report_night")
    assert ReportLink().get_link(task, ti_key=key) == ""
    page = f"{settings().transcripts}/_nights/1/report.html"
    receipt = Receipt(step="report-night", status=Status.DONE, labels={"page": page})
    place = task_receipt_uri(settings().storage, "report-night", key.dag_id, RUN, key.task_id)
    storage.write(place, receipt.model_dump_json().encode())
    assert ReportLink().get_link(task, ti_key=key) == "/airscript/transcripts/_nights/1/report.html"
    assert page_url("s3://elsewhere/report.html") == "s3://elsewhere/report.html"
