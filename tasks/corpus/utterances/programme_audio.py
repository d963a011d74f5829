"""Open a programme's audio as a stream of blocks, from any storage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tasks import storage
from tasks.contract import Reason
from tasks.corpus.records import Programme
from tasks.corpus.utterances.cutting import PAD_MS
from tasks.media.container.tracks import TrackPolicy
from tasks.media.decoding.isolated import IsolatedAudio, IsolatedDecoder
from tasks.media.findings import MediaRejected
from tasks.media.languages import same_language
from tasks.media.limits import MediaLimits
from tasks.media.speech_activity import SpeechActivityOptions, speech_segments


@contextmanager
def open_programme_audio(
    programme: Programme,
    language: str,
    policy: TrackPolicy,
    limits: MediaLimits,
    decoder: IsolatedDecoder,
    scratch: Path,
) -> Iterator[IsolatedAudio]:
    """Decode the track chosen by `policy` in an isolated process.

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
            yield audio
    finally:
        if path.is_relative_to(scratch):
            path.unlink(missing_ok=True)


def speech_bounds_ms(samples: np.ndarray) -> tuple[int, int | None]:
    """Start and end of speech in `samples`, `(n_samples,)`, padded by `PAD_MS`.

    (0, None) if no speech is found: a short word may be too little for the detector.
    """
    segments = list(speech_segments([samples], SpeechActivityOptions(padding_ms=PAD_MS)))
    return (segments[0].start_ms, segments[-1].end_ms) if segments else (0, None)
