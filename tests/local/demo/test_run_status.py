from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local.airflow_api import TaskInstance
from local.demo.run_status import StepReports, describe, key_of, step_views
from tasks.contract import ProgressReport, Receipt, Status, progress_uri

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TASKS = ("scan", "shard.prepare", "v-2")


def instance(task_id: str, state: str | None, map_index: int = -1, seconds: float = 10) -> TaskInstance:
    started = state not in (None, "scheduled", "queued")
    return TaskInstance(
        task_id=task_id,
        map_index=map_index,
        state=state,
        try_number=1,
        start_date=NOW - timedelta(seconds=seconds) if started else None,
        end_date=NOW if state in ("success", "failed") else None,
    )


def progress(completed: float, total: float | None, seconds_ago: float = 0, detail: str = "") -> ProgressReport:
    at = NOW - timedelta(seconds=seconds_ago)
    return ProgressReport(
        step="s", stage="decode", completed=completed, total=total, unit="files", detail=detail, updated_at=at
    )


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("scan.json", ("scan", -1)),
        ("shard.prepare-12.json", ("shard.prepare", 12)),
        ("shard.prepare-12.progress.json", ("shard.prepare", 12)),
        ("v-2.json", ("v-2", -1)),
        ("v-2-0.json", ("v-2", 0)),
        ("v-3.json", None),
        ("other.json", None),
    ],
)
def test_file_names_give_task_and_map_index(name: str, key: tuple[str, int] | None) -> None:
    assert key_of(name, set(TASKS)) == key


def test_receipts_and_progress_reports_are_read(tmp_path: Path) -> None:
    receipt = Receipt(step="prepare-corpus", status=Status.CACHED, result="file:///r.json")
    run = tmp_path / "corpus" / "corpus_features" / "run"
    run.mkdir(parents=True)
    place = tmp_path / "corpus-decoding" / "corpus_features" / "run" / "shard.prepare-1.json"
    place.parent.mkdir(parents=True)
    place.write_text(receipt.model_dump_json())
    Path(progress_uri(str(place))).write_text(progress(1, 2).model_dump_json())
    (run / "scan.json").write_text('{"step": "scan-corp')  # a partial write
    (run / "scan.progress.json").write_bytes(b"\xff")
    (run / "stranger.json").write_text("{}")
    reports = StepReports.read(tmp_path, "corpus_features/run", TASKS)
    assert reports.receipts == {("shard.prepare", 1): receipt}
    assert reports.progress == {("shard.prepare", 1): progress(1, 2)}
    assert reports.of("prepare-corpus") == [receipt]
    assert StepReports.read(tmp_path, "corpus_features/other", TASKS) == StepReports()


def test_mapped_instances_are_summed_up() -> None:
    instances = [
        instance("shard.prepare", "success", 0),
        instance("shard.prepare", "running", 1, seconds=30),
        instance("shard.prepare", "running", 2),
        instance("shard.prepare", "queued", 3),
    ]
    reports = StepReports(
        progress={
            ("shard.prepare", 0): progress(9, 9, seconds_ago=0, detail="of the one that is done"),
            ("shard.prepare", 1): progress(5, 10, seconds_ago=9, detail="old"),
            ("shard.prepare", 2): progress(1, 2, seconds_ago=1, detail="new"),
        }
    )
    _, prepare, _ = step_views(TASKS, instances, reports, NOW)
    assert (prepare.state, prepare.n_done, prepare.n_total) == ("running", 1, 4)
    assert prepare.headline == "running 1/4"
    assert prepare.fraction == pytest.approx((1 + 0.5 + 0.5 + 0) / 4)
    assert prepare.detail == "decode 1/2 files, new"
    assert prepare.seconds == 30


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], "waiting"),
        ([None], "waiting"),
        (["scheduled", None], "queued"),
        (["success", "queued"], "running"),
        (["success", "up_for_retry"], "retrying"),
        (["success", "success"], "done"),
        (["success", "skipped"], "done"),
        (["skipped", "skipped"], "skipped"),
        (["success", "failed", "running"], "failed"),
        (["upstream_failed"], "not reached"),
    ],
)
def test_states(states: list[str | None], expected: str) -> None:
    instances = [instance("scan", state, index) for index, state in enumerate(states)]
    assert step_views(["scan"], instances, StepReports(), NOW)[0].state == expected


def test_cached_only_when_every_instance_was() -> None:
    instances = [instance("scan", "success", 0), instance("scan", "success", 1)]
    cached = Receipt(step="scan-corpus", status=Status.CACHED, result="file:///r.json")
    done = cached.model_copy(update={"status": Status.DONE})

    def state(first: Receipt, second: Receipt) -> str:
        reports = StepReports(receipts={("scan", 0): first, ("scan", 1): second})
        return step_views(["scan"], instances, reports, NOW)[0].state

    assert state(cached, cached) == "cached"
    assert state(cached, done) == "done"


def test_progress_without_a_total() -> None:
    assert describe(progress(7, None)) == "decode 7 files"
    assert step_views(["scan"], [instance("scan", "running")], StepReports(), NOW)[0].fraction == 0
