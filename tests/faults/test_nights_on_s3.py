"""Nights on an S3 that fails one request in ten: each programme is published once, and no step is run again.

`AIRSCRIPT_NIGHTS=20 python -m pytest -n0 -s tests/faults/test_nights_on_s3.py` is the long form: 20 nights of 20
programmes on each server.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tasks import storage
from tasks.contract import Outcome, Receipt
from tasks.reporting.records import NightRow
from tasks.step import load_result, output_uri
from tasks.storage.records import read_lines
from tests.faults.conftest import bulletin
from tests.faults.night import Night, assert_one_complete_set_each
from tests.faults.s3_proxy import CONFLICT, SLOW_DOWN, Chooser, Fault, Request, Reset, S3Proxy, Torn, seeded
from tests.s3_servers import S3Server

NIGHTS = int(os.environ.get("AIRSCRIPT_NIGHTS", "1"))
PROGRAMMES = 20 if NIGHTS > 1 else 5
SHARE = 0.1
DONE = {Outcome.DONE, Outcome.DONE_WITH_WARNINGS, Outcome.DONE_NO_SPEECH}


def every_fault(seed: int) -> Chooser:
    """A tenth of all requests fail. S3 answers a conflict to conditional puts only."""
    of_puts = seeded(seed, SHARE, [Reset(), Reset(after=True), Torn(), SLOW_DOWN, CONFLICT])
    of_others = seeded(seed + 1000, SHARE, [Reset(), Reset(after=True), Torn(), SLOW_DOWN])

    def choose(request: Request) -> Fault | None:
        return of_puts(request) if request.is_conditional_put else of_others(request)

    return choose


def kind(fault: Fault) -> str:
    if isinstance(fault, Reset):
        return "answer lost" if fault.after else "reset"
    return "torn" if isinstance(fault, Torn) else str(getattr(fault, "status", fault))


@pytest.fixture(params=["moto", "s3"])
def server(request: pytest.FixtureRequest) -> tuple[S3Server, str]:
    """A server and an empty prefix on it."""
    prefix = request.getfixturevalue("s3" if request.param == "s3" else "moto_s3")
    return request.getfixturevalue(f"{request.param}_server"), prefix


@pytest.mark.slow  # decodes and recognises
@pytest.mark.parametrize("number", range(NIGHTS))
def test_every_programme_is_published_once(
    server: tuple[S3Server, str], number: int, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_server, prefix = server
    night = Night(prefix, model, forks=False)
    for programme in range(PROGRAMMES):
        storage.write(night.at("inbox", f"bulletin-{programme:02d}.wav"), bulletin(programme))
    with S3Proxy(s3_server.endpoint, every_fault(number)) as proxy:
        report = run_through(proxy.endpoint, night, monkeypatch)
    storage._s3_storage.cache_clear()
    rows = list(read_lines(NightRow, output_uri(report.result, load_result(report.result), "index.jsonl")))
    assert [row.outcome for row in rows if row.outcome not in DONE] == []
    assert len(rows) == PROGRAMMES
    assert_one_complete_set_each(night, PROGRAMMES)
    counts = Counter(map(kind, proxy.injected))
    told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    print(f"night {number + 1} on {s3_server.kind}: {len(proxy.requests)} requests, faults: {told}")
    assert len(proxy.injected) > len(proxy.requests) * SHARE / 3


def run_through(endpoint: str, night: Night, environment: pytest.MonkeyPatch) -> Receipt:
    """Run a night whose storage is behind another address."""
    with environment.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        storage._s3_storage.cache_clear()
        return night.run()
