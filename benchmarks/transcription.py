"""From a media file to published transcripts: beside faster-whisper, which only transcribes; with speakers, beside the
same parts in sequence: transcribe, align, diarize.

The programme is human speech, English, where `--speech` (`AIRSCRIPT_SPEECH`) gives some, else synthetic. All contenders
have the same trained Whisper, int8 and beam 5. Every run is a new process, like a script or a pod, so it includes
loading Python, the libraries and the models. The table has processor time: the product's diarization runs in parallel
with recognition, so that the clock, given below the table, shows more of it on an idle machine.
"""

from __future__ import annotations

import os
import random
import tempfile
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.support import night_steps
from benchmarks.support.harness import (
    BASE,
    Report,
    Usage,
    argument_parser,
    children_seconds,
    make_report,
    measure_process,
    model_folder,
    print_and_save,
    time_interleaved,
)
from tasks.audio import SAMPLE_RATE_HZ
from tasks.diarization import EMBEDDED

if TYPE_CHECKING:
    from faster_whisper.transcribe import Segment

MINUTES, REPEATS = 10, 2
SYNTHETIC_S, HUMAN_S = 120, 600  # what is repeated
RATE_HZ = 48_000
PEER = "faster-whisper batched, text"


def make_programme(path: Path, minutes: int, speech: Path | None = None) -> None:
    """Write speech with pauses as AAC in 48 kHz stereo: two minutes of synthetic speech, repeated, or ten of the human
    sentences in the folder `speech`, repeated."""
    import av

    seconds = min(60 * minutes, HUMAN_S if speech else SYNTHETIC_S)
    spoken = human_speech(speech, seconds) if speech else synthetic_speech(seconds)
    samples = spoken.reshape(-1, RATE_HZ)  # (n_seconds, RATE_HZ)
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
        for _ in range(60 * minutes // len(samples)):
            sink.write(encoded)  # ADTS streams can be concatenated
    part.unlink()


def synthetic_speech(seconds: int) -> np.ndarray:
    """`(n_samples,)` at 48 kHz."""
    import soxr

    from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, speak
    from local.demo.synthesis.voices import VoiceSet, random_voice

    rng = random.Random(0)
    text = "The council has voted for a new bridge over the river, and the work is to begin in the spring."
    pieces: list[np.ndarray] = []
    while sum(map(len, pieces)) < seconds * RATE_HZ:
        spoken = soxr.resample(speak(text, random_voice(VoiceSet.BASE_TRAINING, rng)), ESPEAK_RATE_HZ, RATE_HZ)
        pieces += [spoken, np.zeros(int(rng.uniform(0.3, 1.5) * RATE_HZ), dtype=np.float32)]
    return np.concatenate(pieces)[: seconds * RATE_HZ]


def human_speech(speech: Path, seconds: int) -> np.ndarray:
    """Sentences of several readers in turn, `(n_samples,)` at 48 kHz."""
    import soxr

    from benchmarks.support.human_speech.programmes import by_reader, read_manifest, scored_folders

    folders = scored_folders(read_manifest(speech))
    programmes = (
        programme.content.samples
        for folder, recordings in folders.items()
        if folder.startswith("sentences/")
        for programme in by_reader(folder, recordings, speech)
    )
    pieces: list[np.ndarray] = []
    for samples in programmes:
        pieces.append(samples)
        if sum(map(len, pieces)) >= seconds * SAMPLE_RATE_HZ:
            break
    read = np.resize(np.concatenate(pieces), seconds * SAMPLE_RATE_HZ)  # repeats what is too short
    return soxr.resample(read, SAMPLE_RATE_HZ, RATE_HZ)[: seconds * RATE_HZ]


def airscript(media: Path, model: Path, diarizer: str = "") -> None:
    """The steps of a night; with a diarizer, diarization runs in parallel with recognition."""
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # as `tasks.command` sets it
    with tempfile.TemporaryDirectory() as folder:
        _, published = night_steps.transcribe(media.parent, Path(folder), model, diarizer)
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


CONTENDERS: dict[str, Callable[[Path, Path], object]] = {
    "airscript": airscript,
    PEER: partial(faster_whisper, word_times=False),
    "faster-whisper batched": partial(faster_whisper, word_times=True),
    "transcribe, align": partial(in_sequence, aligner=BASE),
    "airscript, with speakers": partial(airscript, diarizer=EMBEDDED),
    "transcribe, align, diarize": partial(in_sequence, aligner=BASE, diarizer=EMBEDDED),
}
"""By name, called with the medium and the model. `transcribe, align` is what WhisperX does."""


def measure(options: Namespace) -> Report:
    kind = "human" if options.speech else "synthetic"
    peer = PEER if PEER in options.contenders else options.contenders[0]
    used: dict[str, list[Usage]] = {name: [] for name in options.contenders}
    with tempfile.TemporaryDirectory() as folder:
        media = Path(folder, "inbox", "programme.aac")
        media.parent.mkdir()
        make_programme(media, options.minutes, options.speech)

        def call(name: str) -> None:
            used[name].append(
                measure_process("-m", "benchmarks.transcription", "--run", name, str(media), str(options.model))
            )

        rows = time_interleaved(
            {name: partial(call, name) for name in used},
            peer,
            60 * options.minutes,
            options.repeats,
            clock=children_seconds,
            warm_up=0,
        )
    return make_report(
        "transcription",
        f"a programme of {options.minutes} minutes, AAC, {kind} speech; {options.model.name}, int8; processor time",
        "x real time of one core",
        peer,
        ("faster-whisper", "ctranslate2", "av", "transformers", "torch"),
        rows,
        ["diarization only where stated, with the embedded diarizer on both sides"],
        {f"{name}: MiB": max(one.peak_mib for one in runs) for name, runs in used.items()}
        | {f"{name}: s by the clock": min(one.wall_s for one in runs) for name, runs in used.items()},
    )


def main() -> None:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--model", type=model_folder, default="whisper-base", help="name in local.weights, or a folder")
    parser.add_argument("--minutes", type=int, default=MINUTES, help="length of the programme")
    parser.add_argument("--speech", type=Path, default=os.environ.get("AIRSCRIPT_SPEECH"), help="folder of speech")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), help="only these")
    parser.add_argument("--run", nargs=3, metavar=("NAME", "MEDIA", "MODEL"), help="run a contender once")
    options = parser.parse_args()
    if options.run:
        name, media, model = options.run
        CONTENDERS[name](Path(media), Path(model))
        return
    print_and_save(measure(options), options.json)


if __name__ == "__main__":
    main()
