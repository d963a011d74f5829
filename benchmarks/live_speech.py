"""Live captions of human speech by a trained Whisper, on one core: latency of words, and WER beside a night's.

    python -m benchmarks.live_speech [--speech DIR] [--model NAME] [--folders PREFIX ...] [--seconds 120] [--json FILE]

Input: for each folder below `--speech` (`AIRSCRIPT_SPEECH`) a programme of its recordings, joined with pauses of 0.3 to
1.5 s. Peers: the steps of a night on the same programme, and faster-whisper with the same weights on consecutive pieces
of 5 and of 10 s, without agreement.

Time is simulated, so that other load on the machine does not count as latency: blocks of 200 ms arrive in real time,
one core processes them in order, and each takes the processor time that it took here. By this time the states are saved
and the load is measured, as a worker does, which decodes less often where the core is too slow. A word's latency is the
time from its end, as recognised, until it is committed. `benchmarks.streaming` measures whole workers by the clock.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.streaming import BLOCK_MS, Spoken
from benchmarks.support.harness import Machine, argument_parser, this_machine
from benchmarks.support.human_speech.programmes import Tape, load, read_manifest, scored_folders
from benchmarks.support.human_speech.scoring import comparable
from local import weights
from tasks.audio import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

FOLDERS = ("sentences/audiobook", "sentences/long", "sentences/second_language")
PIECES_S = (5, 10)
PAUSE_S = (0.3, 1.5)
BEAM_SIZE = 5


@dataclass(frozen=True)
class CommittedWord:
    """A word, and when it was committed on the simulated clock."""

    text: str
    end_ms: int
    committed_s: float


@dataclass(frozen=True)
class Row:
    """One system's captions of one programme."""

    system: str
    folder: str
    seconds: float
    words: int
    p50_s: float
    p95_s: float
    worst_s: float
    load: float
    """Processor time by duration."""
    wer: float
    night_wer: float


@dataclass(frozen=True)
class Findings:
    """The benchmark's results."""

    machine: Machine
    model: str
    rows: list[Row]


class Core:
    """A core that does work in the order in which it arrives, each piece for as long as it took here."""

    def __init__(self) -> None:
        self.free_s = 0.0
        self.busy_s = 0.0
        self._processor_s: float | None = None
        """Processor time at the start of the work that is being done, which began at `free_s`."""

    def work(self, arrived_s: float, do: Callable[[], Any]) -> Any:
        """Return what `do` returns; `free_s` is when it would have been ready."""
        began_s = self.free_s = max(self.free_s, arrived_s)
        self._processor_s = time.process_time()
        result = do()
        self.free_s, self._processor_s = self.now_s(), None
        self.busy_s += self.free_s - began_s
        return result

    def now_s(self) -> float:
        """The simulated clock."""
        return self.free_s if self._processor_s is None else self.free_s + time.process_time() - self._processor_s


def programme(speech: Path, folder: str, seconds: float) -> Spoken:
    """About so many seconds of a folder's recordings, in a random order that is always the same."""
    rng = random.Random(1)
    tape = Tape()
    recordings = scored_folders(read_manifest(speech))[folder]
    for recording in rng.sample(recordings, len(recordings)):
        tape.add(load(speech, recording))
        tape.pause(rng.uniform(*PAUSE_S))
        if tape.composition.duration_s >= seconds:
            break
    return Spoken(tape.samples, SAMPLE_RATE_HZ, tape.composition.text)


def live(model: Path) -> Callable[[Spoken, Core], Iterator[CommittedWord]]:
    """The components of live captions in this process."""
    from tasks import models
    from tasks.streaming.components import diarize, features, prepare
    from tasks.streaming.components.recognise import RecogniseSession
    from tasks.streaming.decoding.load import LoadMeter
    from tasks.streaming.decoding.loading import load_decoder
    from tasks.streaming.runtime.messages import AudioBlock, pcm
    from tasks.streaming.runtime.worker import SNAPSHOT_EVERY_S

    reference, decoder = models.resolve(str(model)), load_decoder(model)
    components = [prepare.component(), features.component(model), diarize.component("embedded")]

    def caption(spoken: Spoken, core: Core) -> Iterator[CommittedWord]:
        sessions = [
            *(component.open("s", None) for component in components),
            RecogniseSession(decoder, reference, "s", meter=LoadMeter(core.now_s)),
        ]
        saved_s = 0.0
        n_block = SAMPLE_RATE_HZ * BLOCK_MS // 1000
        starts = range(0, len(spoken.samples), n_block)

        def push(block: AudioBlock) -> list[Any]:
            messages: list[Any] = [block]
            for session in sessions:
                messages = [outgoing for message in messages for outgoing in session.push(message)]
            return messages

        for number, start in enumerate(starts):
            block = AudioBlock(
                session="s",
                sequence=number,
                start_ms=number * BLOCK_MS,
                audio=pcm(spoken.samples[start : start + n_block]),
                is_last=number == len(starts) - 1,
            )
            for message in core.work((number + 1) * BLOCK_MS / 1000, lambda block=block: push(block)):
                for word in message.committed:
                    yield CommittedWord(word.text, word.end_ms, core.free_s)
            if core.free_s - saved_s >= SNAPSHOT_EVERY_S:
                core.work(core.free_s, lambda: [session.save() for session in sessions])
                saved_s = core.free_s

    return caption


