"""A programme's audio as a stream of blocks, from wherever it lies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tasks import storage
from tasks.corpus.cutting import PAD_MS
from tasks.corpus.records import Programme
from tasks.media.decode import AudioReader, open_audio
from tasks.media.isolated import IsolatedAudio, open_audio_isolated
from tasks.media.speech_activity import SpeechActivityOptions, speech_segments
from tasks.media.tracks import TrackPolicy

# A child process takes a third of a second to start: nothing for a programme, and ten times a single word's decoding.
ISOLATED_FROM_BYTES = 1 << 20


@contextmanager
def open_programme(programme: Programme, language: str, scratch: Path) -> Iterator[AudioReader | IsolatedAudio]:
    """The programme's track in `language`, decoded in a child process unless it is a short clip.

    Raises MediaRejected. An object that is not a local file is copied to `scratch` and removed again.
    """
    policy = TrackPolicy(languages=(language,))
    if programme.size < ISOLATED_FROM_BYTES:
        with storage.open_reader(programme.media) as file, open_audio(file, policy) as audio:
            yield audio
        return
    path = storage.local_copy(programme.media, scratch)
    try:
        with open_audio_isolated(path, policy) as audio:
            yield audio
    finally:
        if path.is_relative_to(scratch):
            path.unlink(missing_ok=True)


def speech_bounds_ms(samples: np.ndarray) -> tuple[int, int | None]:
    """Where speech begins and ends in `samples`, with `PAD_MS` around. From 0 to None where no speech is found: a
    short word may be too little for the detector."""
    segments = list(speech_segments([samples], SpeechActivityOptions(padding_ms=PAD_MS)))
    return (segments[0].start_ms, segments[-1].end_ms) if segments else (0, None)
