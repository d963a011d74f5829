"""A step that was killed resumes where it stopped."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from tasks import storage
from tasks.contract import Artifact, Reason
from tasks.media.container.tracks import TrackPolicy
from tasks.media.decoding.isolated import IsolatedDecoder
from tasks.night.audio_extraction import ExtractedAudio, extract_audio
from tasks.night.kept_outputs import KeptOutputs
from tasks.night.records import PREPARED, Batch, Preparation, RecognisedProgramme, SpeechSpan, words_name
from tasks.night.steps import prepare, recognise
from tasks.progress import no_progress
from tasks.recognition import RecognisedWord, Recognition
from tasks.step import StepContext
from tasks.storage.records import read_lines, read_one
from tasks.transcripts.document import WordTiming
from tests.tasks.night.builders import PIPELINE, arrival, preparation
from tests.tasks.night.media import wav
from tests.tasks.night.results import write_result


class Killed(BaseException):
    """Stands for kill -9."""


def context(root: str, scratch: Path, attempt: str) -> StepContext:
    place = scratch / attempt
    place.mkdir(parents=True)
    return StepContext(prefix=storage.join(root, "work", "key"), attempt=attempt, scratch=place, progress=no_progress)


def test_the_first_kept_output_wins(storage_root: str, tmp_path: Path) -> None:
    first, second = (KeptOutputs(context(storage_root, tmp_path, name)) for name in ("a", "b"))
    assert second.find("words.json") == ""
    first.keep("words.json", b"first")
    second.keep("words.json", b"other")
    assert storage.read_bytes(second.find("words.json")) == b"first"
    assert second.context.outputs == first.context.outputs
    assert isinstance(first.context.outputs["words.json"], Artifact)


def test_prepare_decodes_nothing_twice(storage_root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    inbox = storage.join(storage_root, "inbox")
    arrivals = []
    for name in ("a", "b", "c"):
        uri = storage.join(inbox, f"{name}.wav")
        storage.write(uri, wav(rng.normal(0, 0.01, 16_000)) if name != "b" else b"no media")
        arrivals.append(arrival(name, uri=uri).model_copy(update={"etag": storage.info(uri).etag}))
    batch = Batch(pipeline=PIPELINE, transcripts=storage.join(storage_root, "transcripts"), programmes=tuple(arrivals))
    batch_uri = storage.join(storage_root, "batch.json")
    storage.write(batch_uri, batch.model_dump_json().encode())
    arguments = prepare.PrepareMedia(output=storage.join(storage_root, "work"), batch=batch_uri, workers=1)
    decoded: list[str] = []

    def extract(
        media: Path, flac: Path, stop: threading.Event, decoder: IsolatedDecoder, tracks: TrackPolicy
    ) -> ExtractedAudio:
        if len(decoded) == 2:
            decoded.append("killed")
            raise Killed
        decoded.append(media.name[-5:])
        return extract_audio(media, flac, stop, decoder, tracks)

    monkeypatch.setattr(prepare, "extract_audio", extract)
    with pytest.raises(Killed):
        prepare.run(arguments, context(storage_root, tmp_path, "first"))
    again = context(storage_root, tmp_path, "second")
    output = prepare.run(arguments, again)
    assert decoded == ["a.wav", "b.wav", "killed", "c.wav"]
    assert output.counts["programmes"] == 3
    found = list(read_lines(Preparation, storage.join(again.prefix, again.outputs[PREPARED].path)))
    assert [p.arrival.programme for p in found] == ["a", "b", "c"]
    assert found[1].reason in (Reason.NOT_MEDIA, Reason.DAMAGED)
    for name, artifact in again.outputs.items():
        assert storage.digest(storage.join(again.prefix, artifact.path)) == artifact.sha256, name
    assert {p.audio for p in found if p.has_audio} <= set(again.outputs)


@pytest.mark.parametrize("storage_root", ["s3"], indirect=True)
def test_a_file_too_large_for_scratch_does_not_affect_others(
    storage_root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"large": 400_000, "small": 16_000}
    arrivals = []
    for name, n_samples in sizes.items():
        uri = storage.join(storage_root, "inbox", f"{name}.wav")
        storage.write(uri, wav(np.zeros(n_samples)))
        arrivals.append(arrival(name, n_samples, uri=uri).model_copy(update={"etag": storage.info(uri).etag}))
    batch = Batch(pipeline=PIPELINE, transcripts=storage.join(storage_root, "transcripts"), programmes=tuple(arrivals))
    batch_uri = storage.join(storage_root, "batch.json")
    storage.write(batch_uri, batch.model_dump_json().encode())
    arguments = prepare.PrepareMedia(output=storage.join(storage_root, "work"), batch=batch_uri, workers=1)
    monkeypatch.setattr("tasks.storage.scratch.free_bytes", lambda folder: 500_000)
    made = context(storage_root, tmp_path, "first")
    output = prepare.run(arguments, made)
    large, small = read_lines(Preparation, storage.join(made.prefix, made.outputs[PREPARED].path))
    assert (large.reason, small.outcome.is_done) == (Reason.DISK_FULL, True)
    assert large.detail == "needs 0.0 GB, but only 0.0 GB are free (give the step a larger scratch volume)"
    assert output.n_retryable == 1


class LengthEngine:
    """An engine whose word for a chunk is its length, and that dies at the n-th call."""

    detects_languages, batch_s = False, 3.0  # one programme a call
    name, max_chunk_s, join_pause_s, has_fixed_window = "parrot", 30.0, 0.6, False

    def __init__(self, dies_at: int) -> None:
        self.dies_at, self.n_calls, self.n_chunks = dies_at, 0, 0

    def detect_languages(self, chunks: object) -> list[dict[str, float]]:
        raise AssertionError("this engine detects no languages")

    def recognise(self, chunks: list[np.ndarray], hints: object = None, fallback: bool = False) -> list[Recognition]:
        self.n_calls += 1
        if self.n_calls == self.dies_at:
            raise Killed
        self.n_chunks += len(chunks)
        return [
            Recognition(
                (RecognisedWord(f"{len(c)}", 0, len(c) // 16, 0.9, WordTiming.CTC),), "de" if len(c) > 30_000 else "en"
            )
            for c in chunks
        ]


def test_recognise_decodes_nothing_twice(storage_root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    speech = (SpeechSpan(start_ms=0, end_ms=1_000), SpeechSpan(start_ms=2_000, end_ms=4_500))
    preparations = [preparation(name, duration_ms=5_000, speech=speech) for name in ("a", "b", "c")]
    silent = preparation("silent", speech=())
    audio = {p.audio: wav(np.zeros(80_000), "FLAC") for p in [*preparations, silent]}
    lines = b"".join(p.model_dump_json().encode() + b"\n" for p in [*preparations, silent])
    prepared = write_result(storage.join(storage_root, "prepared"), "prepare-media", {PREPARED: lines} | audio)
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    arguments = recognise.Recognise(output=storage.join(storage_root, "work"), prepared=prepared, model=str(model))
    engine = LengthEngine(dies_at=3)
    monkeypatch.setattr("tasks.night.steps.recognise.load_engine", lambda folder: engine)

    with pytest.raises(Killed):
        recognise.run(arguments, context(storage_root, tmp_path, "first"))
    assert engine.n_chunks == 4
    again = context(storage_root, tmp_path, "second")
    output = recognise.run(arguments, again)
    assert engine.n_chunks == 6
    assert output.counts == {"programmes": 4, "failed": 0, "words": 6, "chunks": 6, "suspect": 0}
    for p in preparations:
        found = read_one(RecognisedProgramme, storage.join(again.prefix, again.outputs[words_name(p.arrival.id)].path))
        # Each word at its place in the programme; the language of most of the speech.
        assert [(w.text, w.start_ms, w.end_ms) for w in found.words] == [("16000", 0, 1_000), ("40000", 2_000, 4_500)]
        assert (found.language, found.engine, found.covered_ms) == ("de", "parrot", 3_500)
