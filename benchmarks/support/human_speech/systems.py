"""The recognisers: the night's own steps, faster-whisper in its ways, and, where they are installed, whisper.cpp and
sherpa-onnx.

    python -m benchmarks.support.human_speech.systems SYSTEM --inbox DIR --model DIR --output FILE

Each runs in its own process, over all media of the inbox, with the same weights, int8 and beam 5 where there is a beam;
the languages are detected. `--model` is a folder in CTranslate2's format, or what `converted` makes of it for the
system. `--output` gets a JSON line for each programme.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import Frozen

if TYPE_CHECKING:
    from faster_whisper.transcribe import Segment

BEAM_SIZE = 5
BATCH_SIZE = 8
MAX_PIECE_SAMPLES = 28 * SAMPLE_RATE_HZ


class HeardWord(Frozen):
    """A recognised word. Times count from the start of the medium."""

    text: str
    start_ms: int
    end_ms: int


class Hypothesis(Frozen):
    """What a recogniser heard in a programme."""

    programme: str
    words: tuple[HeardWord, ...] = ()
    language: str | None = None
    warnings: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


def product(inbox: Path, model: Path) -> Iterator[Hypothesis]:
    """The steps of a night, from the files to the published transcripts, without speakers."""
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # as `tasks.command` sets it
    from benchmarks.support import night_steps
    from tasks.publishing.transcripts import MANIFEST_NAME, read_published_transcript

    with tempfile.TemporaryDirectory() as folder:
        night_steps.transcribe(inbox, Path(folder), model)
        for manifest in Path(folder, "transcripts").glob(f"*/*/{MANIFEST_NAME}"):
            _, transcript = read_published_transcript(manifest.as_uri())
            yield Hypothesis(
                programme=transcript.media.name,
                words=tuple(
                    HeardWord(text=word.text, start_ms=word.start_ms, end_ms=word.end_ms) for word in transcript.words
                ),
                language=transcript.language,
                warnings=tuple(f"{warning.code}: {warning.detail}" for warning in transcript.warnings),
            )


def batched(inbox: Path, model: Path, word_times: bool = True) -> Iterator[Hypothesis]:
    """faster-whisper's batched pipeline with its defaults."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    pipeline = BatchedInferencePipeline(WhisperModel(str(model), device="cpu", compute_type="int8"))
    for media in sorted(inbox.iterdir()):
        segments, info = pipeline.transcribe(
            str(media), beam_size=BEAM_SIZE, batch_size=BATCH_SIZE, word_timestamps=word_times
        )
        yield _hypothesis(media, segments, info.language)


def sequential(inbox: Path, model: Path) -> Iterator[Hypothesis]:
    """faster-whisper's sequential decoding with its defaults and its voice activity detection, with word times."""
    from faster_whisper import WhisperModel

    whisper = WhisperModel(str(model), device="cpu", compute_type="int8")
    for media in sorted(inbox.iterdir()):
        segments, info = whisper.transcribe(str(media), beam_size=BEAM_SIZE, vad_filter=True, word_timestamps=True)
        yield _hypothesis(media, segments, info.language)


def whisper_cpp(inbox: Path, model: Path) -> Iterator[Hypothesis]:
    """whisper.cpp with the same weights in 8 bits and its defaults, with word times.

    Its voice activity detection is off, as it is unless one gives it weights of its own.
    """
    from pywhispercpp.model import Model

    from tasks.media.decoding.reader import load_audio

    whisper = Model(
        str(model),
        params_sampling_strategy=1,  # beam search
        n_threads=len(os.sched_getaffinity(0)),
        print_progress=False,
        redirect_whispercpp_logs_to=None,
    )
    beam = {"beam_size": BEAM_SIZE, "patience": -1.0}
    for media in sorted(inbox.iterdir()):
        parts = whisper.transcribe(
            load_audio(media),
            language="auto",
            beam_search=beam,
            token_timestamps=True,
            max_len=1,
            split_on_word=True,
        )
        words = (HeardWord(text=part.text.strip(), start_ms=10 * part.t0, end_ms=10 * part.t1) for part in parts)
        yield Hypothesis(programme=media.stem, words=tuple(word for word in words if word.text))