def night_text(spoken: Spoken, model: Path) -> str:
    """What the steps of a night publish."""
    import soundfile

    from benchmarks.support.human_speech.systems import product

    with tempfile.TemporaryDirectory() as inbox:
        soundfile.write(Path(inbox, "programme.wav"), spoken.samples, spoken.rate_hz)
        (hypothesis,) = product(Path(inbox), model)
    return hypothesis.text


def pieces(model: WhisperModel, piece_s: int) -> Callable[[Spoken, Core], Iterator[CommittedWord]]:
    """faster-whisper on consecutive pieces."""

    def caption(spoken: Spoken, core: Core) -> Iterator[CommittedWord]:
        for start in range(0, len(spoken.samples), piece_s * SAMPLE_RATE_HZ):
            piece = spoken.samples[start : start + piece_s * SAMPLE_RATE_HZ]

            def transcribe(piece: np.ndarray = piece) -> list[Any]:
                segments, _ = model.transcribe(piece, beam_size=BEAM_SIZE, word_timestamps=True)
                return [word for segment in segments for word in segment.words or ()]

            for word in core.work((start + len(piece)) / SAMPLE_RATE_HZ, transcribe):
                yield CommittedWord(
                    word.word.strip(), 1000 * start // SAMPLE_RATE_HZ + int(1000 * word.end), core.free_s
                )

    return caption


def measure(
    system: str,
    caption: Callable[[Spoken, Core], Iterator[CommittedWord]],
    folder: str,
    spoken: Spoken,
    night_wer: float,
) -> Row:
    core = Core()
    words = list(caption(spoken, core))
    latencies = sorted(word.committed_s - word.end_ms / 1000 for word in words) or [0.0]
    return Row(
        system=system,
        folder=folder,
        seconds=round(len(spoken.samples) / SAMPLE_RATE_HZ, 1),
        words=len(words),
        p50_s=round(statistics.median(latencies), 2),
        p95_s=round(latencies[int(0.95 * (len(latencies) - 1))], 2),
        worst_s=round(latencies[-1], 2),
        load=round(core.busy_s / (len(spoken.samples) / SAMPLE_RATE_HZ), 3),
        wer=error_rate(spoken.text, " ".join(word.text for word in words)),
        night_wer=night_wer,
    )


def error_rate(reference: str, hypothesis: str) -> float:
    from training.scoring.errors import word_errors

    return round(word_errors(comparable(reference), comparable(hypothesis)).rate or 0.0, 4)


def show(found: Findings) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("folder", "system", "s", "words", "p50 s", "p95 s", "worst s", "load", "WER", "WER night")
    for row in found.rows:
        numbers = (f"{row.seconds:.0f}", str(row.words), f"{row.p50_s:.2f}", f"{row.p95_s:.2f}", f"{row.worst_s:.2f}")
        rates = (f"{row.load:.2f}", f"{100 * row.wer:.1f} %", f"{100 * row.night_wer:.1f} %")
        table.add_row(row.folder, row.system, *numbers, *rates)
    console = Console(width=120)
    console.print(table)
    machine = found.machine
    console.print(f"{found.model} on one of {machine.cores} cores, {machine.processor}, Python {machine.python}")


def main() -> None:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--speech", type=Path, default=os.environ.get("AIRSCRIPT_SPEECH"), help="folder of speech")
    parser.add_argument("--model", default="whisper-base", help="name in local.weights, or a Whisper's folder")
    parser.add_argument("--folders", nargs="+", default=list(FOLDERS), help="folders of the speech")
    parser.add_argument("--seconds", type=float, default=120.0, help="duration of each programme")
    options = parser.parse_args()
    if not options.speech:
        parser.error("live_speech needs human speech: --speech DIR, or AIRSCRIPT_SPEECH")
    model = weights.folder(options.model) if options.model in weights.CATALOGUE else Path(options.model)
    if model is None or not model.is_dir():
        parser.error(f"no model {options.model} (install it: python -m local.weights)")
    os.environ["OMP_NUM_THREADS"] = "1"  # before the engine is loaded
    import torch
    from faster_whisper import WhisperModel

    torch.set_num_threads(1)
    systems = {"airscript, live": live(model)}
    peer = WhisperModel(str(model), device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True)
    systems |= {f"faster-whisper, pieces of {n} s": pieces(peer, n) for n in PIECES_S}
    rows = []
    for folder in options.folders:
        spoken = programme(Path(options.speech), folder, options.seconds)
        night_wer = error_rate(spoken.text, night_text(spoken, model))
        for system, caption in systems.items():
            rows.append(measure(system, caption, folder, spoken, night_wer))
            print(rows[-1], flush=True)
    found = Findings(this_machine(), Path(model).name, rows)
    show(found)
    if options.json:
        options.json.write_text(json.dumps(asdict(found), indent=2) + "\n")


if __name__ == "__main__":
    main()
