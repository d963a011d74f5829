"""A whole night through Airflow: hundreds of bulletins, one programme of many hours, and invalid files.

Airflow as `make up` starts it, with its default database; the base model and the embedded diarizer on all cores. The
benchmark fails unless every file has an outcome and every valid one a complete set of transcripts.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from benchmarks.support.airflow_services import airflow
from benchmarks.support.harness import BASE, Report, Row, argument_parser, make_report, print_and_save
from benchmarks.transcription import make_programme
from dags.common.settings import Settings
from local.ports import free_port
from local.settings import Installation
from tasks.publishing.transcripts import MANIFEST_NAME, is_complete

DAG_ID = "nightly_transcription"
BULLETINS, HOURS = 300, 6
INVALID = {"empty.mp4": b"", "page.wav": b"<html>not found</html>", "list.m3u": b"#EXTM3U\nfile:///etc/passwd\n"}
TIMEOUT_S = 7200.0


def fill(inbox: Path, bulletins: int, hours: int) -> float:
    """Fill an inbox. Returns its seconds of audio."""
    import soundfile
    import soxr

    from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, speak
    from local.demo.synthesis.sentences import SentenceGenerator
    from local.demo.synthesis.voices import VoiceSet, random_voice

    inbox.mkdir(parents=True)
    rng, sentences, total_s = random.Random(3), SentenceGenerator(3), 0.0
    for number in range(bulletins):
        text = " ".join(sentences.sentence() for _ in range(3))
        spoken = speak(text, random_voice(VoiceSet.CHANNEL_INBOX, rng))
        samples = np.clip(soxr.resample(spoken, ESPEAK_RATE_HZ, 48_000), -1, 1)
        soundfile.write(inbox / f"bulletin-{number:03d}.flac", samples, 48_000)
        total_s += len(samples) / 48_000
    if hours:
        make_programme(inbox / "parliament.aac", 60 * hours)
    for name, content in INVALID.items():
        (inbox / name).write_bytes(content)
    return total_s + 3600 * hours


def measure(bulletins: int, hours: int, batches: int) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        settings = Settings.from_environment({"AIRSCRIPT_HOME": folder})
        audio_s = fill(home / "storage" / "inbox", bulletins, hours)
        installation = Installation(home, free_port(), free_port(), settings, "")
        with airflow(installation, DAG_ID) as (api, services):
            began = time.monotonic()
            night = api.trigger(DAG_ID, {"model": str(BASE), "batches": batches})
            while not night.is_over and time.monotonic() - began < TIMEOUT_S:
                time.sleep(1)
                services.restart_dead()
                night = api.run(DAG_ID, night.dag_run_id)
            took_s = time.monotonic() - began
            tasks = Counter(task.state for task in api.task_instances(night))
        if night.state != "success":
            raise RuntimeError(f"the night ended as {night.state}: {dict(tasks)}")
        (index,) = (home / "storage" / "transcripts" / "_nights").glob("*/index.jsonl")
        rows = [json.loads(line) for line in index.read_text().splitlines()]
        outcomes = Counter(row["outcome"] for row in rows)
        folders = [row["transcript"] for row in rows if row.get("transcript")]
        complete = [folder for folder in folders if is_complete(f"{folder}/{MANIFEST_NAME}")]
        expected = bulletins + bool(hours) + len(INVALID)
        if len(rows) != expected or len(complete) != bulletins + bool(hours):
            raise RuntimeError(f"{len(rows)} outcomes and {len(complete)} transcripts of {expected} files: {outcomes}")
    row = Row("the night", took_s, (took_s, took_s), audio_s / took_s, 1.0)
    return make_report(
        "night",
        f"{bulletins} bulletins, one programme of {hours} h, {len(INVALID)} invalid files; {batches} batches",
        "x real time",
        "none",
        ("apache-airflow", "torch", "transformers", "pyannote.audio", "av"),
        [row],
        [
            f"{audio_s / 3600:.2f} h of audio; outcomes: " + ", ".join(f"{n} {what}" for what, n in outcomes.items()),
            "tasks: " + ", ".join(f"{n} {state}" for state, n in tasks.items()),
        ],
    )


def main() -> None:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--bulletins", type=int, default=BULLETINS)
    parser.add_argument("--hours", type=int, default=HOURS, help="of the long programme; 0: none")
    parser.add_argument("--batches", type=int, default=8)
    options = parser.parse_args()
    result = measure(options.bulletins, options.hours, options.batches)
    print_and_save(result, options.json)


if __name__ == "__main__":
    main()