def sherpa_onnx(inbox: Path, model: Path) -> Iterator[Hypothesis]:
    """sherpa-onnx with the same weights in 8 bits and its defaults: greedy, which is all that it offers for Whisper.

    It hears up to 30 s at a time: its own voice activity detection cuts the audio, as in its examples, with the weights
    in `silero-vad`, and what is still longer is cut after 28 s. It detects the language of each piece. Words have the
    times of their piece.
    """
    from sherpa_onnx import OfflineRecognizer

    from tasks.media.decoding.reader import load_audio

    recogniser = OfflineRecognizer.from_whisper(
        **{name: str(model / f"{name}.onnx") for name in ("encoder", "decoder")},
        tokens=str(model / "tokens.txt"),
        language="",
        num_threads=len(os.sched_getaffinity(0)),
    )
    for media in sorted(inbox.iterdir()):
        words, languages = [], []
        for start, samples in _pieces(load_audio(media)):
            stream = recogniser.create_stream()
            stream.accept_waveform(SAMPLE_RATE_HZ, samples)
            recogniser.decode_stream(stream)
            times = {"start_ms": start // 16, "end_ms": (start + len(samples)) // 16}
            words += [HeardWord(text=text, **times) for text in stream.result.text.split()]
            languages.append(stream.result.lang)
        yield Hypothesis(programme=media.stem, words=tuple(words), language=languages[0] if languages else None)


def _pieces(samples: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """The start and the samples of each piece of speech."""
    from sherpa_onnx import VadModelConfig, VoiceActivityDetector

    (package,) = find_spec("silero_vad").submodule_search_locations
    config = VadModelConfig()
    config.silero_vad.model = str(Path(package, "data", "silero_vad.onnx"))
    detector = VoiceActivityDetector(config, buffer_size_in_seconds=len(samples) / SAMPLE_RATE_HZ + 1)
    for start in range(0, len(samples), config.silero_vad.window_size):
        detector.accept_waveform(samples[start : start + config.silero_vad.window_size])
    detector.flush()
    while not detector.empty():
        spoken = np.asarray(detector.front.samples, dtype=np.float32)
        for start in range(0, len(spoken), MAX_PIECE_SAMPLES):
            yield detector.front.start + start, spoken[start : start + MAX_PIECE_SAMPLES]
        detector.pop()


def _hypothesis(media: Path, segments: Iterable[Segment], language: str) -> Hypothesis:
    words = tuple(
        HeardWord(text=text.strip(), start_ms=round(1000 * start_s), end_ms=round(1000 * end_s))
        for segment in segments
        for text, start_s, end_s in _timed_words(segment)
    )
    return Hypothesis(programme=media.stem, words=words, language=language)


def _timed_words(segment: Segment) -> list[tuple[str, float, float]]:
    """Text, start and end of each word; without word times, those of the segment."""
    if segment.words is None:
        return [(text, segment.start, segment.end) for text in segment.text.split()]
    return [(word.word, word.start, word.end) for word in segment.words]


PRODUCT, BATCHED, BATCHED_TEXT, SEQUENTIAL, WHISPER_CPP, SHERPA_ONNX = (
    "airscript",
    "batched",
    "batched, text",
    "sequential",
    "whisper.cpp",
    "sherpa-onnx",
)
SYSTEMS: dict[str, Callable[[Path, Path], Iterator[Hypothesis]]] = {
    PRODUCT: product,
    BATCHED: batched,
    BATCHED_TEXT: partial(batched, word_times=False),
    SEQUENTIAL: sequential,
}
if find_spec("pywhispercpp"):
    SYSTEMS[WHISPER_CPP] = whisper_cpp
if all(map(find_spec, ("sherpa_onnx", "silero_vad", "onnx"))):
    SYSTEMS[SHERPA_ONNX] = sherpa_onnx


def converted(system: str, model: Path, folder: Path) -> Path:
    """The model as the system loads it; another format than CTranslate2's is written to `folder`."""
    if system == WHISPER_CPP:
        from benchmarks.support.human_speech.ggml import write_ggml

        write_ggml(model, folder / "model.bin")
        return folder / "model.bin"
    if system == SHERPA_ONNX:
        from benchmarks.support.human_speech.sherpa import write_onnx

        write_onnx(model, folder)
        return folder
    return model


def main(
    system: Annotated[str, typer.Argument(help=", ".join(SYSTEMS))],
    inbox: Annotated[Path, typer.Option(help="folder of media")],
    model: Annotated[Path, typer.Option(help="the Whisper, as `converted` returns it")],
    output: Annotated[Path, typer.Option(help="file for the transcripts, one JSON line each")],
) -> None:
    with output.open("w") as sink:
        for hypothesis in SYSTEMS[system](inbox, model):
            sink.write(hypothesis.model_dump_json() + "\n")
            sink.flush()


if __name__ == "__main__":
    typer.run(main)
