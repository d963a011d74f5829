"""Extract 16 kHz audio and its speech segments from a media file in constant memory, usually in one pass."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import Outcome, Preempted, Reason
from tasks.media.container.probe import MediaProbe
from tasks.media.container.tracks import Lane, TrackChoice, TrackPolicy
from tasks.media.decoding.isolated import IsolatedDecoder
from tasks.media.findings import AudioFindings, MediaRejected, outcome_of
from tasks.media.speech_activity import SpeechActivity, SpeechSegment
from tasks.media.track_survey import is_sparse, survey_tracks
from tasks.night.records import SpeechSpan
from tasks.night.unlike_channels import GAP_MS, ChannelSpeech, LevelTrace, is_unlike, join_audio, shift
from tasks.transcripts.timecode import Clock, frame_rate_of

# Different sound in two channels for less than this is music or atmosphere: the channels are not decoded apart.
MIN_UNLIKE_S, MIN_UNLIKE_SHARE = 3.0, 0.15


@dataclass(frozen=True)
class ExtractedAudio:
    """The result of decoding one programme."""

    outcome: Outcome
    reason: Reason | None
    detail: str
    duration_ms: int
    track: int
    start_timecode: str | None
    timecode_rate: str
    speech: tuple[SpeechSpan, ...]
    channel_starts_ms: tuple[int, ...] = ()
    """Where each channel begins in the audio, if they carry different speech; empty if they were mixed."""


def extract_audio(
    media: Path, flac: Path, stop: threading.Event, decoder: IsolatedDecoder, tracks: TrackPolicy | None = None
) -> ExtractedAudio:
    """Decode the track of `media` that `tracks` selects to `flac` (16 kHz, mono, 16 bit) and detect its speech.

    If it has no speech, the other tracks and channels are surveyed, and the one with speech is decoded instead. If its
    two channels carry different speech, `flac` holds one after the other.
    FFmpeg runs in the decoder's process: a file that crashes or hangs it is rejected like any other bad file.

    Raises:
        MediaRejected: the file has no usable audio.
        Preempted: `stop` was set during decoding.
    """
    policy = tracks or TrackPolicy()
    first = _decode(media, flac, stop, decoder, policy)
    if not is_sparse(first.confident_speech_ms, first.duration_ms):
        return _extract_apart(media, flac, stop, decoder, policy, first) or first.extracted(media.name)
    survey = survey_tracks(
        media,
        decoder,
        first.probe,
        policy,
        first.choice,
        confident_speech_ms=first.confident_speech_ms,
        duration_ms=first.duration_ms,
        is_silent=first.findings.is_silent,
        stop=stop,
    )
    if survey is None:
        return first.extracted(media.name)
    if survey.policy is None:
        return first.extracted(media.name, "" if first.speech_ms else survey.detail)
    other = flac.with_name(f"other-{flac.name}")
    try:
        second = _decode(media, other, stop, decoder, survey.policy)
        if second.confident_speech_ms <= first.confident_speech_ms:  # the selected lanes cancel each other when mixed
            return first.extracted(media.name, survey.detail)
        other.replace(flac)
    except MediaRejected as rejected:
        return first.extracted(media.name, f"{survey.detail}, but {rejected.detail}")
    finally:
        other.unlink(missing_ok=True)
    return second.extracted(media.name)


def _extract_apart(
    media: Path, flac: Path, stop: threading.Event, decoder: IsolatedDecoder, policy: TrackPolicy, mixed: _Decoded
) -> ExtractedAudio | None:
    """Decode the two channels apart if they carry different speech. Return None, and leave `flac`, if they do not."""
    if mixed.findings.loudness.unlike_s < max(MIN_UNLIKE_S, MIN_UNLIKE_SHARE * mixed.duration_ms / 1000):
        return None
    tracks = mixed.choice.tracks if len(mixed.choice.tracks) == 2 else mixed.choice.tracks * 2
    lanes = [Lane(track=t, channel=0 if len(mixed.choice.tracks) == 2 else n) for n, t in enumerate(tracks)]
    paths = [flac.with_name(f"channel-{number}-{flac.name}") for number in range(len(lanes))]
    joined = flac.with_name(f"joined-{flac.name}")
    try:
        first, second = (
            _decode(media, path, stop, decoder, policy.model_copy(update={"lanes": (lane,)}))
            for lane, path in zip(lanes, paths, strict=True)
        )
        if not is_unlike(first.channel_speech, second.channel_speech):
            return None
        starts_ms = (0, max(first.duration_ms, second.duration_ms, mixed.duration_ms) + GAP_MS)
        join_audio(paths, starts_ms, joined)
        joined.replace(flac)
    except MediaRejected:  # their mix was decoded
        return None
    finally:
        for path in (*paths, joined):
            path.unlink(missing_ok=True)
    alone = [channel.extracted(media.name) for channel in (first, second)]
    speech = [span for one, start_ms in zip(alone, starts_ms, strict=True) for span in shift(one.speech, start_ms)]
    return replace(mixed.extracted(media.name), speech=tuple(speech), channel_starts_ms=starts_ms)


@dataclass(frozen=True)
class _Decoded:
    """The result of one decoding pass over a medium."""

    findings: AudioFindings
    probe: MediaProbe
    choice: TrackChoice
    segments: tuple[SpeechSegment, ...]
    speech_ms: int
    confident_speech_ms: int
    levels_db: np.ndarray
    """`(n_levels,)`, see `LevelTrace`."""

    @property
    def channel_speech(self) -> ChannelSpeech:
        return ChannelSpeech(self.segments, self.confident_speech_ms, self.levels_db)

    @property
    def duration_ms(self) -> int:
        return self.findings.n_samples * 1000 // SAMPLE_RATE_HZ

    def extracted(self, name: str, remark: str = "") -> ExtractedAudio:
        item = outcome_of(name, self.findings, self.speech_ms)
        return ExtractedAudio(
            outcome=item.outcome,
            reason=item.reason,
            detail="; ".join(part for part in (item.detail, remark) if part),
            duration_ms=self.duration_ms,
            track=self.choice.tracks[0],
            start_timecode=start_timecode(self.probe),
            timecode_rate=frame_rate_name(self.probe.frame_rate),
            speech=tuple(
                SpeechSpan(start_ms=s.start_ms, end_ms=s.end_ms, pauses=tuple((p.at_ms, p.cost) for p in s.pauses))
                for s in self.segments
            ),
        )


def _decode(media: Path, flac: Path, stop: threading.Event, decoder: IsolatedDecoder, tracks: TrackPolicy) -> _Decoded:
    import soundfile

    activity, levels = SpeechActivity(), LevelTrace()
    segments: list[SpeechSegment] = []
    with (
        decoder.open_audio(media, tracks) as audio,
        soundfile.SoundFile(flac, "w", SAMPLE_RATE_HZ, 1, subtype="PCM_16", format="FLAC") as sink,
    ):
        for block in audio:
            if stop.is_set():
                raise Preempted
            sink.write(np.clip(block, -1.0, 1.0))
            levels.push(block)
            segments += activity.push(block)
        segments += activity.finish()
        return _Decoded(
            audio.findings,
            audio.probe,
            audio.choice,
            tuple(segments),
            activity.speech_ms,
            activity.confident_speech_ms,
            levels.levels_db,
        )


def start_timecode(probe: MediaProbe) -> str | None:
    """Return the first frame's time code: the container's, or Broadcast Wave's time reference."""
    if probe.start_timecode or probe.time_reference_s is None:
        return probe.start_timecode
    rate = frame_rate_of(probe.frame_rate or 25)
    return Clock.after_midnight(probe.time_reference_s, rate).start if rate else None


def frame_rate_name(frame_rate: float | None) -> str:
    """Return a frame rate's usual name: "29.97" for 30000/1001. Without video, Europe's 25."""
    return "25" if not frame_rate else frame_rate_of(frame_rate) or f"{frame_rate:.3f}".rstrip("0").rstrip(".")
