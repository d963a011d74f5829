"""The recognise step, with programmes that cause faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tasks import storage
from tasks.contract import STEPS, Outcome, Receipt, Status, StepError
from tasks.night.records import PREPARED, Preparation, RecognisedProgramme, SpeechSpan, words_name
from tasks.night.transcript_building import build_transcript
from tasks.progress import no_progress
from tasks.recognition import RecognisedWord, Recognition
from tasks.step import load_result, output_uri, run_step
from tasks.storage.records import read_one, to_lines
from tasks.transcripts.document import WordTiming
from tests.tasks.night.builders import PIPELINE, preparation
from tests.tasks.night.media import wav
from tests.tasks.night.results import write_result

POISON_MS = 3_000


class Brittle:
    """An engine that fails on chunks of one length and takes all programmes in one call."""

    detects_languages, batch_s = False, 600.0
    name, max_chunk_s, join_pause_s, has_fixed_window = "brittle", 30.0, 0.6, False

    def __init__(self) -> None:
        self.poison_ms, self.n_chunks = POISON_MS, 0

    def recognise(self, chunks: list[np.ndarray], hints: object = None, fallback: bool = False) -> list[Recognition]:
        if any(len(chunk) == 16 * self.poison_ms for chunk in chunks):
            raise RuntimeError("a bug of ours")
        self.n_chunks += len(chunks)
        return [Recognition((RecognisedWord("word", 0, len(c) // 16, 0.9, WordTiming.CTC),)) for c in chunks]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Brittle:
    engine = Brittle()
    monkeypatch.setattr("tasks.night.steps.recognise.load_engine", lambda folder: engine)
    return engine


def spoken(name: str, speech_ms: int) -> Preparation:
    return preparation(name, duration_ms=5_000, speech=(SpeechSpan(start_ms=500, end_ms=500 + speech_ms),))


def recognise(
    root: str, tmp_path: Path, *programmes: Preparation, unreadable: str = "", language: str = "auto"
) -> Receipt:
    audio = {p.audio: wav(np.zeros(80_000), "FLAC") for p in programmes if p.has_audio}
    audio |= {p.audio: b"no audio" for p in programmes if p.arrival.programme == unreadable}
    prepared = write_result(storage.join(root, "prepared"), "prepare-media", {PREPARED: to_lines(programmes)} | audio)
    model = tmp_path / "model"
    model.mkdir(exist_ok=True)
    (model / "config.json").write_text("{}")
    definition = STEPS["recognise"]
    output = storage.join(root, "work")
    arguments = definition.arguments(output=output, prepared=prepared, model=str(model), language=language)
    return run_step(definition, arguments, no_progress)


def outcome(receipt: Receipt, programme: Preparation) -> tuple[Outcome, int]:
    uri = output_uri(receipt.result, load_result(receipt.result), words_name(programme.arrival.id))
    found = read_one(RecognisedProgramme, uri)
    return found.outcome, len(found.words)


def test_a_fault_of_one_programme_does_not_affect_others(storage_root: str, tmp_path: Path, engine: Brittle) -> None:
    programmes = [spoken("a", 1_000), spoken("poison", POISON_MS), spoken("b", 2_000), spoken("silent", 0)]
    programmes[3] = programmes[3].model_copy(update={"speech": ()})
    receipt = recognise(storage_root, tmp_path, *programmes)
    done = [(Outcome.DONE, 1), (Outcome.FAILED, 0), (Outcome.DONE, 1), (Outcome.DONE, 0)]
    assert [outcome(receipt, p) for p in programmes] == done
    assert receipt.counts["failed"] == 1
    assert receipt.warnings == ("poison: not recognised: RuntimeError: a bug of ours",)
    # After the fix only the failed programme is decoded again.
    engine.poison_ms, engine.n_chunks = 0, 0
    again = recognise(storage_root, tmp_path, *programmes)
    assert (again.status, engine.n_chunks) == (Status.DONE, 1)
    assert outcome(again, programmes[1]) == (Outcome.DONE, 1)
    assert recognise(storage_root, tmp_path, *programmes).status is Status.CACHED


def test_unreadable_audio_does_not_affect_other_programmes(storage_root: str, tmp_path: Path, engine: Brittle) -> None:
    programmes = [spoken("a", 1_000), spoken("torn", 1_000), spoken("b", 1_000)]
    receipt = recognise(storage_root, tmp_path, *programmes, unreadable="torn")
    assert [outcome(receipt, p)[0].is_done for p in programmes] == [True, False, True]


def test_a_fault_of_every_programme_fails_the_step(storage_root: str, tmp_path: Path, engine: Brittle) -> None:
    with pytest.raises(StepError, match="none of 2 programmes: RuntimeError: a bug of ours"):
        recognise(storage_root, tmp_path, spoken("a", POISON_MS), spoken("b", POISON_MS))


class Polyglot(Brittle):
    """An engine that detects English everywhere and decodes in the language of the hints."""

    detects_languages = True

    def detect_languages(self, chunks: list[np.ndarray]) -> list[dict[str, float]]:
        return [{"en": 1.0} for _ in chunks]

    def recognise(self, chunks: list[np.ndarray], hints: object = None, fallback: bool = False) -> list[Recognition]:
        found = super().recognise(chunks, hints, fallback)
        return [Recognition(r.words, hint.language) for r, hint in zip(found, hints, strict=True)]  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("tells", "given", "found"),
    [(True, "auto", "en"), (True, "de", "de"), (False, "auto", "en"), (False, "de-AT", "de-AT")],
)
def test_a_requested_language_wins_over_the_detected_one(
    storage_root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tells: bool, given: str, found: str
) -> None:
    monkeypatch.setattr("tasks.night.steps.recognise.load_engine", lambda folder: Polyglot() if tells else Brittle())
    news = spoken("news", 1_000)
    receipt = recognise(storage_root, tmp_path, news, language=given)
    uri = output_uri(receipt.result, load_result(receipt.result), words_name(news.arrival.id))
    assert read_one(RecognisedProgramme, uri).language == found


@pytest.mark.parametrize(("given", "found"), [("auto", None), ("de", "de")])
@pytest.mark.parametrize("speech", [(), (SpeechSpan(start_ms=0, end_ms=1_000),)])
def test_a_programme_without_words_has_no_language(
    storage_root: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    speech: tuple[SpeechSpan, ...],
    given: str,
    found: str | None,
) -> None:
    monkeypatch.setattr(Brittle, "recognise", lambda self, chunks, *others: [Recognition(()) for _ in chunks])
    monkeypatch.setattr("tasks.night.steps.recognise.load_engine", lambda folder: Brittle())
    silent = spoken("silent", 1_000).model_copy(update={"speech": speech})
    receipt = recognise(storage_root, tmp_path, silent, language=given)
    uri = output_uri(receipt.result, load_result(receipt.result), words_name(silent.arrival.id))
    recognised = read_one(RecognisedProgramme, uri)
    assert recognised.language == found
    assert build_transcript(silent, recognised, PIPELINE, "0.1.0").language == (found or "und")
