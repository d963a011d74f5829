"""The diarize step over prepared programmes, and publishing with its result."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tasks import storage
from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import STEPS, Outcome, Receipt, Status
from tasks.diarization import EMBEDDED, resolve
from tasks.diarization.diarizer import Diarization, Diarizer
from tasks.night.ledger import Ledger
from tasks.night.records import PREPARED, PUBLISHED, Batch, DiarizedProgramme, Preparation, turns_name
from tasks.night.steps.publish import DIARIZATION_FAILED
from tasks.progress import no_progress
from tasks.publishing.transcripts import MANIFEST_NAME, read_published_transcript
from tasks.reporting.records import Publication
from tasks.step import load_result, output_uri, run_step
from tasks.storage.records import read_lines, read_one, to_lines
from tasks.transcripts.document import WarningCode
from tasks.transcripts.spans import Turn
from tests.tasks.night.builders import PIPELINE, preparation, recognised
from tests.tasks.night.media import wav
from tests.tasks.night.results import prepared_and_recognised, write_result


def prepared(root: str, *preparations: Preparation) -> str:
    """A prepare-media result with a minute of noise for each programme."""
    noise = 0.05 * np.random.default_rng(1).standard_normal(20 * SAMPLE_RATE_HZ)
    outputs = {p.audio: wav(noise, "FLAC") for p in preparations if p.has_audio}
    return write_result(storage.join(root, "prepared"), "prepare-media", outputs | {PREPARED: to_lines(preparations)})


def diarize(root: str, prepared_uri: str) -> Receipt:
    definition = STEPS["diarize"]
    arguments = definition.arguments(output=storage.join(root, "work"), prepared=prepared_uri)
    return run_step(definition, arguments, no_progress)


def found(receipt: Receipt, programme: Preparation) -> DiarizedProgramme:
    uri = output_uri(receipt.result, load_result(receipt.result), turns_name(programme.arrival.id))
    return read_one(DiarizedProgramme, uri)


@pytest.fixture
def two_speakers(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """Replace the diarizer: it finds the same two speakers everywhere and fails at a given call. Returns its calls."""
    calls: list[str] = []

    def install(failing: str = "") -> list[str]:
        def answer(self: Diarizer, read: Callable[[int, int], np.ndarray], speech: object, hook: object) -> Diarization:
            calls.append(f"{len(read(0, 1_000))} samples")
            if failing and len(calls) == int(failing):
                raise RuntimeError("a bug that this programme brings to light")
            turns = (Turn(0, 2_400, "S1"), Turn(2_400, 20_000, "S2"))
            return Diarization(turns, turns)

        monkeypatch.setattr(Diarizer, "diarize", answer)
        return calls

    return install


def test_every_programme_is_diarized(storage_root: str) -> None:
    """With the real diarizer: in noise it finds no speaker or one."""
    news, silent = preparation("news"), preparation("silent", speech=(), outcome=Outcome.DONE_NO_SPEECH)
    twin = preparation("twin", same_as=news.arrival.id)
    receipt = diarize(storage_root, prepared(storage_root, news, silent, twin))
    assert receipt.counts["programmes"] == receipt.counts["done"] == 2
    assert receipt.labels["diarizer"] == resolve(EMBEDDED).version
    result = load_result(receipt.result)
    assert set(result.outputs) == {turns_name(p.arrival.id) for p in (news, silent)}
    assert found(receipt, silent).turns == ()
    assert found(receipt, news).diarizer == resolve(EMBEDDED).version
    assert diarize(storage_root, prepared(storage_root, news, silent, twin)).status is Status.CACHED


def test_a_fault_of_one_programme_does_not_affect_others(
    storage_root: str, two_speakers: Callable[..., list[str]]
) -> None:
    calls = two_speakers(failing="2")
    programmes = [preparation(name) for name in ("a", "b", "c")]
    receipt = diarize(storage_root, prepared(storage_root, *programmes))
    assert calls == ["16000 samples"] * 3
    assert receipt.counts == {"programmes": 3, "done": 2, "failed": 1, "speakers": 4, "turns": 4}
    (warning,) = receipt.warnings
    assert warning.startswith("b: not diarized: RuntimeError: a bug")
    assert [found(receipt, p).outcome for p in programmes] == [Outcome.DONE, Outcome.FAILED, Outcome.DONE]


def test_a_cleared_task_retries_the_failed_programme(storage_root: str, two_speakers: Callable[..., list[str]]) -> None:
    calls = two_speakers(failing="2")
    programmes = [preparation(name) for name in ("a", "b", "c")]
    uri = prepared(storage_root, *programmes)
    assert diarize(storage_root, uri).counts["failed"] == 1
    again = diarize(storage_root, uri)
    assert again.counts == {"programmes": 3, "done": 3, "failed": 0, "speakers": 6, "turns": 6}
    assert len(calls) == 4, "only the failed programme is diarized again"
    assert diarize(storage_root, uri).status is Status.CACHED


def test_a_second_attempt_uses_the_results_of_the_first(
    storage_root: str, two_speakers: Callable[..., list[str]]
) -> None:
    programmes = [preparation(name) for name in ("a", "b")]
    prepared_uri = prepared(storage_root, *programmes)
    calls = two_speakers()
    receipt = diarize(storage_root, prepared_uri)
    outputs = load_result(receipt.result).outputs
    storage.delete(receipt.result)  # as if it had been killed before its end
    assert load_result(diarize(storage_root, prepared_uri).result).outputs == outputs
    assert len(calls) == 2


# ---- publish ------------------------------------------------------------------------------------------------------


def publish(root: str, diarized: str, name: str = "news") -> tuple[Publication, object]:
    news = preparation(name)
    batch = Batch(pipeline=PIPELINE, transcripts=storage.join(root, "transcripts"), programmes=(news.arrival,))
    text = "good evening here is the news thank you very much and now the weather for tonight"
    arguments = prepared_and_recognised(root, batch, [news], [recognised(text, name)])
    definition = STEPS["publish"]
    receipt = run_step(
        definition,
        definition.arguments(output=storage.join(root, "work"), diarized=diarized, **arguments),
        no_progress,
    )
    (row,) = read_lines(Publication, output_uri(receipt.result, load_result(receipt.result), PUBLISHED))
    return row, read_published_transcript(storage.join(row.transcript, MANIFEST_NAME))[1]


def diarized(root: str, *turns: tuple[int, int, str], outcome: Outcome = Outcome.DONE, detail: str = "") -> str:
    arrival = preparation("news").arrival.id
    made = tuple(Turn(start_ms=start, end_ms=end, speaker=name) for start, end, name in turns)
    record = DiarizedProgramme(
        arrival=arrival, diarizer="embedded-1", outcome=outcome, detail=detail, turns=made, exclusive=made
    )
    folder = storage.join(root, f"diarized-{len(turns)}-{outcome}")
    return write_result(folder, "diarize", {turns_name(arrival): record.model_dump_json().encode()})


def test_words_have_speakers(storage_root: str) -> None:
    row, transcript = publish(storage_root, diarized(storage_root, (900, 4_000, "S1"), (4_000, 9_900, "S2")))
    assert row.speakers == 2
    assert [speaker.id for speaker in transcript.speakers] == ["S1", "S2"]
    by_speaker = {s: [w.text for w in transcript.words if w.speaker == s] for s in ("S1", "S2")}
    assert by_speaker["S1"] == ["Good", "evening", "here", "is", "the", "news"]
    assert len(by_speaker["S2"]) == 10
    assert transcript.provenance.diarizer == "embedded-1"
    codes = {warning.code for warning in transcript.warnings}
    assert not codes & {WarningCode.NO_SPEAKERS, WarningCode.SPEAKERS_DOUBTFUL}
    speakers_txt = [o.uri for o in storage.list_objects(row.transcript) if o.uri.endswith(".rttm")]
    assert b" S2 " in storage.read_bytes(speakers_txt[0])


def test_words_far_from_any_turn_have_no_speaker(storage_root: str) -> None:
    row, transcript = publish(storage_root, diarized(storage_root, (900, 4_000, "S1")))
    assert row.speakers == 1
    assert row.outcome is Outcome.DONE_WITH_WARNINGS
    assert row.detail.endswith("; 8 of 16 words have no speaker")
    (warning,) = [w for w in transcript.warnings if w.code is WarningCode.SPEAKERS_DOUBTFUL]
    assert warning.detail == "8 of 16 words have no speaker"


def test_diarization_that_was_not_run_is_no_failure(storage_root: str) -> None:
    row, transcript = publish(storage_root, "")
    assert (row.words, row.speakers) == (16, None)
    assert "speakers" not in row.detail
    assert WarningCode.NO_SPEAKERS not in {warning.code for warning in transcript.warnings}


@pytest.mark.parametrize("failure", ["the step", "the programme"])
def test_without_diarization_words_are_published_without_speakers(storage_root: str, failure: str) -> None:
    failed = diarized(storage_root, outcome=Outcome.FAILED, detail="out of ideas")
    row, transcript = publish(storage_root, failed if failure == "the programme" else DIARIZATION_FAILED)
    assert row.words == 16
    assert row.speakers is None
    assert row.outcome is Outcome.DONE_WITH_WARNINGS
    assert "speakers were not told apart" in row.detail
    assert transcript.speakers == ()
    assert transcript.provenance.diarizer is None
    (warning,) = [w for w in transcript.warnings if w.code is WarningCode.NO_SPEAKERS]
    assert "speakers were not told apart" in warning.detail
    # Once it works, the transcript with speakers stands beside it.
    again, with_speakers = publish(storage_root, diarized(storage_root, (900, 9_900, "S1")))
    assert again.transcript != row.transcript
    assert [speaker.id for speaker in with_speakers.speakers] == ["S1"]
    # It is the one that copies share.
    ledger, news = Ledger(storage.join(storage_root, "transcripts"), PIPELINE), preparation("news")
    manifest = storage.join(again.transcript, MANIFEST_NAME)
    assert ledger.manifest_of_content(news.content) == ledger.manifest_of_arrival(news.arrival) == manifest
