"""The whole stack in containers (`make test-compose`): a night, an arrival and live captions."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.airflow_api import DagRun
from local.demo.live_programme import Spoken, speech, write_wave
from tasks.contract.events import CaptionFinal
from tasks.streaming.runtime.messages import AudioBlock
from tests.compose.stack import CHECKOUT, COMPONENTS, ONE_SHOTS, SWITCH, Stack
from tests.tasks.streaming import conftest as streaming

pytestmark = [
    pytest.mark.skipif(not SWITCH, reason="brings up the stack: make test-compose"),
    pytest.mark.timeout(1800),
]

MODEL = "/opt/worker/airscript/local/demo/base_model/weights"
BROADCAST_S = 30.0

# The components of live captions in this process.
components, through = streaming.components, streaming.through


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Everything but live captions, whose workers need a champion."""
    stack = Stack.prepare(tmp_path_factory.mktemp("compose"))
    try:
        stack.up("kafka")
        yield stack
    finally:
        stack.down()


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Programmes of the demo's channel, and one that is not media."""
    folder = tmp_path_factory.mktemp("channel")
    folders = [f"--{name}={folder / name}" for name in ("archive", "inbox", "references")]
    subprocess.run([sys.executable, "-m", "local.demo.synthesis", *folders, "--minutes=4"], cwd=CHECKOUT, check=True)
    return sorted((folder / "inbox").iterdir())


@pytest.fixture(scope="module")
def programmes(stack: Stack, inbox: list[Path]) -> list[Path]:
    """Uploads three programmes and the file that is not media to the inbox; returns the three."""
    found = {
        name: next(path for path in inbox if name in path.name)
        for name in ("headlines-noon", "weather.", "morning-news", "late-film")
    }
    stack.upload(list(found.values()), "inbox")
    not_media = found.pop("late-film")
    assert not_media not in found.values()
    return list(found.values())


@pytest.fixture(scope="module")
def champion(stack: Stack) -> str:
    """The base model, registered by the account of the steps; returns its version's name."""
    stack.program("register", MODEL)
    return "acoustic-model/1"


@pytest.fixture(scope="module")
def spoken() -> Spoken:
    return speech(seed=7, seconds=BROADCAST_S)


def assert_published(stack: Stack, programme: str, model: str) -> None:
    (manifest,) = [key for key in stack.keys(f"transcripts/{programme}/") if key.endswith("/manifest.json")]
    folder = manifest.removesuffix("manifest.json")
    assert json.loads(stack.read(manifest))["programme"] == programme
    assert model in stack.read(manifest).decode()
    formats = {f"{folder}{programme}.{kind}" for kind in ("txt", "srt", "vtt", "ttml", "json")}
    assert formats <= set(stack.keys(folder))
    assert len(stack.read(f"{folder}{programme}.txt").split()) > 50


def test_all_services_are_healthy(stack: Stack) -> None:
    states = stack.states()
    assert {name for name, state in states.items() if state == "exited 0"} == ONE_SHOTS
    assert {name for name, state in states.items() if state == "healthy"} == set(states) - ONE_SHOTS


def test_the_api_needs_a_password(stack: Stack) -> None:
    with httpx.Client(base_url=stack.installation.airflow_url, trust_env=False, timeout=30) as browser:
        assert "<title>" in browser.get("/").text
        assert browser.get("/api/v2/dags").status_code == 401
        wrong = browser.post("/auth/token", json={"username": "admin", "password": "admin"})
        assert wrong.status_code == 401


def test_mlflow_needs_a_password(stack: Stack) -> None:
    """And the account of live captions may not move the champion."""
    environment = stack.environment
    url, model = "/api/2.0/mlflow/registered-models", {"name": "acoustic-model"}
    with httpx.Client(base_url=stack.installation.mlflow_url, trust_env=False, timeout=30) as browser:
        assert browser.get(f"{url}/get", params=model).status_code == 401
        assert browser.get(f"{url}/get", params=model, auth=("admin", "password1234")).status_code == 401
        admin = ("admin", environment["MLFLOW_ADMIN_PASSWORD"])
        assert browser.get(f"{url}/get", params=model, auth=admin).status_code == 200
        reader = ("reader", environment["MLFLOW_READER_PASSWORD"])
        assert browser.get(f"{url}/get", params=model, auth=reader).status_code == 200
        move = {**model, "alias": "champion", "version": "1"}
        assert browser.post(f"{url}/alias", json=move, auth=reader).status_code == 403


def test_dags_are_imported(stack: Stack) -> None:
    assert not stack.api.import_errors()
    assert stack.api.dag_ids() >= {"corpus_features", "finetune_acoustic_model", "nightly_transcription"}


def test_the_worker_has_no_airflow(stack: Stack) -> None:
    found = stack.worker(
        "-c", "import importlib.util as i; print(*(bool(i.find_spec(m)) for m in ('airflow', 'torch')))"
    )
    assert found.split() == ["False", "True"]


def test_artifacts_round_trip_through_mlflow(stack: Stack) -> None:
    assert stack.program("round_trip").strip() == "True"


