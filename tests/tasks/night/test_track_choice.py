"""Track selection by speech: the track with speech is transcribed, and the outcome names the tracks without."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tasks.contract import Outcome, Reason
from tasks.media.container.tracks import Lane, TrackPolicy
from tasks.media.decoding.isolated import IsolatedDecoder
from tasks.media.findings import MediaRejected
from tasks.media.track_survey import Survey
from tasks.night.audio_extraction import ExtractedAudio, extract_audio
from tasks.night.transcript_building import build_transcript
from tasks.transcripts.document import WarningCode
from tests.tasks.media.making import RATE_HZ, Track, encode, wav
from tests.tasks.media.speaking import music, silence, speech, tone
from tests.tasks.night.builders import PIPELINE, preparation, recognised


@pytest.fixture(scope="module")
def decoder() -> Iterator[IsolatedDecoder]:
    with IsolatedDecoder() as decoder:
        yield decoder


def extracted(medium: bytes, decoder: IsolatedDecoder, folder: Path, **policy: object) -> ExtractedAudio:
    path = folder / "programme"
    path.write_bytes(medium)
    return extract_audio(path, folder / "audio.flac", threading.Event(), decoder, TrackPolicy.model_validate(policy))


def speech_ms(audio: ExtractedAudio) -> int:
    return sum(span.duration_ms for span in audio.speech)


def monos(*samples: np.ndarray, container: str = "mxf", video: bool = True, **tags: str) -> bytes:
    tracks = [Track(one[None], "pcm_s16le", tags=tags) for one in samples]
    return encode(container, tracks, video=video)


FIRST_PAIRS = {"silence": silence, "tone": tone, "music": music}


@pytest.mark.parametrize("first", FIRST_PAIRS)
@pytest.mark.parametrize("place", range(2, 8))
def test_speech_in_one_of_eight_mono_tracks(first: str, place: int, decoder: IsolatedDecoder, tmp_path: Path) -> None:
    tracks = [FIRST_PAIRS[first]()] * 2 + [silence()] * 6
    tracks[place] = speech()
    audio = extracted(monos(*tracks), decoder, tmp_path)
    assert audio.track == place
    assert speech_ms(audio) > 6000
    assert (audio.outcome, audio.reason) == (Outcome.DONE_WITH_WARNINGS, Reason.NO_SPEECH)
    assert audio.detail.startswith("audio tracks 0 and 1 ")
    assert f"audio track {place} used instead" in audio.detail


def test_speech_in_the_first_pair_needs_no_survey(
    decoder: IsolatedDecoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(IsolatedDecoder, "open_lanes", None)
    audio = extracted(monos(speech(), speech(), *[speech("de")] * 6), decoder, tmp_path)
    assert (audio.track, audio.outcome, audio.detail) == (0, Outcome.DONE, "")


def test_a_film_with_few_words_keeps_its_track(decoder: IsolatedDecoder, tmp_path: Path) -> None:
    """Two seconds of words in a minute of music, and a talkative track beside it."""
    film = music(60.0) * 0.5
    film[: 2 * RATE_HZ] += speech(duration_s=2.0)
    audio = extracted(monos(film, film, silence(60.0), speech(duration_s=60.0)), decoder, tmp_path)
    assert (audio.track, audio.outcome, audio.detail) == (0, Outcome.DONE, "")


def test_both_sides_of_a_stereo_pair_are_used(decoder: IsolatedDecoder, tmp_path: Path) -> None:
    tracks = [tone(), tone(), *[silence()] * 4, speech(), 0.9 * speech()]
    audio = extracted(monos(*tracks), decoder, tmp_path)
    assert audio.track == 6
    assert "audio tracks 6 and 7 used instead" in audio.detail


def test_two_languages_side_by_side_are_not_mixed(decoder: IsolatedDecoder, tmp_path: Path) -> None:
    audio = extracted(monos(music(), music(), speech("en"), speech("de")), decoder, tmp_path)
    assert audio.track in (2, 3)
    assert audio.detail.endswith(f"(speech also in audio track {5 - audio.track})")


def test_two_microphones_that_take_turns_are_mixed(decoder: IsolatedDecoder, tmp_path: Path) -> None:
    voice = speech(duration_s=12.0)
    first_half = np.arange(len(voice)) < len(voice) // 2
    audio = extracted(monos(silence(12), silence(12), voice * first_half, voice * ~first_half), decoder, tmp_path)
    assert "audio tracks 2 and 3 used instead" in audio.detail
    assert speech_ms(audio) > 9000


@pytest.mark.parametrize("order", ["L R C LFE Ls Rs", "L C R Ls Rs LFE"])
def test_titles_of_mono_tracks_give_the_centre(order: str, decoder: IsolatedDecoder, tmp_path: Path) -> None:
    names = order.split()
    samples = {"C": speech(), "LFE": tone(frequency_hz=50)}
    tracks = [Track(samples.get(n, music())[None], "flac", tags={"title": n}) for n in names]
    audio = extracted(encode("matroska", tracks, video=True), decoder, tmp_path)
    assert (audio.track, audio.outcome, audio.detail) == (names.index("C"), Outcome.DONE, "")
    assert speech_ms(audio) > 6000


def test_a_second_stereo_track(decoder: IsolatedDecoder, tmp_path: Path) -> None:
    quiet, loud = np.stack([silence()] * 2), np.stack([speech()] * 2)
    audio = extracted(encode("matroska", [Track(quiet, "flac"), Track(loud, "flac")]), decoder, tmp_path)
    assert audio.track == 1
    assert audio.detail == (
        "audio track 0 silent: audio track 1 channels 0 and 1 used instead, selected by speech detection"
    )


@pytest.mark.parametrize("language", ["en", ""])
def test_the_requested_language_is_kept(language: str, decoder: IsolatedDecoder, tmp_path: Path) -> None:
    """A silent English track is not replaced by the German one, unless no language is requested."""
    english, german = np.stack([silence()] * 2), np.stack([speech("de")] * 2)
    tracks = [Track(english, "flac", tags={"language": "eng"}), Track(german, "flac", tags={"language": "ger"})]
    audio = extracted(encode("matroska", tracks), decoder, tmp_path, languages=(language,) if language else ())
    assert audio.track == (0 if language else 1)
    assert (audio.outcome is Outcome.DONE_NO_SPEECH) is bool(language)


@pytest.mark.parametrize("place", [0, 3, 6, 7])
def test_speech_in_one_of_eight_channels(place: int, decoder: IsolatedDecoder, tmp_path: Path) -> None:
    channels = [music(seed=n) for n in range(8)]
    channels[place] = speech()
    audio = extracted(wav(0.5 * np.stack(channels), RATE_HZ), decoder, tmp_path)
    assert speech_ms(audio) > 6000


@pytest.mark.parametrize("centre", [1, 2])
def test_six_channels_without_a_mask(centre: int, decoder: IsolatedDecoder, tmp_path: Path) -> None:
    channels = [music(seed=n) for n in range(6)]
    channels[centre] = speech()
    audio = extracted(wav(0.5 * np.stack(channels), RATE_HZ), decoder, tmp_path)
    assert speech_ms(audio) > 6000


def test_the_outcome_without_speech_names_the_tracks_analysed(decoder: IsolatedDecoder, tmp_path: Path) -> None:
    audio = extracted(monos(*[tone()] * 2, *[silence()] * 2), decoder, tmp_path)
    assert (audio.outcome, audio.reason, audio.track) == (Outcome.DONE_NO_SPEECH, Reason.NO_SPEECH, 0)
    assert audio.detail.startswith(
        "audio tracks 0 and 1 without speech, and no speech detected in 4 other channels (2: "
    )


def test_an_analysis_that_fails_is_reported(
    decoder: IsolatedDecoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the outcome would state that lanes have no speech which were never decoded."""

    def reject(*_: object) -> None:
        raise MediaRejected(Reason.TIME_LIMIT, "decoding took more than 1 s")

    monkeypatch.setattr(IsolatedDecoder, "open_lanes", reject)
    audio = extracted(monos(silence(), silence(), silence(), speech()), decoder, tmp_path)
    assert audio.outcome is Outcome.DONE_NO_SPEECH
    assert "(analysis ended early: decoding took more than 1 s)" in audio.detail


