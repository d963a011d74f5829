"""kill -9 at every change of storage: visible results are complete, and the next attempt gives the same result."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tasks import storage
from tasks.contract import RESULT_NAME, STEPS, Status, from_argv
from tasks.contract.arguments import ScanCorpus
from tasks.progress import no_progress
from tasks.step import load_result, output_uri, run_step

KILL_AT = Path(__file__).with_name("kill_at.py")


def attempt(kill_at: int, program: str, argv: list[str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(KILL_AT), str(kill_at), program, *argv]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def visible_results(root: str) -> list[str]:
    """All visible results. Asserts that every output that they list exists with its digest."""
    uris = [item.uri for item in storage.list_objects(root) if item.uri.endswith(f"/{RESULT_NAME}")]
    for uri in uris:
        result = load_result(uri)
        for name, artifact in result.outputs.items():
            assert storage.digest(output_uri(uri, result, name)) == artifact.sha256
    return uris


@pytest.fixture
def corpus(storage_root: str) -> str:
    media = storage.join(storage_root, "media")
    for n in range(3):
        storage.write(storage.join(media, f"2026-03-0{n + 1}_news.wav"), b"RIFF" * (n + 1))
        storage.write(storage.join(media, f"2026-03-0{n + 1}_news.txt"), b"good evening")
    return media


@pytest.mark.slow  # a dozen processes, each killed at another write
def test_no_result_is_visible_before_it_is_complete(corpus: str, storage_root: str) -> None:
    undisturbed = storage.join(storage_root, "storage", "undisturbed")
    done = attempt(0, "tasks", ["scan-corpus", f"--media={corpus}", f"--output={undisturbed}", "--shards=2"])
    assert done.returncode == 0, done.stdout + done.stderr
    n_changes = int(re.findall(r"changes=(\d+)", done.stdout)[0])
    (expected,) = visible_results(undisturbed)
    assert n_changes >= 4

    for at in range(1, n_changes + 1):
        output = storage.join(storage_root, "storage", f"killed-{at}")
        argv = ["scan-corpus", f"--media={corpus}", f"--output={output}", "--shards=2"]
        assert attempt(at, "tasks", argv).returncode == -signal.SIGKILL
        visible_results(output)
        arguments = from_argv(ScanCorpus, argv[1:], "scan-corpus")
        assert run_step(STEPS["scan-corpus"], arguments, no_progress).status is not Status.FAILED
        (again,) = visible_results(output)
        assert load_result(again).content_digest == load_result(expected).content_digest