def test_a_night(stack: Stack, programmes: list[Path], champion: str) -> None:
    """With the champion of MLflow's registry: its record comes from PostgreSQL, its weights from SeaweedFS."""
    stack.api.unpause("nightly_transcription")
    run = stack.follow(stack.api.trigger("nightly_transcription", {"batches": 2}))
    assert run.state == "success", stack.describe(run)
    for programme in programmes:
        assert_published(stack, programme.stem, champion)
        ((_, event),) = stack.read_topic("transcript.published", programme.stem)
        assert event["transcript"].startswith(f"s3://airscript/transcripts/{programme.stem}/")
    (quarantined,) = stack.keys("transcripts/_quarantine/")
    assert "late-film" in quarantined


def test_a_second_night_has_nothing_to_do(stack: Stack, programmes: list[Path]) -> None:
    before = stack.keys("transcripts/2026")
    run = stack.follow(stack.api.trigger("nightly_transcription", {"batches": 2}))
    assert run.state == "success", stack.describe(run)
    assert stack.keys("transcripts/2026") == before
    batches = [task for task in stack.api.task_instances(run) if task.task_id.startswith("batch.")]
    assert {task.state for task in batches} <= {"skipped"}


def test_an_arrival(stack: Stack, programmes: list[Path], inbox: list[Path], champion: str) -> None:
    """The event starts the run, which transcribes what it names and nothing else. A second event changes nothing."""
    arrived, other = (next(path for path in inbox if name in path.name) for name in ("evening-news", "talk-extra"))
    assert not {arrived, other} & set(programmes)
    stack.upload([arrived, other], "inbox")
    stack.api.unpause("transcribe_on_arrival")
    announce = ["-m", "tasks", "announce", f"--media=s3://airscript/inbox/{arrived.name}"]
    stack.worker(*announce)
    (run,) = await_runs(stack, 1)
    assert run.state == "success", stack.describe(run)
    assert run.run_type == "asset_triggered"
    assert_published(stack, arrived.stem, champion)
    assert not stack.keys(f"transcripts/{other.stem}/")

    before = stack.keys("transcripts/2026")
    stack.worker(*announce)
    again, _ = await_runs(stack, 2)
    assert again.state == "success", stack.describe(again)
    assert stack.keys("transcripts/2026") == before


def await_runs(stack: Stack, n: int) -> list[DagRun]:
    """Runs of `transcribe_on_arrival`, newest first, once there are `n` and all are over."""
    deadline = time.monotonic() + 300
    while len(runs := stack.api.runs("transcribe_on_arrival")) < n:
        assert time.monotonic() < deadline, stack.run("logs", "--no-color", "--tail=60", "airflow-triggerer")
        time.sleep(2)
    assert len(runs) == n
    return [stack.follow(run) for run in runs]


def test_live_captions(
    stack: Stack, champion: str, spoken: Spoken, through: Callable[..., list[Any]], tmp_path: Path
) -> None:
    """A broadcast in real time: captions settle while it lasts, and are those of the components in one process.

    The workers then end on SIGTERM.
    """
    stack.up("live")
    workers = {f"live-{name}" for name in COMPONENTS}
    assert workers <= set(stack.states())
    session, recording = "channel-one-2026-03-24", tmp_path / "programme.wav"
    write_wave(spoken, recording)
    feed = ["-m", "tasks", "stream", "feed", "--input=/programme.wav", f"--session={session}"]
    stack.run("run", "--rm", "-T", "--no-deps", f"--volume={recording}:/programme.wav:ro", "live-prepare", *feed)

    deadline = time.monotonic() + 300
    while not (published := stack.read_topic("transcript.published", session)):
        assert time.monotonic() < deadline, stack.run("logs", "--no-color", "--tail=30")
        time.sleep(2)
    ((_, transcript),) = published
    captions, audio = stack.read_topic("captions.final", session), stack.read_topic("live.audio", session)
    assert [caption["sequence"] for _, caption in captions] == list(range(len(captions)))
    stack.run("stop", *workers)
    assert {state for name, state in stack.states().items() if name in workers} == {"exited 0"}

    blocks = [AudioBlock.model_validate(block) for _, block in audio]
    alone = [event.text for event in through(blocks) if isinstance(event, CaptionFinal)]
    assert [caption["text"] for _, caption in captions] == alone
    words = [word for text in alone for word in text.split()]
    assert len(words) > 25

    first_at, last_at = captions[0][0], captions[-1][0]
    assert first_at < blocks[-1].captured_at < last_at
    print(
        f"{len(words)} words in {len(captions)} captions of {blocks[-1].start_ms / 1000:.0f} s; delay of the last of a "
        f"caption: {statistics.median(delays(captions, blocks)):.1f} s (median), the broadcast's end to its last "
        f"caption {last_at - blocks[-1].captured_at:.1f} s"
    )

    playlist = stack.read(f"live/{session}/captions.m3u8").decode()
    assert playlist.endswith("#EXT-X-ENDLIST\n")
    segments = b" ".join(stack.read(key) for key in stack.keys(f"live/{session}/") if key.endswith(".vtt")).decode()
    assert [word for word in words if word.casefold() not in segments.casefold()] == []
    folder = transcript["transcript"].removeprefix("s3://airscript/").rstrip("/")
    assert f"{folder}/{session}.vtt" in stack.keys(f"{folder}/")


def delays(captions: list[tuple[float, dict[str, Any]]], blocks: list[AudioBlock]) -> list[float]:
    """Seconds from the capture of each caption's last word to the caption."""
    found = []
    for at, caption in captions:
        block = next((block for block in blocks if block.start_ms >= caption["end_ms"]), blocks[-1])
        found.append(at - block.captured_at)
    return found
