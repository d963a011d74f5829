"""One medium to 16 kHz audio on disk, and where speech is in it. In one pass, with flat memory."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import ItemOutcome, Preempted
from tasks.media.findings import outcome_of
from tasks.media.isolated import Decoder
from tasks.media.probe import MediaProbe
from tasks.media.speech_activity import SpeechActivity, SpeechSegment
from tasks.media.tracks import TrackPolicy
from tasks.night.records import Speech
from tasks.transcripts.timecode import Clock, frame_rate_of


@dataclass(frozen=True)
class Heard:
    """What decoding one programme gave."""

    outcome: ItemOutcome
    duration_ms: int
    track: int
    start_timecode: str | None
    timecode_rate: str
    speech: tuple[Speech, ...]


def listen_to(
    media: Path, flac: Path, stop: threading.Event, decoder: Decoder, tracks: TrackPolicy | None = None
) -> Heard:
    """Decode the track of `media` that `tracks` wants to `flac` (16 kHz, mono, 16 bit) and find the speech in it.

    FFmpeg runs in the decoder's process: a file that crashes or hangs it is rejected like any other.

    Raises:
        MediaRejected: it gives no usable audio.
        Preempted: `stop` was set meanwhile.
    """
    import soundfile

    activity = SpeechActivity()
    segments: list[SpeechSegment] = []
    with (
        decoder.open_audio(media, tracks) as audio,
        soundfile.SoundFile(flac, "w", SAMPLE_RATE_HZ, 1, subtype="PCM_16", format="FLAC") as sink,
    ):
        for block in audio:
            if stop.is_set():
                raise Preempted
            sink.write(np.clip(block, -1.0, 1.0))
            segments += activity.push(block)
        segments += activity.finish()
        findings, probe, choice = audio.findings, audio.probe, audio.choice
    return Heard(
        outcome=outcome_of(media.name, findings, activity.speech_ms),
        duration_ms=findings.n_samples * 1000 // SAMPLE_RATE_HZ,
        track=choice.tracks[0],
        start_timecode=start_timecode(probe),
        timecode_rate=frame_rate_name(probe.frame_rate),
        speech=tuple(
            Speech(start_ms=s.start_ms, end_ms=s.end_ms, pauses=tuple((p.at_ms, p.cost) for p in s.pauses))
            for s in segments
        ),
    )


def start_timecode(probe: MediaProbe) -> str | None:
    """The label of the first frame, as the media name it or as Broadcast Wave counts it."""
    if probe.start_timecode or probe.time_reference_s is None:
        return probe.start_timecode
    rate = frame_rate_of(probe.frame_rate or 25)
    return Clock.after_midnight(probe.time_reference_s, rate).start if rate else None


def frame_rate_name(frame_rate: float | None) -> str:
    """Broadcast's own name of a rate: "29.97" of 30000/1001. Europe's 25 where there is no video."""
    return "25" if not frame_rate else frame_rate_of(frame_rate) or f"{frame_rate:.3f}".rstrip("0").rstrip(".")
