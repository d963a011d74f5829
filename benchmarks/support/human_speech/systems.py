"""The recognisers: the night's own steps, faster-whisper in its ways, and whisper.cpp with `pywhispercpp`.

    python -m benchmarks.support.human_speech.systems SYSTEM --inbox DIR --model DIR --output FILE

Each runs in its own process, over all media of the inbox, with the same weights, int8 and beam 5; the languages are
detected. `--output` gets a JSON line for each programme.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tasks.contract import Frozen

if TYPE_CHECKING:
    from faster_whisper.transcribe import Segment

BEAM_SIZE = 5
BATCH_SIZE = 8


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

    from benchmarks.support.human_speech.ggml import write_ggml
    from tasks.media.decoding.reader import load_audio

    with tempfile.TemporaryDirectory() as folder:
        write_ggml(model, Path(folder, "model.bin"))
        whisper = Model(
            str(Path(folder, "model.bin")),
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


PRODUCT, BATCHED, BATCHED_TEXT, SEQUENTIAL, WHISPER_CPP = (
    "airscript",
    "batched",
    "batched, text",
    "sequential",
    "whisper.cpp",
)
SYSTEMS: dict[str, Callable[[Path, Path], Iterator[Hypothesis]]] = {
    PRODUCT: product,
    BATCHED: batched,
    BATCHED_TEXT: partial(batched, word_times=False),
    SEQUENTIAL: sequential,
} | ({WHISPER_CPP: whisper_cpp} if find_spec("pywhispercpp") else {})


def main(
    system: Annotated[str, typer.Argument(help=", ".join(SYSTEMS))],
    inbox: Annotated[Path, typer.Option(help="folder of media")],
    model: Annotated[Path, typer.Option(help="folder of a Whisper in CTranslate2's format")],
    output: Annotated[Path, typer.Option(help="file for the transcripts, one JSON line each")],
) -> None:
    with output.open("w") as sink:
        for hypothesis in SYSTEMS[system](inbox, model):
            sink.write(hypothesis.model_dump_json() + "\n")
            sink.flush()


if __name__ == "__main__":
    typer.run(main)
