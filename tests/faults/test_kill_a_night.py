"""kill -9 at random moments of a night, of steps and of what launches them: one whole transcript set a programme.

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
from tasks.night.records import NightRow
from tasks.step import load_result, output_uri
from tasks.storage.records import read_lines
from tests.faults.conftest import KILLS, PROGRAMMES
from tests.faults.night import Night, end_with, manifests, one_whole_set_each


@pytest.fixture
def loaded() -> None:
    """What steps import, imported before they are forked: a killed one has not spent its life on that."""
    import onnxruntime
    import soundfile
    from transformers import AutoTokenizer, ParakeetForCTC

    from tasks.recognition import ctc

    for definition in STEPS.values():
        if definition.module.startswith("tasks.night"):
            import_module(definition.module)
    assert all((onnxruntime, soundfile, AutoTokenizer, ParakeetForCTC, ctc))


def start(night: Night) -> psutil.Process:
    """What launches the steps, in a process of its own."""
    launcher = os.fork()
    if not launcher:
        os.setsid()
        end_with(night.run)
    return psutil.Process(launcher)


def kill(launcher: psutil.Process, rng: random.Random) -> str:
    """kill -9 of the launcher alone, of a step alone, or of all. What is left alone works on.

    Tells which; nothing, if there was none.
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
def test_whatever_is_killed_each_programme_has_one_whole_set(night: Night, loaded: None) -> None:
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
                break  # the night is over before all the killing
            assert exit_code == -signal.SIGKILL
            launcher = start(night)
        orphans += launcher.children(recursive=True)
        if orphans:
            kinds += filter(None, [kill(launcher, rng)])
        now = set(manifests(night))
        assert seen <= now, "what was published once stays"
        seen = now
    if launcher.is_running() and launcher.status() != psutil.STATUS_ZOMBIE:
        launcher.wait()
    psutil.wait_procs([orphan for orphan in orphans if orphan.is_running()], timeout=60)
    report = night.run()  # from the start, by one that is left alone
    rows = list(read_lines(NightRow, output_uri(report.result, load_result(report.result), "index.jsonl")))

    print(f"kills: {len(kinds)}: {', '.join(f'{kinds.count(kind)} of {kind}' for kind in sorted(set(kinds)))}")
    assert len(kinds) >= KILLS // 2, "the night was over before it was killed often enough to say anything"
    assert "step" in kinds
    heard = {Outcome.DONE, Outcome.DONE_WITH_WARNINGS, Outcome.DONE_NO_SPEECH}
    assert not [row for row in rows if row.outcome not in heard]
    one_whole_set_each(night, PROGRAMMES)
