"""kill -9 of steps and of their launcher at random moments of a night: one complete transcript set for each programme.

`AIRSCRIPT_KILLS=50 pytest tests/faults` is the long form, over 20 programmes.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from importlib import import_module

import psutil
import pytest

from tasks.contract import STEPS, Outcome
from tasks.reporting.records import NightRow
from tasks.step import load_result, output_uri
from tasks.storage.records import read_lines
from tests.faults.conftest import KILLS, PROGRAMMES
from tests.faults.night import Night, assert_one_complete_set_each, complete_manifests, exit_after


@pytest.fixture
def loaded() -> None:
    """Import the steps' libraries before the forks, so that kills do not hit imports only."""
    import onnxruntime
    import soundfile
    from transformers import AutoTokenizer, ParakeetForCTC

    from tasks.recognition import ctc

    for definition in STEPS.values():
        if definition.module.startswith("tasks.night"):
            import_module(definition.module)
    assert all((onnxruntime, soundfile, AutoTokenizer, ParakeetForCTC, ctc))


def start(night: Night) -> psutil.Process:
    """Start the launcher of the steps in its own process."""
    launcher = os.fork()
    if not launcher:
        os.setsid()
        exit_after(night.run)
    return psutil.Process(launcher)


def kill(launcher: psutil.Process, rng: random.Random) -> str:
    """kill -9 the launcher, a step, or all. Other processes go on.

    Returns which; empty if there was no such process.
    """
    victims = {"launcher": [launcher], "step": [], "all": []}
    with contextlib.suppress(psutil.NoSuchProcess):
        family = launcher.children(recursive=True)
        victims |= {"step": family[:1], "all": [launcher, *family]}
    kind = rng.choice(["launcher", "step", "step", "all"])
    for process in victims[kind]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    return kind if victims[kind] else ""


@pytest.mark.slow  # decodes and recognises
@pytest.mark.timeout(900)
def test_after_any_kills_each_programme_has_one_complete_set(night: Night, loaded: None) -> None:
    rng = random.Random(7)
    orphans: list[psutil.Process] = []
    kinds: list[str] = []
    launcher = start(night)
    seen: set[str] = set()
    while len(kinds) < KILLS:
        time.sleep(rng.uniform(0.05, 0.8))
        if launcher.status() == psutil.STATUS_ZOMBIE:
            exit_code = launcher.wait()
            if exit_code == 0:
                break  # the night is over before the last kill
            assert exit_code == -signal.SIGKILL
            launcher = start(night)
        orphans += launcher.children(recursive=True)
        if orphans:
            kinds += filter(None, [kill(launcher, rng)])
        now = set(complete_manifests(night))
        assert seen <= now, "published sets stay"
        seen = now
    if launcher.is_running() and launcher.status() != psutil.STATUS_ZOMBIE:
        launcher.wait()
    psutil.wait_procs([orphan for orphan in orphans if orphan.is_running()], timeout=60)
    report = night.run()  # once more from the start, without kills
    rows = list(read_lines(NightRow, output_uri(report.result, load_result(report.result), "index.jsonl")))

    print(f"kills: {len(kinds)}: {', '.join(f'{kinds.count(kind)} of {kind}' for kind in sorted(set(kinds)))}")
    assert len(kinds) >= KILLS // 2, "the night was over before there were enough kills"
    assert "step" in kinds
    done = {Outcome.DONE, Outcome.DONE_WITH_WARNINGS, Outcome.DONE_NO_SPEECH}
    assert not [row for row in rows if row.outcome not in done]
    assert_one_complete_set_each(night, PROGRAMMES)
