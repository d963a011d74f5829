"""A programme from its file to published transcripts, beside faster-whisper transcribing it and nothing else, and with
speakers beside a sequence of the same parts: transcribe, align, diarize, one after another.

All contenders have the same weights (a Whisper of random weights that always says as much: see `dummy_whisper.py`), the same
audio, int8, and all cores. Each is a fresh process every time, as a script or a pod is: Python, its libraries and its
models are loaded anew.
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
from benchmarks.support.harness import BASE, Report, race, report, run
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
    """Synthetic voices that talk with pauses, as AAC in 48 kHz stereo: two minutes, repeated."""
    import random

    import av
    import soxr

    from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, speak
    from local.demo.synthesis.voices import VoiceSet, random_voice

    rng = random.Random(0)
    text = "The council has voted for a new bridge over the river, and the work is to begin in the spring."
    said: list[np.ndarray] = []
    while sum(map(len, said)) < 120 * RATE_HZ:
        spoken = soxr.resample(speak(text, random_voice(VoiceSet.BASE_TRAINING, rng)), ESPEAK_RATE_HZ, RATE_HZ)
        said += [spoken, np.zeros(int(rng.uniform(0.3, 1.5) * RATE_HZ), dtype=np.float32)]
    samples = np.concatenate(said)[: 120 * RATE_HZ].reshape(-1, RATE_HZ)
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
            sink.write(encoded)  # frames of ADTS may follow each other as they like
    part.unlink()


def airscript(media: Path, model: Path, diarizer: str = "") -> None:
    """The steps of a night; with a diarizer, speakers are told apart beside recognition."""
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # as `tasks.command` has it
    with tempfile.TemporaryDirectory() as folder, trusting():
        recognised, published = night_steps.transcribe(media.parent, Path(folder), model, diarizer)
    assert not recognised.counts["suspect"], "what is decoded again has no equal on the other side"
    assert sum(published.counts.values()) == 1


def faster_whisper(media: Path, model: Path, word_times: bool) -> list[Segment]:
    """Its batched pipeline as it comes, less the download."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    whisper = WhisperModel(str(model), device="cpu", compute_type="int8", local_files_only=True)
    segments, _ = BatchedInferencePipeline(whisper).transcribe(str(media), word_timestamps=word_times, batch_size=8)
    return list(segments)


def one_after_the_other(media: Path, model: Path, aligner: Path, diarizer: str = "") -> object:
    """The sequence of WhisperX from the same parts: transcribe all of it, then align all of it with a CTC model, then
    tell speakers apart in all of it, if a diarizer is named."""
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
        kept = [a for a, b in pairwise([*text, 0]) if a != b]  # as many symbols as letters, whichever they are
        found += beam.align([log_posteriors], [kept], ctc.blank)
    return found, told_apart(audio, diarizer) if diarizer else None


def told_apart(audio: np.ndarray, diarizer: str) -> object:
    """The speakers of `(n_samples,)` at 16 kHz."""
    from tasks import diarization
    from tasks.diarization.diarizer import load_diarizer
    from tasks.transcripts.spans import Span

    reference = diarization.resolve(diarizer)
    with tempfile.TemporaryDirectory() as folder:
        loaded = load_diarizer(diarization.fetch(reference, Path(folder)), reference.version)
    return loaded.diarize(lambda start_ms, end_ms: audio[16 * start_ms : 16 * end_ms], [Span(0, len(audio) // 16)])


@contextlib.contextmanager
def trusting() -> Iterator[None]:
    """Random attention puts words anywhere, which the gate takes for speech passed over: that sign is not looked at."""
    with mock.patch("tasks.night.decoding.longest_uncovered_ms", return_value=0):
        yield


def contenders(folder: Path) -> dict[str, Callable[[], object]]:
    """Over the programme and the model that `measure` has put into `folder`."""
    media, model = folder / PROGRAMME, folder / MODEL
    return {
        "airscript, from the file to nine formats": partial(airscript, media, model),
        PEER: partial(faster_whisper, media, model, word_times=False),
        "faster-whisper batched, with word times": partial(faster_whisper, media, model, word_times=True),
        "transcribe, then align (as WhisperX does)": partial(one_after_the_other, media, model, BASE),
        "airscript, with speakers": partial(airscript, media, model, EMBEDDED),
        "transcribe, then align, then diarize": partial(one_after_the_other, media, model, BASE, EMBEDDED),
    }


def in_a_fresh_process(folder: Path, name: str) -> None:
    """One contender, once. Raises `RuntimeError` when it fails."""
    process = get_context("spawn").Process(target=compete, args=(folder, name))
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{name}: ended with {process.exitcode}")


def compete(folder: Path, name: str) -> None:
    contenders(folder)[name]()


def measure() -> Report:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / PROGRAMME).parent.mkdir()
        make_programme(folder / PROGRAMME, MINUTES)
        dummy_whisper.save(folder / "whisper", dummy_whisper.SMALL)
        os.environ["AIRSCRIPT_MODEL_CACHE"] = str(folder / "cache")
        from tasks.recognition.whisper import convert_to_ctranslate2

        (folder / MODEL).symlink_to(convert_to_ctranslate2(folder / "whisper"))
        rows = race(
            {name: partial(in_a_fresh_process, folder, name) for name in contenders(folder)},
            PEER,
            60 * MINUTES,
            REPEATS,
            warm_up=0,
        )
    return report(
        "transcription",
        f"one programme of {MINUTES} minutes, AAC; Whisper {dummy_whisper.SMALL.name} of random weights, int8, beam 5",
        "x real time",
        PEER,
        ("faster-whisper", "ctranslate2", "av", "transformers", "torch"),
        rows,
        [
            f"random weights that say {dummy_whisper.N_WORDS} words in every window: for speed only",
            "speakers are told apart only where it says so, by the embedded diarizer on both sides",
            "of the quality gate one sign, speech passed over, is not looked at: random attention puts words anywhere",
        ],
    )


if __name__ == "__main__":
    run(__doc__ or "", measure)
