"""Two channels with different speech are transcribed apart."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tasks.media.container.tracks import TrackPolicy
from tasks.media.decoding.isolated import IsolatedDecoder
from tasks.night.audio_extraction import ExtractedAudio, extract_audio
from tasks.night.records import DiarizedProgramme, RecognisedProgramme, SuspectChunk
from tasks.night.transcript_building import build_transcript
from tasks.night.unlike_channels import GAP_MS, ChannelTimes, LevelTrace
from tasks.transcripts.document import WarningCode, Word
from tasks.transcripts.spans import Span, Turn
from tests.tasks.media.making import RATE_HZ, Track, encode
from tests.tasks.media.speaking import music, speech
from tests.tasks.night.builders import PIPELINE, preparation, recognised
from tests.tasks.transcripts.builders import speak

DURATION_MS = 8_000
STARTS_MS = (0, DURATION_MS + GAP_MS)


@pytest.fixture(scope="module")
def decoder() -> Iterator[IsolatedDecoder]:
    with IsolatedDecoder() as decoder:
        yield decoder


def extracted(medium: bytes, decoder: IsolatedDecoder, folder: Path) -> ExtractedAudio:
    (folder / "programme").write_bytes(medium)
    return extract_audio(folder / "programme", folder / "audio.flac", threading.Event(), decoder, TrackPolicy())


def stereo(left: np.ndarray, right: np.ndarray) -> bytes:
    return encode("wav", [Track(np.stack([left, right]), "pcm_s16le")])


@pytest.mark.parametrize("is_two_tracks", [False, True])
def test_two_languages_side_by_side(is_two_tracks: bool, decoder: IsolatedDecoder, tmp_path: Path) -> None:
    tracks = [Track(speech(language)[None], "pcm_s16le") for language in ("en", "de")]
    medium = encode("mxf", tracks, video=True) if is_two_tracks else stereo(speech("en"), speech("de"))
    audio = extracted(medium, decoder, tmp_path)
    assert audio.channel_starts_ms == STARTS_MS
    assert (audio.duration_ms, audio.detail) == (DURATION_MS, "")
    samples, rate_hz = soundfile.read(tmp_path / "audio.flac", dtype="float32")
    for language, start_ms in zip(("en", "de"), STARTS_MS, strict=True):
        channel = samples[start_ms * rate_hz // 1000 :][: DURATION_MS * rate_hz // 1000]
        own = speech(language)[:: RATE_HZ // rate_hz]
        assert np.corrcoef(channel, own)[0, 1] > 0.95
        assert sum(start_ms <= span.start_ms < span.end_ms <= start_ms + DURATION_MS for span in audio.speech) >= 1
    assert {path.name for path in tmp_path.iterdir()} == {"programme", "audio.flac"}


VOICE, OTHER = speech("en"), speech("de")
AMBIENCE = 0.02 * np.random.default_rng(1).standard_normal((2, len(VOICE))).astype(np.float32)
IS_FIRST_HALF = np.arange(len(VOICE)) < len(VOICE) // 2


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (VOICE, VOICE),
        (VOICE, -VOICE),
        (VOICE, 0.2 * VOICE),
        (VOICE, 0 * VOICE),
        (VOICE, np.roll(0.7 * VOICE, 480)),  # microphones 3 m apart
        (VOICE + AMBIENCE[0], VOICE + AMBIENCE[1]),
        (VOICE + 0.3 * music(seed=1), VOICE + 0.3 * music(seed=2)),
        (music(seed=1), music(seed=2)),
        (VOICE, music()),
        (VOICE * IS_FIRST_HALF, OTHER * ~IS_FIRST_HALF),  # they take turns
    ],
)
def test_stereo_is_mixed(left: np.ndarray, right: np.ndarray, decoder: IsolatedDecoder, tmp_path: Path) -> None:
    audio = extracted(stereo(left, right), decoder, tmp_path)
    assert audio.channel_starts_ms == ()
    assert soundfile.info(tmp_path / "audio.flac").duration == pytest.approx(DURATION_MS / 1000)


def test_levels_do_not_depend_on_the_blocks() -> None:
    samples = np.random.default_rng(1).standard_normal(10_000).astype(np.float32)
    whole, parts = LevelTrace(), LevelTrace()
    whole.push(samples)
    for part in np.split(samples, [1, 700, 1_600, 5_000]):
        parts.push(part)
    assert len(whole.levels_db) == 6
    assert np.allclose(whole.levels_db, parts.levels_db, atol=0.02)


def channel_words(sentence: str, channel: int, start_ms: int, speaker: str | None = None) -> list[Word]:
    return speak(sentence, speaker, STARTS_MS[channel] + start_ms)


def test_words_are_merged_by_time_with_speakers_of_their_channels() -> None:
    times = ChannelTimes(STARTS_MS, DURATION_MS)
    words = [*channel_words("good evening here", 0, 1_000, "S1"), *channel_words("guten Abend", 1, 1_100, "S1")]
    merged = times.merge(words)
    assert [(w.text, w.start_ms, w.speaker) for w in merged] == [
        ("good", 1_000, "S1"),
        ("guten", 1_100, "S2"),
        ("evening", 1_300, "S1"),
        ("Abend", 1_400, "S2"),
        ("here", 1_600, "S1"),
    ]
    assert [w.end_ms for w in merged] == sorted(w.end_ms for w in merged)
    assert times.audio_ms == STARTS_MS[1] + DURATION_MS
    assert times.programme_span(Span(STARTS_MS[1] + 500, STARTS_MS[1] + 99_000)) == Span(500, DURATION_MS)


def test_words_without_a_speaker_belong_to_their_channel() -> None:
    times = ChannelTimes(STARTS_MS, DURATION_MS)
    left = [*channel_words("well", 0, 1_000), *channel_words("good evening", 0, 1_300, "S1")]
    right = [*channel_words("guten", 1, 1_100, "S7"), *channel_words("Abend", 1, 1_400)]
    assert [(w.text, w.speaker) for w in times.merge([*left, *right])] == [
        ("well", "S1"),
        ("guten", "S2"),
        ("good", "S1"),
        ("Abend", "S2"),
        ("evening", "S1"),
    ]
    unknown = [*channel_words("good evening", 0, 1_000), *channel_words("guten", 1, 1_100)]
    assert [w.speaker for w in times.merge(unknown)] == ["S1", "S2", "S1"]


def test_mixed_channels_stay_as_they_are() -> None:
    words = tuple(speak("good evening"))
    times = ChannelTimes((), DURATION_MS)
    assert times.merge(words) == words
    assert (times.audio_ms, times.programme_span(Span(5, 9))) == (DURATION_MS, Span(5, 9))


def test_the_transcript_of_both_channels() -> None:
    found = preparation("talk", duration_ms=DURATION_MS).model_copy(update={"channel_starts_ms": STARTS_MS})
    left = recognised("good evening here is the news", "talk")
    right = recognised("guten abend hier sind die nachrichten", "talk")
    moved = [
        w.model_copy(update={"start_ms": w.start_ms + STARTS_MS[1], "end_ms": w.end_ms + STARTS_MS[1]})
        for w in right.words
    ]
    suspect = SuspectChunk(start_ms=STARTS_MS[1] + 100, end_ms=STARTS_MS[1] + 900, flags=("improbable",))
    both: RecognisedProgramme = left.model_copy(update={"words": (*left.words, *moved), "suspect_chunks": (suspect,)})
    turns = (Turn(0, DURATION_MS, "S1"), Turn(STARTS_MS[1], STARTS_MS[1] + DURATION_MS, "S1"))
    diarized = DiarizedProgramme(arrival=found.arrival.id, diarizer="embedded", turns=turns, exclusive=turns)
    transcript = build_transcript(found, both, PIPELINE, "0.1.0", diarized)
    said = {s.id: " ".join(w.text.lower() for w in transcript.words if w.speaker == s.id) for s in transcript.speakers}
    assert said == {"S1": "good evening here is the news", "S2": "guten abend hier sind die nachrichten"}
    assert [(p.start_ms, p.end_ms) for p in transcript.suspect_passages] == [(100, 900)]
    assert WarningCode.CHANNELS_APART in {warning.code for warning in transcript.warnings}
