"""`make captions`: a demo programme, broadcast in real time through the live components to this terminal.

The components are those of production, one process each, on the broker of `make up WITH=kafka`. When the broadcast ends
its recording goes to the inbox and is announced, so that `transcribe_on_arrival` transcribes it as a whole.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from local.demo.live_programme import speech, write_wave
from local.demo.live_workers import LiveOutput, LiveWorker, WorkerDied, start_workers, stop
from local.services import Services, tail
from local.settings import CHECKOUT, Installation, UserError

SECONDS = 60.0
END_TIMEOUT_S = 90.0  # without a message, once the feeder has ended
AUDIO, PARTIAL, FINAL, PUBLISHED = "live.audio", "captions.partial", "captions.final", "transcript.published"


@dataclass
class Broadcast:
    """What is known of the session."""

    name: str
    origin_s: float = 0.0
    """When its first sample was played, in seconds since 1970; 0: not yet."""
    partial: str = ""
    latencies_s: list[float] = field(default_factory=list)
    """Of each settled word: from its end in the programme to its caption's arrival here."""
    n_captions: int = 0
    transcript: str = ""

    def take(self, topic: str, message: dict[str, Any], now_s: float) -> str:
        """Take a message of the session, and return a line if captions settled."""
        if topic == AUDIO:
            if not self.origin_s and message["sequence"] == 0:
                n_bytes = len(message["audio"]) * 3 // 4  # base64
                duration_s = n_bytes / 2 / message["n_channels"] / message["sample_rate_hz"]
                self.origin_s = message["captured_at"] - duration_s
        elif topic == PARTIAL:
            self.partial = message["text"]
        elif topic == PUBLISHED:
            self.transcript = message["transcript"]
        elif message["sequence"] >= self.n_captions and message["words"]:  # a repeated one is equal
            self.n_captions = message["sequence"] + 1
            found = [now_s - self.origin_s - word["end_ms"] / 1000 for word in message["words"]]
            self.latencies_s += found
            at_s, speaker = message["start_ms"] // 1000, message["words"][0]["speaker"] or ""
            return f"{at_s // 60}:{at_s % 60:02}  {speaker:<4}  {message['text']}  ({found[-1]:.1f} s)"
        return ""


class LiveCaptions:
    """One broadcast of an installation whose broker runs."""

    def __init__(self, installation: Installation, console: Console) -> None:
        self._installation, self._console = installation, console
        self._folder = installation.home / "captions"
        self._environment = installation.environment()
        settings = installation.settings
        model = os.environ.get("AIRSCRIPT_MODEL") or settings.base_model
        self._output = LiveOutput(model, f"{settings.storage}/live", settings.transcripts)

    def run(self) -> int:
        """Broadcast, show the captions, and announce the recording.

        Raises:
            UserError: no broker runs, or a component ended; the message has its log.
        """
        if "kafka" not in Services(self._installation).alive():
            raise UserError("no Kafka broker runs. Start one first: make up WITH=kafka")
        os.environ.update(self._environment)
        self._folder.mkdir(parents=True, exist_ok=True)
        session = f"demo-{datetime.now(UTC):%Y-%m-%d-%H%M%S}"
        recording = self._folder / f"{session}.wav"
        with self._console.status("speaking a programme, starting the components"):
            write_wave(speech(int(time.time()), SECONDS), recording)
            try:
                workers = start_workers(self._output, self._environment, self._folder)
            except WorkerDied as error:
                raise UserError(str(error)) from None
        try:
            broadcast = self._broadcast(session, recording, workers)
        finally:
            stop(workers)
        self._summarise(broadcast)
        self._announce(recording)
        recording.unlink()
        return 0

    def _broadcast(self, session: str, recording: Path, workers: list[LiveWorker]) -> Broadcast:
        """Feed the recording, and print captions until the session's transcript is published."""
        from confluent_kafka import OFFSET_END, TopicPartition

        from tasks import kafka

        broadcast = Broadcast(session)
        counts = kafka.wait_for_topics([AUDIO, PARTIAL, FINAL, PUBLISHED])
        reader = kafka.consumer(f"captions-demo-{uuid.uuid4().hex[:8]}", **{"session.timeout.ms": 6_000})
        reader.assign([TopicPartition(topic, n, OFFSET_END) for topic, count in counts.items() for n in range(count)])
        reader.poll(1.0)  # the positions are found before the first block is sent
        log = self._folder / "feed.log"
        self._console.print(f"\n{session}, as it is spoken (time, speaker, text, delay of the last word)\n")
        with log.open("wb") as sink:
            command = ["-m", "tasks", "stream", "feed", f"--input={recording}", f"--session={session}"]
            feeder = subprocess.Popen(
                [sys.executable, *command], cwd=CHECKOUT, env=self._environment, stdout=sink, stderr=sink
            )
        heard_at = time.monotonic()
        try:
            with Live(console=self._console, transient=True, refresh_per_second=8) as live:
                while not broadcast.transcript:
                    message = reader.poll(0.1)
                    if message is not None and not message.error() and message.key() == session.encode():
                        heard_at = time.monotonic()
                        line = broadcast.take(str(message.topic()), json.loads(message.value() or b""), time.time())
                        if line:
                            live.console.print(line, highlight=False, markup=False)
                        if self._console.is_terminal:
                            live.update(Text(broadcast.partial, style="dim"))
                    self._check(feeder, log, workers)
                    if feeder.poll() is None:
                        heard_at = time.monotonic()
                    elif time.monotonic() > heard_at + END_TIMEOUT_S:
                        raise UserError(f"the session did not end; see the logs in {self._folder}")
        finally:
            reader.close()
            if feeder.poll() is None:
                feeder.terminate()
                feeder.wait()
        return broadcast

    def _check(self, feeder: subprocess.Popen[bytes], log: Path, workers: list[LiveWorker]) -> None:
        if feeder.poll():
            raise UserError(f"the feeder ended:\n{tail(log)}")
        for worker in workers:
            if worker.process.poll() is not None:
                raise UserError(str(WorkerDied(worker)))

    def _summarise(self, broadcast: Broadcast) -> None:
        words = sorted(broadcast.latencies_s)
        if words:
            p95_s = words[int(0.95 * (len(words) - 1))]
            self._console.print(
                f"\n{len(words)} words settled: half within {statistics.median(words):.1f} s of their end, 95 % within "
                f"{p95_s:.1f} s",
                highlight=False,
            )
        live = f"{self._output.live}/{broadcast.name}/captions.m3u8"
        self._console.print(f"Transcript  {broadcast.transcript}\nHLS         {live}", highlight=False)

    def _announce(self, recording: Path) -> None:
        """Put the recording into the inbox and say so."""
        from tasks import storage
        from tasks.streaming.announce import main as announce

        uri = f"{self._installation.settings.inbox}/{recording.name}"
        storage.write(uri, recording.read_bytes())
        announce([f"--media={uri}"])
        self._console.print(
            f"Recording   {uri}, announced: transcribe_on_arrival transcribes it, if there is a champion\n"
            f"            {self._installation.airflow_url}/dags/transcribe_on_arrival",
            highlight=False,
        )
