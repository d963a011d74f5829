"""The publish step: outcomes, quarantine, copies, and kill -9 at every change of the disk."""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tasks import storage
from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import STEPS, Misconfigured, Outcome, Reason, Status
from tasks.contract.arguments import CueProfileName
from tasks.night.ledger import Ledger
from tasks.night.pipeline import Pipeline
from tasks.night.records import PUBLISHED, Batch, Preparation, SpeechSpan, SuspectChunk
from tasks.night.transcript_building import build_transcript
from tasks.progress import no_progress
from tasks.publishing.transcripts import MANIFEST_NAME, is_complete, read_published_transcript
from tasks.reporting.records import Publication
from tasks.step import load_result, output_uri, run_step
from tasks.storage.records import read_lines
from tasks.transcripts.cues.cutting import Limit
from tasks.transcripts.cues.profiles import PROFILES
from tasks.transcripts.document import Transcript
from tests.tasks.night.builders import PIPELINE, preparation, recognised
from tests.tasks.night.results import prepared_and_recognised

PUBLISH = STEPS["publish"]


def before(
    root: str,
    preparations: list[Preparation],
    pipeline: Pipeline = PIPELINE,
    audio: dict[str, bytes] | None = None,
    **found: object,
) -> dict[str, str]:
    """Programmes as if they had been prepared and recognised; `found` of every one."""
    transcripts = storage.join(root, "transcripts")
    batch = Batch(pipeline=pipeline, transcripts=transcripts, programmes=tuple(p.arrival for p in preparations))
    text = {p.arrival.programme: "good evening here is the news" if p.speech else "" for p in preparations}
    recognitions = [
        recognised(text[p.arrival.programme], p.arrival.programme).model_copy(update=found)
        for p in preparations
        if p.has_audio
    ]
    return prepared_and_recognised(root, batch, preparations, recognitions, audio)


def publish(root: str, arguments: dict[str, str]):  # type: ignore[no-untyped-def]
    return run_step(PUBLISH, PUBLISH.arguments(output=storage.join(root, "work"), **arguments), no_progress)


def rows(result_uri: str) -> dict[str, Publication]:
    found = read_lines(Publication, output_uri(result_uri, load_result(result_uri), PUBLISHED))
    return {row.programme: row for row in found}


def test_every_programme_has_its_outcome(storage_root: str) -> None:
    silent = preparation("silent", speech=(), outcome=Outcome.DONE_NO_SPEECH, reason=Reason.SILENCE)
    broken = Preparation(
        arrival=preparation("broken").arrival, outcome=Outcome.REJECTED, reason=Reason.NOT_MEDIA, detail="a letter"
    )
    gone = broken.model_copy(update={"arrival": preparation("gone").arrival, "reason": Reason.UNREADABLE})
    copy = preparation("copy", sha256=preparation("news").sha256, same_as=preparation("news").arrival.id)
    gappy = preparation("gappy", duration_ms=60_000)
    everything = [preparation("news"), silent, broken, gone, copy, gappy]
    receipt = publish(storage_root, before(storage_root, everything))

    found = rows(receipt.result)
    assert list(found) == ["news", "silent", "broken", "gone", "copy", "gappy"]
    assert {name: row.outcome for name, row in found.items()} == {
        "news": Outcome.DONE_WITH_WARNINGS,  # five of nineteen seconds of speech have words
        "silent": Outcome.DONE_NO_SPEECH,
        "broken": Outcome.QUARANTINED,
        "gone": Outcome.FAILED,
        "copy": Outcome.DONE_WITH_WARNINGS,  # it is the same transcript
        "gappy": Outcome.DONE_WITH_WARNINGS,
    }
    assert found["copy"].transcript == found["news"].transcript
    assert "news" in found["copy"].detail
    assert [name for name, row in found.items() if row.is_copy] == ["copy"]
    assert receipt.metrics["hours"] == pytest.approx(
        sum(found[n].duration_s for n in ("news", "silent", "gappy")) / 3600, abs=1e-4
    )
    assert found["news"].words == 6
    assert found["news"].coverage == pytest.approx(5 / 19, abs=1e-3)
    assert found["silent"].words == 0
    assert found["news"].speakers is None
    for name in ("news", "silent", "gappy"):
        assert is_complete(storage.join(found[name].transcript, MANIFEST_NAME))
    assert receipt.counts == {"done_no_speech": 1, "done_with_warnings": 3, "failed": 1, "quarantined": 1}
    assert sorted(warning.split(":")[0] for warning in receipt.warnings) == ["broken", "gone"]

    ledger = Ledger(storage.join(storage_root, "transcripts"), PIPELINE)
    assert ledger.quarantined() == {broken.arrival.id}
    assert ledger.transcribed() == {p.arrival.id for p in everything if p.outcome.is_done}


