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
from tasks.media.track_survey import Span, hear_spans, survey_tracks

N_STEREO = 2


CHECKED_MS = 60_000  # of captioned audio, in which the chosen track must have speech
MIN_SPEECH_SHARE = 0.1


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

    Captions say that there is speech. Where a medium has other tracks that could have it, the chosen one is listened to
    in the first minute of captions, and if it has none, the others are.

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
            heard = hear_spans(audio, spans)
            probe, choice = audio.probe, audio.choice
        survey = None
        if heard.sure_ms < MIN_SPEECH_SHARE * heard.heard_ms:
            survey = survey_tracks(
                path,
                decoder,
                probe,
                policy,
                choice,
                sure_ms=heard.sure_ms,
                duration_ms=heard.heard_ms,
                is_silent=heard.is_silent,
                spans=spans,
                limits=limits,
            )
        with decoder.open_audio(path, survey.policy if survey and survey.policy else policy, limits) as audio:
            yield audio
    finally:
        if path.is_relative_to(scratch):
            path.unlink(missing_ok=True)


def _has_alternatives(audio: IsolatedAudio, policy: TrackPolicy) -> bool:
    """Whether its speech may be in another track, or in channels of the chosen one that have no labels.

    Not so for almost all media, which are decoded only once.
    """
    tracks = audio.choice.tracks
    return any(
        lane.track not in tracks or (lane.channel >= N_STEREO and not audio.probe.tracks[lane.track].channel_names)
        for lane in other_lanes(audio.probe, policy, audio.choice)
    )


def first_spans(supervisions: Sequence[Supervision]) -> list[Span]:
    """The spans of the first captions, in order, without overlap, together `CHECKED_MS` long."""
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
    """Start and end of speech in `samples`, `(n_samples,)`, padded by `PAD_MS`.

    (0, None) if no speech is found: a short word may be too little for the detector.
    """
    segments = list(speech_segments([samples], SpeechActivityOptions(padding_ms=PAD_MS)))
    return (segments[0].start_ms, segments[-1].end_ms) if segments else (0, None)
