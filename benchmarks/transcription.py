"""From a media file to published transcripts: beside faster-whisper, which only transcribes; with speakers, beside the
same parts in sequence: transcribe, align, diarize.

All contenders have the same weights (a Whisper that emits a fixed text: see `support/dummy_whisper.py`), the same
audio, int8, and all cores. Every run is a new process, like a script or a pod, so it includes loading Python, the
libraries and the models.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import numpy as np

from benchmarks.support import dummy_whisper, night_steps
from benchmarks.support.harness import BASE, Report, make_report, run, time_interleaved
from tasks.audio import SAMPLE_RATE_HZ
from tasks.diarization import EMBEDDED

if TYPE_CHECKING:
    from faster_whisper.transcribe import Segment

MINUTES = 4
REPEATS = 2
PEER = "faster-whisper batched, text alone"
RATE_HZ = 48_000
PROGRAMME, MODEL = Path("inbox", "programme.aac"), "converted"


def make_programme(path: Path, minutes: int) -> None:
    """Write synthetic speech with pauses as AAC in 48 kHz stereo: two minutes, repeated."""
    import random

    import av
    import soxr

    from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, speak
    from local.demo.synthesis.voices import VoiceSet, random_voice

    rng = random.Random(0)
    text = "The council has voted for a new bridge over the river, and the work is to begin in the spring."
    pieces: list[np.ndarray] = []
    while sum(map(len, pieces)) < 120 * RATE_HZ:
        spoken = soxr.resample(speak(text, random_voice(VoiceSet.BASE_TRAINING, rng)), ESPEAK_RATE_HZ, RATE_HZ)
        pieces += [spoken, np.zeros(int(rng.uniform(0.3, 1.5) * RATE_HZ), dtype=np.float32)]
    samples = np.concatenate(pieces)[: 120 * RATE_HZ].reshape(-1, RATE_HZ)  # (n_seconds, RATE_HZ)
    part = path.with_suffix(".part")
    with av.open(part, "w", format="adts") as container:
        stream = container.add_stream("aac", rate=RATE_HZ, layout="stereo")
        for second in samples:
            frame = av.AudioFrame.from_ndarray(np.stack([second, second]), format="fltp", layout="stereo")
            frame.sample_rate = RATE_HZ
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    encoded = part.read_bytes()
    with path.open("wb") as sink:
        for _ in range(minutes // 2):
            sink.write(encoded)  # ADTS streams can be concatenated
    part.unlink()


def airscript(media: Path, model: Path, diarizer: str = "") -> None:
    """The steps of a night; with a diarizer, diarization runs in parallel with recognition."""
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # as `tasks.command` sets it
    with tempfile.TemporaryDirectory() as folder, without_gap_check():
        recognised, published = night_steps.transcribe(media.parent, Path(folder), model, diarizer)
    assert not recognised.counts["suspect"], "the peers do not decode suspect chunks again"
    assert sum(published.counts.values()) == 1


def faster_whisper(media: Path, model: Path, word_times: bool) -> list[Segment]:
    """faster-whisper's batched pipeline with its defaults, without the download."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    whisper = WhisperModel(str(model), device="cpu", compute_type="int8", local_files_only=True)
    segments, _ = BatchedInferencePipeline(whisper).transcribe(str(media), word_timestamps=word_times, batch_size=8)
    return list(segments)


def in_sequence(media: Path, model: Path, aligner: Path, diarizer: str = "") -> object:
    """WhisperX's sequence from the same parts: transcribe all, then align all with a CTC model, then, with a diarizer,
    diarize all."""
    from faster_whisper.audio import decode_audio

    from tasks.recognition import beam
    from tasks.recognition.ctc import CtcEngine

    segments = faster_whisper(media, model, word_times=False)
    audio, ctc = decode_audio(str(media)), CtcEngine(aligner, "cpu")
    found = []
    for segment in segments:
        samples = audio[int(segment.start * SAMPLE_RATE_HZ) : int(segment.end * SAMPLE_RATE_HZ)]
        (log_posteriors,) = ctc.log_posteriors(ctc.log_mel([samples]))
        text = [1 + ord(c) % 30 for c in segment.text]
        kept = [a for a, b in pairwise([*text, 0]) if a != b]  # about as many symbols as letters; which does not matter
        found += beam.align([log_posteriors], [kept], ctc.blank)
    return found, diarize(audio, diarizer) if diarizer else None


def diarize(audio: np.ndarray, diarizer: str) -> object:
    """Diarize `(n_samples,)` at 16 kHz."""
    from tasks import diarization
    from tasks.diarization.diarizer import load_diarizer
    from tasks.transcripts.spans import Span

    reference = diarization.resolve(diarizer)
    with tempfile.TemporaryDirectory() as folder:
        loaded = load_diarizer(diarization.fetch(reference, Path(folder)), reference.version)
    return loaded.diarize(lambda start_ms, end_ms: audio[16 * start_ms : 16 * end_ms], [Span(0, len(audio) // 16)])


@contextlib.contextmanager
def without_gap_check() -> Iterator[None]:
    """Disable the quality gate's check for skipped speech: with random attention, word times are arbitrary."""
    with mock.patch("tasks.night.decoding.uncovered", return_value=()):
        yield


def contenders(folder: Path) -> dict[str, Callable[[], object]]:
    """The contenders, on the programme and the model that `measure` has written to `folder`."""
    media, model = folder / PROGRAMME, folder / MODEL
    return {
        "airscript, from the file to nine formats": partial(airscript, media, model),
        PEER: partial(faster_whisper, media, model, word_times=False),
        "faster-whisper batched, with word times": partial(faster_whisper, media, model, word_times=True),
        "transcribe, then align (as WhisperX does)": partial(in_sequence, media, model, BASE),
        "airscript, with speakers": partial(airscript, media, model, EMBEDDED),
        "transcribe, then align, then diarize": partial(in_sequence, media, model, BASE, EMBEDDED),
    }


def run_in_new_process(folder: Path, name: str) -> None:
    """Run a contender once. Raises `RuntimeError` if it fails."""
    process = get_context("spawn").Process(target=run_contender, args=(folder, name))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{name}: failed with {process.exitcode}")


def run_contender(folder: Path, name: str) -> None:
    contenders(folder)[name]()


def measure() -> Report:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / PROGRAMME).parent.mkdir()
        make_programme(folder / PROGRAMME, MINUTES)
        dummy_whisper.save(folder / "whisper", dummy_whisper.SMALL)
        os.environ["AIRSCRIPT_MODEL_CACHE"] = str(folder / "cache")
        from tasks.models.whisper.ctranslate2_folder import servable_folder

        (folder / MODEL).symlink_to(servable_folder(folder / "whisper"))
        rows = time_interleaved(
            {name: partial(run_in_new_process, folder, name) for name in contenders(folder)},
            PEER,
            60 * MINUTES,
            REPEATS,
            warm_up=0,
        )
    return make_report(
        "transcription",
        f"one programme of {MINUTES} minutes, AAC; Whisper {dummy_whisper.SMALL.name} of random weights, int8, beam 5",
        "x real time",
        PEER,
        ("faster-whisper", "ctranslate2", "av", "transformers", "torch"),
        rows,
        [
            f"random weights that emit {dummy_whisper.N_WORDS} words in every window: for speed only",
            "diarization only where stated, with the embedded diarizer on both sides",
            "without the quality gate's check for skipped speech: with random attention, word times are arbitrary",
        ],
    )


if __name__ == "__main__":
    run(__doc__ or "", measure)