def test_selected_lanes_that_cancel_each_other_leave_no_file(
    decoder: IsolatedDecoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second pass without more speech than the first is discarded."""
    quiet = TrackPolicy(lanes=(Lane(track=2, channel=0),), because="audio track 2 used instead")
    survey = Survey(quiet, quiet.because)
    monkeypatch.setattr("tasks.night.audio_extraction.survey_tracks", lambda *_, **__: survey)
    audio = extracted(monos(*[silence()] * 4), decoder, tmp_path)
    assert audio.track == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audio.flac", "programme"]


def test_a_requested_track_is_not_replaced(decoder: IsolatedDecoder, tmp_path: Path) -> None:
    audio = extracted(monos(silence(), speech()), decoder, tmp_path, track=0)
    assert (audio.track, audio.outcome) == (0, Outcome.DONE_NO_SPEECH)


def test_audio_description_is_never_selected(decoder: IsolatedDecoder, tmp_path: Path) -> None:
    tracks = [
        Track(np.stack([silence()] * 2), "flac"),
        Track(np.stack([speech()] * 2), "flac", dispositions=("visual_impaired",)),
    ]
    audio = extracted(encode("matroska", tracks), decoder, tmp_path)
    assert audio.outcome is Outcome.DONE_NO_SPEECH


def test_only_the_audio_of_the_selected_track_is_kept(decoder: IsolatedDecoder, tmp_path: Path) -> None:
    import soundfile

    extracted(monos(silence(), silence(), silence(), speech()), decoder, tmp_path)
    samples, _ = soundfile.read(tmp_path / "audio.flac")
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(0.1, rel=0.1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audio.flac", "programme"]


def test_the_transcript_warns_that_another_track_was_used() -> None:
    found = preparation(track=2).model_copy(
        update={"outcome": Outcome.DONE_WITH_WARNINGS, "reason": Reason.NO_SPEECH, "detail": "audio track 0 silent"}
    )
    made = build_transcript(found, recognised(), PIPELINE, "0.1.0")
    assert made.media.track == 2
    assert (WarningCode.OTHER_TRACK, "audio track 0 silent") in {(w.code, w.detail) for w in made.warnings}
