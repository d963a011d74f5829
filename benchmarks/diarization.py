"""Diarization: the embedded diarizer's speed beside pyannote's own networks, and its errors on human speech.

Speed: half a minute of two synthetic voices on one core, each pipeline with its own configuration. pyannote's networks
(PyanNet and XVectorSincNet) have random weights, which take as long as trained ones.

Errors: every folder of `diarization/` below `AIRSCRIPT_SPEECH`, processed as in a night: voice activity detection, then
the diarizer. `--weights NAME=DIR` also scores other weights than the embedded ones.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.support.harness import (
    Report,
    argument_parser,
    make_report,
    print_and_save,
    processor_seconds,
    time_interleaved,
)
from tasks.audio import SAMPLE_RATE_HZ
from tasks.transcripts.spans import Span

if TYPE_CHECKING:
    from pyannote.core import Annotation, Timeline

    from tasks.diarization.diarizer import Diarizer

TALK_S = 30
REPEATS = 3
OURS, PEER = "airscript embedded", "pyannote PyanNet + XVectorSincNet"


@dataclass(frozen=True)
class Recording:
    """A talk, its reference turns, and the scored part (None: all of it)."""

    samples: np.ndarray
    reference: Annotation
    scored: Timeline | None


def measure(weights: dict[str, Path]) -> Report:
    import torch

    from tasks.diarization.diarizer import load_diarizer

    torch.set_num_threads(1)
    talk = dialogue(TALK_S)
    contenders: dict[str, Callable[[], object]] = {
        OURS: diarize_all(load_diarizer(weights[OURS], OURS), talk),
        PEER: diarize_all(pyannote_diarizer(), talk),
    }
    rows = time_interleaved(contenders, PEER, TALK_S, REPEATS, clock=processor_seconds)
    return make_report(
        "diarization",
        f"{TALK_S} s of two voices, one thread, processor seconds",
        "x real time",
        PEER,
        ("pyannote.audio", "pyannote.metrics", "torch"),
        rows,
        [line for name, folder in weights.items() for line in errors(name, folder)],
    )


def dialogue(seconds: float) -> np.ndarray:
    """Two synthetic voices in turns, `(n_samples,)` float32."""
    import soxr

    from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, speak
    from local.demo.synthesis.sentences import SentenceGenerator
    from local.demo.synthesis.voices import VoiceSet, random_voice

    rng = random.Random(1)
    voices, sentences = [random_voice(VoiceSet.CHANNEL_INBOX, rng) for _ in range(2)], SentenceGenerator(1)
    pieces, n_samples, turn = [], 0, 0
    while n_samples < seconds * SAMPLE_RATE_HZ:
        spoken = speak(f"{sentences.sentence()} {sentences.sentence()}", voices[turn % 2])
        pieces.append(soxr.resample(spoken, ESPEAK_RATE_HZ, SAMPLE_RATE_HZ))
        n_samples, turn = n_samples + len(pieces[-1]), turn + 1
    return np.concatenate(pieces)[: int(seconds * SAMPLE_RATE_HZ)]


def diarize_all(diarizer: Diarizer, samples: np.ndarray) -> Callable[[], object]:
    """A function that diarizes all of `samples`."""
    speech = [Span(0, len(samples) // 16)]
    return lambda: diarizer.diarize(lambda start_ms, end_ms: samples[start_ms * 16 : end_ms * 16], speech)


def pyannote_diarizer() -> Diarizer:
    """pyannote's pipeline with its own networks: windows of 10 s every second, as in its published models."""
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.embedding import XVectorSincNet
    from pyannote.audio.models.segmentation import PyanNet
    from pyannote.audio.pipelines import SpeakerDiarization

    from tasks.diarization.diarizer import Diarizer
    from tasks.diarization.embedded import NoPLDA

    segmentation = PyanNet(lstm={"num_layers": 4})
    segmentation.specifications = Specifications(
        problem=Problem.MONO_LABEL_CLASSIFICATION,
        resolution=Resolution.FRAME,
        duration=10.0,
        classes=["1", "2", "3"],
        powerset_max_classes=2,
        permutation_invariant=True,
    )
    segmentation.build()
    embedding = XVectorSincNet()
    embedding.specifications = Specifications(
        problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=10.0
    )
    pipeline = SpeakerDiarization(
        segmentation=segmentation, embedding=embedding, plda=NoPLDA(), clustering="AgglomerativeClustering"
    )
    clustering = {"method": "centroid", "threshold": 0.7, "min_cluster_size": 12}
    pipeline.instantiate({"clustering": clustering, "segmentation": {"min_duration_off": 0.0}})
    return Diarizer(pipeline, PEER, "cpu")


def errors(name: str, folder: Path) -> Iterator[str]:
    """The error rates on each folder of talks, one line each."""
    from tasks.diarization.diarizer import load_diarizer
    from training.scoring.speakers import annotation_of, diarization_errors

    speech = os.environ.get("AIRSCRIPT_SPEECH")
    if not speech:
        yield f"{name}: set AIRSCRIPT_SPEECH for error rates on human speech"
        return
    diarizer = load_diarizer(folder, name, "cpu")
    for talks in sorted((Path(speech) / "diarization").iterdir()):
        results = (
            (
                recording.reference,
                annotation_of(diarizer.diarize(reader(recording.samples), detect_speech(recording.samples)).turns),
                recording.scored,
            )
            for recording in recordings(talks)
        )
        yield f"{name}, {talks.name}: {diarization_errors(results)}"


def recordings(folder: Path) -> Iterator[Recording]:
    import soundfile

    from training.scoring.speakers import read_rttm, read_uem

    for path in sorted(folder.glob("*.rttm")):
        samples, _ = soundfile.read(path.with_suffix(".flac"), dtype="float32")
        uem = path.with_suffix(".uem")
        yield Recording(samples, read_rttm(path), read_uem(uem) if uem.exists() else None)


def reader(samples: np.ndarray) -> Callable[[int, int], np.ndarray]:
    return lambda start_ms, end_ms: samples[start_ms * 16 : end_ms * 16]


def detect_speech(samples: np.ndarray) -> list[Span]:
    """The speech segments found by the night's voice activity detection."""
    from tasks.media.speech_activity import speech_segments

    return [Span(segment.start_ms, segment.end_ms) for segment in speech_segments([samples])]


def main() -> None:
    from tasks.diarization.sources import WEIGHTS

    parser = argument_parser(__doc__ or "")
    parser.add_argument("--weights", action="append", default=[], metavar="NAME=DIR", help="score these too")
    options = parser.parse_args()
    others = (pair.partition("=") for pair in options.weights)
    result = measure({OURS: WEIGHTS} | {name: Path(folder) for name, _, folder in others})
    print_and_save(result, options.json)


if __name__ == "__main__":
    main()
