"""The recognisers: the night's own steps, and faster-whisper in its two ways.

    python -m benchmarks.support.human_speech.systems SYSTEM --inbox DIR --model DIR --output FILE

Each runs in its own process, over all media of the inbox, with the same weights, int8 and beam 5; the languages are
detected. `--output` gets a JSON line for each programme.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from tasks.contract import Frozen

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
        night_steps.transcribe(inbox, Path(folder), _with_preprocessor(model, Path(folder)))
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


def _with_preprocessor(model: Path, folder: Path) -> Path:
    """The model with the description of its features, which the engine asks for and Systran's folders do not have."""
    if (model / "preprocessor_config.json").exists():
        return model
    completed = folder / model.name
    completed.mkdir()
    for file in model.iterdir():
        (completed / file.name).symlink_to(file)
    (completed / "preprocessor_config.json").write_text('{"feature_size": 80, "sampling_rate": 16000}')
    return completed


def batched(inbox: Path, model: Path) -> Iterator[Hypothesis]:
    """faster-whisper's batched pipeline with its defaults, with word times."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    pipeline = BatchedInferencePipeline(WhisperModel(str(model), device="cpu", compute_type="int8"))
    for media in sorted(inbox.iterdir()):
        segments, info = pipeline.transcribe(
            str(media), beam_size=BEAM_SIZE, batch_size=BATCH_SIZE, word_timestamps=True
        )
        yield _hypothesis(media, segments, info.language)


def sequential(inbox: Path, model: Path) -> Iterator[Hypothesis]:
    """faster-whisper's sequential decoding with its defaults and its voice activity detection, with word times."""
    from faster_whisper import WhisperModel

    whisper = WhisperModel(str(model), device="cpu", compute_type="int8")
    for media in sorted(inbox.iterdir()):
        segments, info = whisper.transcribe(str(media), beam_size=BEAM_SIZE, vad_filter=True, word_timestamps=True)
        yield _hypothesis(media, segments, info.language)


def _hypothesis(media: Path, segments: object, language: str) -> Hypothesis:
    words = tuple(
        HeardWord(text=word.word.strip(), start_ms=round(1000 * word.start), end_ms=round(1000 * word.end))
        for segment in segments  # type: ignore[attr-defined]
        for word in segment.words or ()
    )
    return Hypothesis(programme=media.stem, words=words, language=language)


PRODUCT, BATCHED, SEQUENTIAL = "airscript", "batched", "sequential"
SYSTEMS: dict[str, Callable[[Path, Path], Iterator[Hypothesis]]] = {
    PRODUCT: product,
    BATCHED: batched,
    SEQUENTIAL: sequential,
}


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