@pytest.mark.parametrize("starts_ms", [(), (0, 21_000)], ids=["one channel", "two channels, one after the other"])
def test_the_sound_is_published_beside_the_words(storage_root: str, starts_ms: tuple[int, ...]) -> None:
    """A tone in the first second; of two channels, in the first second of the first and the third of the second."""
    news = preparation("news").model_copy(update={"channel_starts_ms": starts_ms})
    samples = np.zeros(45 * SAMPLE_RATE_HZ, np.int16)
    for at_s in (0, 23):
        samples[at_s * SAMPLE_RATE_HZ :][:SAMPLE_RATE_HZ] = 12_800
    flac = io.BytesIO()
    soundfile.write(flac, samples, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    row = rows(publish(storage_root, before(storage_root, [news], audio={news.audio: flac.getvalue()})).result)["news"]
    manifest, _ = read_published_transcript(storage.join(row.transcript, MANIFEST_NAME))
    assert [file.name for file in manifest.files[-2:]] == ["news.webm", "news.waveform.dat"]
    assert is_complete(storage.join(row.transcript, MANIFEST_NAME))
    peaks = np.frombuffer(storage.read_bytes(storage.join(row.transcript, "news.waveform.dat")), np.int8, offset=20)
    seconds = peaks.reshape(-1, 50).max(axis=1)  # (n_seconds,)
    assert np.flatnonzero(seconds > 20).tolist() == ([0, 2] if starts_ms else [0])
    assert len(peaks) == 2 * 25 * news.duration_ms // 1000


def test_a_second_run_is_cached(storage_root: str) -> None:
    arguments = before(storage_root, [preparation("news")])
    first, second = publish(storage_root, arguments), publish(storage_root, arguments)
    assert (first.status, second.status) == (Status.DONE, Status.CACHED)
    assert first.result == second.result


def test_suspect_passages_are_kept_and_counted(storage_root: str) -> None:
    suspect = SuspectChunk(start_ms=0, end_ms=2_200, flags=("repeated_words",))
    news = preparation("news", speech=(SpeechSpan(start_ms=0, end_ms=5_000),))
    row = rows(publish(storage_root, before(storage_root, [news], suspect_chunks=(suspect,))).result)["news"]
    _, transcript = read_published_transcript(storage.join(row.transcript, MANIFEST_NAME))
    assert transcript.text == "Good evening here is the news"
    assert [s.suspect for s in transcript.segments] == [True, False]
    assert row.suspect_s == 2.2
    assert row.outcome is Outcome.DONE_WITH_WARNINGS
    assert "1 passages: 00:00:00–00:00:02 repeated_words" in row.detail


@pytest.mark.parametrize(
    ("n_stretches", "outcome"),
    [(2, Outcome.DONE_NO_SPEECH), (6, Outcome.DONE_WITH_WARNINGS)],
)
def test_speech_without_words_is_noise_only_if_it_is_short(
    storage_root: str, n_stretches: int, outcome: Outcome
) -> None:
    """Segments of 1.9 s in 60 s, too short for the quality gate."""
    stretches = tuple(SpeechSpan(start_ms=9_000 * n, end_ms=9_000 * n + 1_900) for n in range(n_stretches))
    news = preparation("news", duration_ms=60_000, speech=stretches)
    row = rows(publish(storage_root, before(storage_root, [news], words=(), covered_ms=0)).result)["news"]
    assert (row.outcome, row.words) == (outcome, 0)
    if outcome is Outcome.DONE_WITH_WARNINGS:
        assert "0 % of 11 s of speech have words" in row.detail


def test_speech_without_words_is_a_suspect_passage(storage_root: str) -> None:
    """Eleven seconds without a word to mark."""
    suspect = SuspectChunk(start_ms=5_000, end_ms=16_000, flags=("speech_without_words",))
    row = rows(publish(storage_root, before(storage_root, [preparation("news")], suspect_chunks=(suspect,))).result)[
        "news"
    ]
    _, transcript = read_published_transcript(storage.join(row.transcript, MANIFEST_NAME))
    (passage,) = transcript.suspect_passages
    assert (passage.start_ms, passage.end_ms, passage.reasons) == (5_000, 16_000, ("speech_without_words",))
    assert not any(segment.suspect for segment in transcript.segments)
    assert transcript.coverage.suspect_ms == 11_000
    assert row.suspect_s == 11.0
    assert "00:00:05–00:00:16 speech_without_words" in row.detail


def test_a_programme_that_was_not_recognised_fails_until_it_is_quarantined(storage_root: str) -> None:
    failed = {"outcome": Outcome.FAILED, "detail": "RuntimeError: a bug", "words": ()}
    found = []
    for night in range(3):
        poison = preparation("poison")
        poison = poison.model_copy(update={"arrival": poison.arrival.model_copy(update={"failures": night})})
        (row,) = rows(publish(storage_root, before(storage_root, [poison], **failed)).result).values()
        found.append(row)
    assert [row.outcome for row in found] == [Outcome.FAILED, Outcome.FAILED, Outcome.QUARANTINED]
    assert {(row.reason, row.detail) for row in found} == {
        (Reason.INTERNAL_ERROR, "not recognised: RuntimeError: a bug")
    }
    assert Ledger(storage.join(storage_root, "transcripts"), PIPELINE).quarantined() == {poison.arrival.id}


def test_a_fault_in_publishing_affects_one_programme_and_its_copy(
    storage_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = preparation("copy", sha256=preparation("b").sha256, same_as=preparation("b").arrival.id)
    arguments = before(storage_root, [preparation(name) for name in "abc"] + [copy])

    def broken(found: Preparation, *others: object) -> Transcript:
        if found.arrival.programme == "b":
            raise ValueError("a bug that this programme brings to light")
        return build_transcript(found, *others)  # type: ignore[arg-type]

    with monkeypatch.context() as bug:
        bug.setattr("tasks.night.steps.publish.build_transcript", broken)
        receipt = publish(storage_root, arguments)
    found = rows(receipt.result)
    assert {name: row.outcome.is_done for name, row in found.items()} == {
        "a": True,
        "b": False,
        "c": True,
        "copy": False,
    }
    assert found["b"].reason is found["copy"].reason is Reason.INTERNAL_ERROR
    assert sum(Ledger(storage.join(storage_root, "transcripts"), PIPELINE).failures().values()) == 2
    assert all(row.outcome.is_done for row in rows(publish(storage_root, arguments).result).values())


@pytest.mark.parametrize("harm", ["moved", "damaged"])
def test_a_damaged_transcript_affects_its_copies_only(storage_root: str, harm: str) -> None:
    row = rows(publish(storage_root, before(storage_root, [preparation("news")])).result)["news"]
    canonical = storage.join(row.transcript, "news.json")
    storage.delete(canonical) if harm == "moved" else storage.write(canonical, b"{}")
    copy = preparation("copy", published=storage.join(row.transcript, MANIFEST_NAME))
    receipt = publish(storage_root, before(storage_root, [copy, preparation("sport")]))
    found = rows(receipt.result)
    assert {name: row.outcome.is_done for name, row in found.items()} == {"copy": False, "sport": True}
    assert found["copy"].reason is Reason.INTERNAL_ERROR
    assert canonical in found["copy"].detail
    assert load_result(receipt.result).n_retryable == 1, "a cleared task retries it"


@pytest.mark.parametrize("rules", CueProfileName)
def test_subtitles_follow_the_rules_of_the_plan(storage_root: str, rules: CueProfileName) -> None:
    text = "good evening here is the news of the day and now the weather for the rest of the week"
    calm = tuple(
        word.model_copy(update={"start_ms": 900 + 500 * n, "end_ms": 1_300 + 500 * n})
        for n, word in enumerate(recognised(text).words)
    )
    arguments = before(storage_root, [preparation("news")], PIPELINE.model_copy(update={"cues": rules}), words=calm)
    row = rows(publish(storage_root, arguments).result)["news"]
    manifest, _ = read_published_transcript(storage.join(row.transcript, MANIFEST_NAME))
    assert (manifest.cues.profile, manifest.cues.beyond) == (rules, 0)
    assert manifest.cues.total == row.cues > 1
    lines = storage.read_bytes(storage.join(row.transcript, "news.srt")).decode().splitlines()
    assert (max(map(len, lines)) > 37) == (rules is CueProfileName.STREAMING)


def test_subtitles_beyond_the_rules_are_counted_and_give_a_warning(storage_root: str) -> None:
    quick = tuple(
        word.model_copy(update={"start_ms": 900 + 95 * n, "end_ms": 990 + 95 * n})
        for n, word in enumerate(recognised("good evening here is the news of the day " * 6).words)
    )
    receipt = publish(storage_root, before(storage_root, [preparation("news")], words=quick))
    row = rows(receipt.result)["news"]
    manifest, _ = read_published_transcript(storage.join(row.transcript, MANIFEST_NAME))
    assert manifest.cues.beyond == row.cues_beyond == row.cues > 1
    assert manifest.cues.limits == {Limit.READING_SPEED: row.cues}
    assert row.detail.endswith(f"{row.cues} of {row.cues} cues break a limit of bbc-37: {row.cues} reading_speed")


@pytest.mark.parametrize(
    ("text", "n_lost", "has_stl"),
    [
        ("good evening", 0, True),
        ("good evening Mr Nguyễn, here is the news of the day", 1, True),
        ("こんばんは", 5, False),
    ],
)
def test_characters_without_a_code_in_ebu_stl_are_remarked_and_many_prevent_the_file(
    storage_root: str, text: str, n_lost: int, has_stl: bool
) -> None:
    calm = recognised(text).words
    receipt = publish(storage_root, before(storage_root, [preparation("news")], words=calm, covered_ms=19_000))
    row = rows(receipt.result)["news"]
    manifest, _ = read_published_transcript(storage.join(row.transcript, MANIFEST_NAME))
    assert (f"EBU STL has no {n_lost} of" in manifest.remark) == bool(n_lost)
    assert row.detail == manifest.remark
    assert ("news.stl" in {file.name for file in manifest.files}) == has_stl
    assert storage.exists(storage.join(row.transcript, "news.stl")) == has_stl
    assert is_complete(storage.join(row.transcript, MANIFEST_NAME))


def test_the_rules_of_the_form_are_the_profiles() -> None:
    assert set(CueProfileName) == set(PROFILES)


def test_the_wrong_prefix_is_refused(storage_root: str) -> None:
    arguments = before(storage_root, [preparation("news")])
    with pytest.raises(Misconfigured, match="planned for"):
        publish(storage_root, arguments | {"transcripts": storage.join(storage_root, "elsewhere")})


# ---- kill -9 ------------------------------------------------------------------------------------------------------

CHANGES = {"os.link", "os.rename", "os.remove"}


def killed_at(change: int, root: str, arguments: dict[str, str]) -> bool:
    """Publish in a child that kills itself with SIGKILL at its n-th change of the disk. False: it came to its end."""
    child = os.fork()
    if not child:
        seen = 0

        def watch(event: str, args: tuple[Any, ...]) -> None:
            nonlocal seen
            writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
            if (event in CHANGES or writes) and root.removeprefix("file://") in os.fsdecode(args[0]):
                seen += 1
                if seen == change:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        publish(root, arguments)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


def complete_sets(root: str) -> list[str]:
    """Every manifest in sight; each must be of a complete set, and each line of the ledger must lead to one."""
    uris = [o.uri for o in storage.list_objects(storage.join(root, "transcripts"))]
    manifests = [uri for uri in uris if uri.endswith(MANIFEST_NAME)]
    assert all(is_complete(uri) for uri in manifests)
    for uri in uris:
        if "/_ledger/" in uri:
            assert any(manifest.encode() in storage.read_bytes(uri) for manifest in manifests)
    return manifests


@pytest.mark.slow  # a process for every change
def test_killed_at_every_change_of_the_disk(tmp_path: Path) -> None:
    change = 0
    while True:
        change += 1
        root = (tmp_path / str(change)).as_uri()
        arguments = before(root, [preparation("news"), preparation("sport")])
        if not killed_at(change, root, arguments):
            break
        complete_sets(root)
        receipt = publish(root, arguments)
        assert receipt.counts == {"done_with_warnings": 2}
        assert len(complete_sets(root)) == 2
        assert len(Ledger(storage.join(root, "transcripts"), PIPELINE).transcribed()) == 2
    assert change > 60  # two programmes, ten files each and the ledger, two or more changes a file
