"""A programme from its file to published transcripts, beside faster-whisper transcribing it and nothing else, and with
speakers beside a sequence of the same parts: transcribe, align, diarize, one after another.

All contenders have the same weights (a Whisper of random weights that always says as much: see `parrot.py`), the same
audio, int8, and all cores; each loads its model anew.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from unittest import mock

import numpy as np

from benchmarks import night_steps, parrot
from benchmarks.measure import BASE, Report, race, report, run
from tasks.diarization import EMBEDDED

MINUTES = 4
REPEATS = 3
PEER = "faster-whisper batched, text alone"
RATE_HZ = 48_000


def make_programme(path: Path, minutes: int) -> None:
    """Synthetic voices that talk with pauses, as AAC in 48 kHz stereo: two minutes, repeated."""
    import random

    import av
    import soxr

    from training.synthesis.espeak import SAMPLE_RATE_HZ, speak
    from training.synthesis.voices import VoiceSet, random_voice

    rng = random.Random(0)
    text = "The council has voted for a new bridge over the river, and the work is to begin in the spring."
    said: list[np.ndarray] = []
    while sum(map(len, said)) < 120 * RATE_HZ:
        spoken = soxr.resample(speak(text, random_voice(VoiceSet.BASE_TRAINING, rng)), SAMPLE_RATE_HZ, RATE_HZ)
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


def airscript(media: Path, model: Path, diarizer: str = "") -> Callable[[], object]:
    """The steps of a night; with a diarizer, speakers are told apart beside recognition."""

    def transcribe() -> None:
        with tempfile.TemporaryDirectory() as folder:
            recognised, published = night_steps.transcribe(media.parent, Path(folder), model, diarizer)
            assert not recognised.counts["suspect"], "what is decoded again has no equal on the other side"
            assert sum(published.counts.values()) == 1

    return transcribe


def faster_whisper(media: Path, model: Path, word_times: bool) -> Callable[[], list[object]]:
    """Its batched pipeline as it comes, less the download."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    def transcribe() -> list[object]:
        whisper = WhisperModel(str(model), device="cpu", compute_type="int8", local_files_only=True)
        segments, _ = BatchedInferencePipeline(whisper).transcribe(str(media), word_timestamps=word_times, batch_size=8)
        return list(segments)

    return transcribe


def one_after_the_other(media: Path, model: Path, aligner: Path, diarizer: str = "") -> Callable[[], object]:
    """The sequence of WhisperX from the same parts: transcribe all of it, then align all of it with a CTC model, then
    tell speakers apart in all of it, if a diarizer is named, and give them to the words' segments."""
    from faster_whisper.audio import decode_audio

    from tasks import diarization
    from tasks.diarization.diarizer import load_diarizer
    from tasks.recognition import beam
    from tasks.recognition.ctc import CtcEngine
    from tasks.transcripts.spans import Span

    transcribe = faster_whisper(media, model, word_times=False)

    def sequence() -> object:
        segments = transcribe()
        audio, ctc = decode_audio(str(media)), CtcEngine(aligner, "cpu")
        found = []
        for segment in segments:
            samples = audio[int(segment.start * 16_000) : int(segment.end * 16_000)]  # type: ignore[attr-defined]
            (log_posteriors,) = ctc.log_posteriors(ctc.log_mel([samples]))
            text = [1 + ord(c) % 30 for c in segment.text]  # type: ignore[attr-defined]
            kept = [a for a, b in pairwise([*text, 0]) if a != b]  # as many symbols as letters, whichever they are
            found += beam.align([log_posteriors], [kept], ctc.blank)
        if not diarizer:
            return found
        reference = diarization.resolve(diarizer)
        with tempfile.TemporaryDirectory() as folder:
            told_apart = load_diarizer(diarization.fetch(reference, Path(folder)), reference.version).diarize(
                lambda start_ms, end_ms: audio[16 * start_ms : 16 * end_ms], [Span(0, len(audio) // 16)]
            )
        return found, told_apart

    return sequence


@contextlib.contextmanager
def trusting() -> Iterator[None]:
    """Random attention puts words anywhere, which the gate takes for speech passed over: that sign is not looked at."""
    with mock.patch("tasks.night.hearing.longest_passed_over_ms", return_value=0):
        yield


def measure() -> Report:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["AIRSCRIPT_MODEL_CACHE"] = str(folder / "cache")
        media = folder / "inbox" / "programme.aac"
        media.parent.mkdir()
        make_programme(media, MINUTES)
        parrot.save(folder / "whisper", parrot.SMALL)
        from tasks.recognition.whisper import converted

        model = converted(folder / "whisper")
        contenders = {
            "airscript, from the file to nine formats": airscript(media, model),
            PEER: faster_whisper(media, model, word_times=False),
            "faster-whisper batched, with word times": faster_whisper(media, model, word_times=True),
            "transcribe, then align (as WhisperX does)": one_after_the_other(media, model, BASE),
            "airscript, with speakers": airscript(media, model, EMBEDDED),
            "transcribe, then align, then diarize": one_after_the_other(media, model, BASE, EMBEDDED),
        }
        with trusting():
            rows = race(contenders, PEER, 60 * MINUTES, REPEATS)
    return report(
        "transcription",
        f"one programme of {MINUTES} minutes, AAC; Whisper {parrot.SMALL.name} of random weights, int8, beam 5",
        "x real time",
        PEER,
        ("faster-whisper", "ctranslate2", "av", "transformers", "torch"),
        rows,
        [
            f"random weights that say {parrot.N_WORDS} words in every window: for speed only",
            "speakers are told apart only where it says so, by the embedded diarizer on both sides",
            "of the quality gate one sign, speech passed over, is not looked at: random attention puts words anywhere",
        ],
    )


if __name__ == "__main__":
    run(__doc__ or "", measure)
