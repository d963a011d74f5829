"""The tab *Report* of a run, and the page of a night."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from dags.common.links import REPORTING_TASKS
from dags.common.receipts import task_receipt_uri
from dags.common.settings import settings
from tasks import storage
from tasks.contract import Outcome, Receipt, Status
from tasks.reporting.night_report import render_night_report
from tasks.reporting.records import NightReport, NightRow

RUN = "scheduled__2026-11-22T01:00:00+00:00"
NIGHT = "2026-11-22-0123abcd"
HOSTILE = '<b>R&D"?#'


@pytest.fixture
def client(environment: Callable[..., None], tmp_path: Path) -> Iterator[Any]:
    """A client of somebody who may read every run."""
    from airflow.api_fastapi.core_api import security
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    from dags.plugins.desk import app as desk
    from dags.plugins.desk import indexing

    environment(AIRSCRIPT_STORAGE=str(tmp_path / "storage"))
    app = FastAPI()
    app.mount("/airscript", desk.app)
    guards = {depends.dependency for route in desk.app.routes for depends in getattr(route, "dependencies", ())}
    desk.app.dependency_overrides = {guard: lambda: None for guard in guards} | {security.get_user: lambda: None}
    yield TestClient(app)
    desk.app.dependency_overrides = {}
    indexing.wait()


def finish(dag_id: str, **labels: str) -> None:
    """Write the receipt of a run's reporting task."""
    task, step = REPORTING_TASKS[dag_id]
    receipt = Receipt(step=step, status=Status.DONE, labels=labels)
    uri = task_receipt_uri(settings().storage, step, dag_id, RUN, task)
    storage.write(uri, receipt.model_dump_json().encode())


def tab(dag_id: str) -> str:
    return f"/airscript/report?{urlencode({'dag_id': dag_id, 'run_id': RUN})}"


def publish_night(name: str = "news") -> str:
    """Publish the report of a night with one programme, and return the URI of its page."""
    row = NightRow(
        programme=name,
        media="file:///inbox/news.mp4",
        outcome=Outcome.DONE,
        transcript=f"{settings().transcripts}/{storage.quoted_name(name, settings().transcripts)}/0123456789ab",
        duration_s=60.0,
        words=100,
        speakers=1,
    )
    report = NightReport(
        night=NIGHT,
        model="m",
        model_version="acoustic-model/3",
        news="1 new programme",
        outcomes={"done": 1},
        transcribed_before=0,
        quarantined_before=0,
        hours=0.02,
        words=100,
        compute_s=1.0,
        rows=(row,),
    )
    folder = storage.join(settings().transcripts, "_nights", NIGHT)
    storage.write(f"{folder}/report.json", report.model_dump_json().encode())
    storage.write(f"{folder}/report.html", render_night_report(report, settings().transcripts).encode())
    return f"{folder}/report.html"


@pytest.mark.parametrize("dag_id", ["nightly_transcription", "transcribe_on_arrival"])
def test_the_tab_of_a_night_shows_its_programmes(client: Any, dag_id: str) -> None:
    finish(dag_id, page=publish_night())
    page = client.get(tab(dag_id))
    assert page.status_code == 200
    assert page.url.path == f"/airscript/nights/{NIGHT}/"
    assert "Night of 22 November 2026" in page.text
    assert 'href="../../programmes/news/0123456789ab/"' in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_hostile_names_stay_text(client: Any) -> None:
    publish_night(HOSTILE)
    page = client.get(f"/airscript/nights/{NIGHT}/").text
    assert "<b>" not in page
    assert "&lt;b&gt;R&amp;D" in page
    assert 'href="../../programmes/%3Cb%3ER%26D%22%3F%23/0123456789ab/"' in page


@pytest.mark.parametrize("dag_id", ["corpus_features", "finetune_acoustic_model"])
def test_the_tab_of_another_run_shows_the_report_in_storage(client: Any, dag_id: str, tmp_path: Path) -> None:
    uri = f"{settings().storage}/work/report.html"
    storage.write(uri, b"<h1>4 hours</h1>")
    finish(dag_id, report=uri, page="https://mlflow/another")
    page = client.get(tab(dag_id))
    assert page.text == "<h1>4 hours</h1>"
    assert page.headers["content-type"].startswith("text/html")
    storage.delete(uri)
    assert client.get(tab(dag_id)).status_code == 404


def test_a_run_without_a_report_says_what_makes_it(client: Any) -> None:
    assert "report_night" in client.get(tab("nightly_transcription")).text
    assert "have no report" in client.get(tab("../../secrets")).text
    assert client.get("/airscript/report").status_code == 422


def test_nights_that_do_not_exist(client: Any) -> None:
    for night in ("2026-11-23-0123abcd", "..%2F..%2Fsecret", ".hidden"):
        assert client.get(f"/airscript/nights/{night}/").status_code == 404


def test_strangers_see_nothing(environment: Callable[..., None]) -> None:
    from fastapi.testclient import TestClient

    from dags.plugins.desk.app import app

    for path in (tab("nightly_transcription").removeprefix("/airscript"), f"/nights/{NIGHT}/"):
        assert TestClient(app).get(path).status_code in (401, 403)


def test_every_dag_with_a_report_has_its_task(load_dags: Callable[[], dict[str, Any]]) -> None:
    dags = load_dags()
    for dag_id, (task, step) in REPORTING_TASKS.items():
        assert dags[dag_id].get_task(task).step == step


def test_the_tab_is_relative_to_airflow_and_names_the_run() -> None:
    from dags.plugins.pages import AirscriptPages

    views = {view["url_route"]: view for view in AirscriptPages.external_views}
    assert views["report"]["destination"] == "dag_run"
    assert views["report"]["href"] == "airscript/report?dag_id={DAG_ID}&run_id={RUN_ID}"
