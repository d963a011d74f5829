"""Open a programme's audio as a stream of blocks, from any storage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tasks import storage
from tasks.contract import Reason
from tasks.corpus.captions import SourceTranscript
from tasks.corpus.records import Programme, Supervision
from tasks.corpus.utterances.cutting import PAD_MS
from tasks.corpus.utterances.start_timecode import from_first_frame
from tasks.media.container.tracks import TrackPolicy, other_lanes
from tasks.media.decoding.isolated import IsolatedAudio, IsolatedDecoder
from tasks.media.findings import MediaRejected
from tasks.media.languages import same_language
from tasks.media.limits import MediaLimits
from tasks.media.speech_activity import SpeechActivityOptions, speech_segments
from tasks.media.track_survey import Span, measure_speech, survey_tracks

N_STEREO = 2
CHECKED_MS = 60_000  # captioned audio that is checked for speech
MIN_SPEECH_SHARE = 0.1  # of it, for the chosen track to be kept


@contextmanager
def open_programme_audio(
    programme: Programme,
    transcript: SourceTranscript,
    language: str,
    policy: TrackPolicy,
    limits: MediaLimits,
    decoder: IsolatedDecoder,
    scratch: Path,
) -> Iterator[IsolatedAudio]:
    """Decode the track chosen by `policy` in an isolated process.

    If a medium has other tracks that may carry its speech, the first minute of captioned audio is checked. If the
    chosen track has no speech there, the other tracks are surveyed.

    Raises MediaRejected, also if all tracks are tagged with other languages: captions in `language` are then a
    translation. An object that is not a local file is copied to `scratch` and removed afterwards.
    """
    limits.check_size(programme.size)  # before copying it
    path = storage.local_copy(programme.media, scratch)
    try:
        with decoder.open_audio(path, policy, limits) as audio:
            tag = audio.choice.language
            if tag and not same_language(tag, language):
                raise MediaRejected(Reason.LANGUAGE, f"its audio is tagged {tag!r}, the transcripts are {language!r}")
            spans = first_spans(from_first_frame(transcript, audio.probe).supervisions)
            if not spans or not _has_alternatives(audio, policy):
                yield audio
                return
            checked = measure_speech(audio, spans)
            probe, choice = audio.probe, audio.choice
        survey = None
        if checked.confident_speech_ms < MIN_SPEECH_SHARE * checked.analysed_ms:
            survey = survey_tracks(
                path,
                decoder,
                probe,
                policy,
                choice,
                confident_speech_ms=checked.confident_speech_ms,
                duration_ms=checked.analysed_ms,
                is_silent=checked.is_silent,
                spans=spans,
                limits=limits,
            )
        with decoder.open_audio(path, survey.policy if survey and survey.policy else policy, limits) as audio:
            yield audio
    finally:
        if path.is_relative_to(scratch):
            path.unlink(missing_ok=True)


def _has_alternatives(audio: IsolatedAudio, policy: TrackPolicy) -> bool:
    """Whether the speech may be in another track, or in unlabelled channels of the chosen one.

    Almost no medium has alternatives, and those without are decoded only once.
    """
    tracks = audio.choice.tracks
    return any(
        lane.track not in tracks or (lane.channel >= N_STEREO and not audio.probe.tracks[lane.track].channel_names)
        for lane in other_lanes(audio.probe, policy, audio.choice)
    )


def first_spans(supervisions: Sequence[Supervision]) -> list[Span]:
    """Return the spans of the first captions, in order and without overlap, up to `CHECKED_MS` in total."""
    spans: list[Span] = []
    left_ms = CHECKED_MS
    timed = sorted((round(s.start_s * 1000), round(s.end_s * 1000)) for s in supervisions if s.end_s is not None)
    for start_ms, end_ms in timed:
        start_ms = max(start_ms, spans[-1][1] if spans else 0)
        end_ms = min(end_ms, start_ms + left_ms)
        if end_ms > start_ms:
            spans.append((start_ms, end_ms))
            left_ms -= end_ms - start_ms
        if left_ms <= 0:
            break
    return spans


def speech_bounds_ms(samples: np.ndarray) -> tuple[int, int | None]:
    """Return the start and end of speech in `samples`, `(n_samples,)`, padded by `PAD_MS`.

    (0, None) if no speech is found: a short word may be too little for the detector.
    """
    segments = list(speech_segments([samples], SpeechActivityOptions(padding_ms=PAD_MS)))
    return (segments[0].start_ms, segments[-1].end_ms) if segments else (0, None)
