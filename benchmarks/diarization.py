"""Diarization: speed and errors of the embedded diarizer, of one given in parts, and of pyannote's own pipeline.

The parts are segmentation-3.0 and CAM++ where `python -m local.weights` installed them. pyannote's pipeline has the
same two networks with the windows and the clustering of speaker-diarization-3.1; without trained weights, networks of
pyannote's with random ones, which take as long.

Speed: half a minute of two synthetic voices on one core, each pipeline with its own configuration.

Errors: every folder of `diarization/` below `AIRSCRIPT_SPEECH`, processed as in a night: voice activity detection, then
the diarizer. `--weights NAME=DIR` also scores the diarizer of another folder.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
OURS, PARTS = "airscript embedded", "airscript segmentation-3.0 + CAM++"
PEER, RANDOM_PEER = "pyannote segmentation-3.0 + CAM++", "pyannote PyanNet + XVectorSincNet"


@dataclass(frozen=True)
class Recording:
    """A talk, its reference turns, and the scored part (None: all of it)."""

    samples: np.ndarray
    reference: Annotation
    scored: Timeline | None


def measure(folders: dict[str, Path], trained: Path | None) -> Report:
    """`folders` are diarizers by name, `trained` the one whose networks pyannote's own pipeline gets."""
    import torch

    from tasks.diarization.diarizer import load_diarizer

    torch.set_num_threads(1)
    talk = dialogue(TALK_S)
    diarizers = {name: load_diarizer(folder, name, "cpu") for name, folder in folders.items()}
    peer = pyannote_diarizer(trained)
    contenders = {diarizer.name: diarize_all(diarizer, talk) for diarizer in (*diarizers.values(), peer)}
    rows = time_interleaved(contenders, peer.name, TALK_S, REPEATS, clock=processor_seconds)
    scored = [*diarizers.values(), *([peer] if trained else [])]
    return make_report(
        "diarization",
        f"{TALK_S} s of two voices, one thread, processor seconds",
        "x real time",
        peer.name,
        ("pyannote.audio", "pyannote.metrics", "torch"),
        rows,
        [line for diarizer in scored for line in errors(diarizer)],
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


def pyannote_diarizer(trained: Path | None, device: str = "cpu") -> Diarizer:
    """pyannote's pipeline as speaker-diarization-3.1 configures it: windows of 10 s every second."""
    from pyannote.audio.pipelines import SpeakerDiarization

    from tasks.diarization.diarizer import Diarizer
    from tasks.diarization.embedded import NoPLDA

    segmentation, embedding = trained_networks(trained) if trained else random_networks()
    pipeline = SpeakerDiarization(
        segmentation=segmentation,
        embedding=embedding,
        embedding_exclude_overlap=True,
        plda=NoPLDA(),
        clustering="AgglomerativeClustering",
    )
    clustering = {"method": "centroid", "threshold": 0.7045654963945799, "min_cluster_size": 12}
    pipeline.instantiate({"clustering": clustering, "segmentation": {"min_duration_off": 0.0}})
    return Diarizer(pipeline, PEER if trained else RANDOM_PEER, device)


def trained_networks(folder: Path) -> tuple[Any, Any]:
    """The two networks of a diarizer given in parts."""
    import yaml

    from tasks.diarization.parts.config import PartsConfig
    from tasks.diarization.parts.networks import load_embedding, load_segmentation

    parts = PartsConfig.model_validate(yaml.safe_load((folder / "config.yaml").read_text()))
    return load_segmentation(folder, parts.segmentation), load_embedding(folder, parts.embedding)


def random_networks() -> tuple[Any, Any]:
    """Networks of the sizes of pyannote's published ones."""
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.embedding import XVectorSincNet
    from pyannote.audio.models.segmentation import PyanNet

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
    return segmentation, embedding


def errors(diarizer: Diarizer) -> Iterator[str]:
    """The error rates on each folder of talks, one line each."""
    from training.scoring.speakers import annotation_of, diarization_errors

    speech = os.environ.get("AIRSCRIPT_SPEECH")
    if not speech:
        yield f"{diarizer.name}: set AIRSCRIPT_SPEECH for error rates on human speech"
        return
    for talks in sorted((Path(speech) / "diarization").iterdir()):
        results = (
            (
                recording.reference,
                annotation_of(diarizer.diarize(reader(recording.samples), detect_speech(recording.samples)).turns),
                recording.scored,
            )
            for recording in recordings(talks)
        )
        yield f"{diarizer.name}, {talks.name}: {diarization_errors(results)}"


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
    from local import weights
    from tasks.diarization.sources import WEIGHTS

    parser = argument_parser(__doc__ or "")
    parser.add_argument("--weights", action="append", default=[], metavar="NAME=DIR", help="score these too")
    options = parser.parse_args()
    others = (pair.partition("=") for pair in options.weights)
    trained = weights.folder("diarization")
    folders = {OURS: WEIGHTS} | ({PARTS: trained} if trained else {})
    result = measure(folders | {name: Path(folder) for name, _, folder in others}, trained)
    print_and_save(result, options.json)


if __name__ == "__main__":
    main()
