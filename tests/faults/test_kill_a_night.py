"""kill -9 at random moments of a night, of steps and of what launches them: one whole transcript set a programme.

`AIRSCRIPT_KILLS=50 pytest tests/faults/test_kill_a_night.py` is the long form, over 20 programmes.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import psutil
import pytest

from tasks import storage
from tasks.contract import STEPS, Outcome
from tasks.night.publishing import MANIFEST_NAME, is_complete, published_transcript
from tasks.night.records import read_lines
from tasks.night.report import NightRow
from tasks.step import load_result, output_uri
from tests.faults.night import Night, end_with
from tests.tasks.night.media import SAMPLE_RATE_HZ, wav

KILLS = int(os.environ.get("AIRSCRIPT_KILLS", "12"))
PROGRAMMES = 20 if KILLS >= 50 else 6


@pytest.fixture
def night(tmp_path: Path) -> Night:
    """An inbox of short programmes, each with other sounds that pass for speech, and a model of random weights."""
    import soxr
    import torch

    from training.base.model import export, make_model
    from training.synthesis.espeak import SAMPLE_RATE_HZ as ESPEAK_RATE_HZ
    from training.synthesis.espeak import speak
    from training.synthesis.voices import VoiceSet, random_voice

    torch.set_num_threads(1)
    torch.manual_seed(1)
    model = tmp_path / "model"
    model.mkdir()
    export(make_model(hidden_size=32, n_layers=1), model)
    night = Night((tmp_path / "storage").as_uri(), str(model))
    for n in range(PROGRAMMES):
        voice = random_voice(VoiceSet.BASE_TRAINING, random.Random(n))
        spoken = speak(f"Good evening. Here is bulletin number {n} of the night.", voice)
        samples = soxr.resample(spoken, ESPEAK_RATE_HZ, SAMPLE_RATE_HZ)
        storage.write(night.at("inbox", f"bulletin-{n:02d}.wav"), wav(np.pad(samples, (0, 160 * n))))
    return night


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


def manifests(night: Night) -> list[str]:
    """Of the transcript sets in sight. Every one of them is whole."""
    found = [o.uri for o in storage.list_objects(night.transcripts) if o.uri.endswith("/" + MANIFEST_NAME)]
    assert all(is_complete(uri) for uri in found)
    return found


def kill(launcher: psutil.Process, rng: random.Random) -> str:
    """kill -9 of the launcher alone, of a step alone, or of all. What is left alone works on."""
    victims = {"launcher": [launcher], "step": [], "all": []}
    with contextlib.suppress(psutil.NoSuchProcess):
        family = launcher.children(recursive=True)
        victims |= {"step": family[:1], "all": [launcher, *family]}
    kind = rng.choice(["launcher", "step", "step", "all"])
    for process in victims[kind]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    return kind


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
            kinds.append(kill(launcher, rng))
        now = set(manifests(night))
        assert seen <= now, "what was published once stays"
        seen = now
    if launcher.is_running() and launcher.status() != psutil.STATUS_ZOMBIE:
        launcher.wait()
    psutil.wait_procs([orphan for orphan in orphans if orphan.is_running()], timeout=60)
    report = night.run()  # from the start, by one that is left alone
    rows = list(read_lines(NightRow, output_uri(report.result, load_result(report.result), "index.jsonl")))

    print(f"kills: {len(kinds)}: {', '.join(f'{kinds.count(kind)} of {kind}' for kind in sorted(set(kinds)))}")
    heard = {Outcome.DONE, Outcome.DONE_WITH_WARNINGS, Outcome.DONE_NO_SPEECH}
    assert not [row for row in rows if row.outcome not in heard]
    programmes = [published_transcript(uri)[0].programme for uri in manifests(night)]
    assert sorted(programmes) == [f"bulletin-{n:02d}" for n in range(PROGRAMMES)]
    folders = {
        storage.parent(o.uri)
        for o in storage.list_objects(night.transcripts)
        if "/bulletin-" in o.uri and "/_" not in o.uri
    }
    assert folders == {storage.parent(uri) for uri in manifests(night)}, "nothing half-done is left"
