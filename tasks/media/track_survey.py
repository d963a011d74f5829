"""Listen to the channels of a medium one by one, where the tracks chosen by tags and labels have no speech.

Television is delivered with eight or sixteen mono tracks without labels, and the first pair may be bars and tone,
silence, or music and effects. All other channels are decoded in one more pass, and the one with the most speech is
taken, with its stereo partner. The pass ends as soon as one of them has a minute or two of speech.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import Preempted
from tasks.media.container.probe import MediaProbe
from tasks.media.container.tracks import MAX_LANES, Lane, TrackChoice, TrackPolicy, other_lanes
from tasks.media.decoding.downmix import UNNAMED
from tasks.media.decoding.isolated import IsolatedDecoder
from tasks.media.findings import MediaRejected
from tasks.media.limits import MediaLimits
from tasks.media.loudness import decibel
from tasks.media.speech_activity import SILENT_PEAK, SpeechActivity, SpeechSegment

SPARSE_SHARE = 0.005  # of the programme: a track with less speech has none, only what the detector takes for it
MIN_SHARE = 0.02  # of what was heard: a lane with less is no better
MIN_FACTOR = 5  # times as much speech as the chosen tracks have
MIN_SPEECH_MS = 200
ENOUGH_MS = 60_000  # of speech in one lane
ALIKE_SHARE = 0.8  # of the most speech: among lanes with so much, the first by the policy is taken

# A partner is mixed with the lane that is taken if it is the other side of a stereo pair, or another microphone whose
# speaker talks in turn. Two languages at the same time are neither.
PARTNER_SHARE = 0.3  # of the lane's speech
MIN_CORRELATION = 0.8  # of their levels in dB
MAX_OVERLAP = 0.3  # of the partner's speech
MAX_LAG_SAMPLES = 60 * SAMPLE_RATE_HZ
LEVEL_SAMPLES = SAMPLE_RATE_HZ // 10
MIN_LEVEL_DB = -60.0

Span = tuple[int, int]
"""Start and end in milliseconds."""


@dataclass
class HeardLane:
    """What was heard in one lane."""

    lane: Lane
    heard_ms: int = 0
    sure_ms: int = 0  # of speech, without padding
    segments: list[SpeechSegment] = field(default_factory=list)
    levels_db: list[float] = field(default_factory=list)  # of each tenth of a second
    is_silent: bool = True


@dataclass(frozen=True)
class Survey:
    """The result: a policy for the lanes with speech, if there are any, and the account of what was listened to."""

    policy: TrackPolicy | None
    detail: str


def is_sparse(sure_ms: int, duration_ms: int) -> bool:
    """Whether so little speech means none."""
    return sure_ms <= SPARSE_SHARE * duration_ms


def survey_tracks(
    media: Path,
    decoder: IsolatedDecoder,
    probe: MediaProbe,
    policy: TrackPolicy,
    choice: TrackChoice,
    *,
    sure_ms: int,
    duration_ms: int,
    is_silent: bool,
    spans: Sequence[Span] | None = None,
    limits: MediaLimits | None = None,
    stop: threading.Event | None = None,
) -> Survey | None:
    """Listen to what `choice` left out or mixed, and choose anew. None if there is nothing else to listen to.

    `sure_ms` of the `duration_ms` that were heard of the chosen tracks are speech. `is_silent`: they are digital
    silence, so that nothing is hidden in their mix. `spans`: listen only here, in order, without overlap.

    Raises:
        Preempted: `stop` was set.
    """
    lanes = other_lanes(probe, policy, choice)
    if is_silent:
        lanes = tuple(lane for lane in lanes if lane.track not in choice.tracks or _is_unheard(probe, lane))
    if not lanes:
        return None
    heard = _listen(media, decoder, lanes, spans, limits, stop)
    found = _best(heard, sure_ms / max(1, duration_ms), probe)
    told = f"{_tracks(choice.tracks)} {'silent' if is_silent else 'without speech'}"
    if not found:
        others = "; ".join(choice.passed_over[:MAX_LANES])
        listened = f"{told}; {len(lanes)} channels were listened to one by one and have none either"
        return Survey(None, listened + (f" ({others})" if others else ""))
    also = [lane for lane in heard if lane not in found and lane.sure_ms >= PARTNER_SHARE * found[0].sure_ms]
    detail = f"{told}: {_lane_names(found)} taken instead, found by listening" + (
        f" (speech also in {_lane_names(also)})" if also else ""
    )
    lanes_taken = tuple(lane.lane for lane in found)
    return Survey(policy.model_copy(update={"lanes": lanes_taken, "because": detail}), detail)


def hear_spans(blocks: Iterable[np.ndarray], spans: Sequence[Span]) -> HeardLane:
    """Detect speech in the spans of a stream of blocks. Reads no further than needed."""
    listener = _Listener(Lane(track=0, channel=0), spans)
    for block in blocks:
        listener.push(block)
        if listener.has_enough:
            break
    return listener.finish()


def _is_unheard(probe: MediaProbe, lane: Lane) -> bool:
    """Whether a channel of a silent choice was left out of its mix."""
    track = probe.tracks[lane.track]
    names = track.channel_names or UNNAMED.get(track.n_channels, ())
    return names[lane.channel : lane.channel + 1] == ("LFE",)


def _listen(
    media: Path,
    decoder: IsolatedDecoder,
    lanes: tuple[Lane, ...],
    spans: Sequence[Span] | None,
    limits: MediaLimits | None,
    stop: threading.Event | None,
) -> list[HeardLane]:
    listeners = [_Listener(lane, spans) for lane in lanes]
    stop_at: int | None = None
    try:
        with decoder.open_lanes(media, lanes, limits) as blocks:
            for index, block in blocks:
                if stop is not None and stop.is_set():
                    raise Preempted
                listener = listeners[index]
                listener.push(block)
                if stop_at is None and listener.has_enough:
                    stop_at = listener.n_samples
                if stop_at is not None and _have_reached(stop_at, listeners):
                    break
    except MediaRejected:
        pass  # what was heard up to there counts: the medium itself has been decoded already
    return [listener.finish() for listener in listeners]


def _have_reached(stop_at: int, listeners: Sequence[_Listener]) -> bool:
    """Whether all lanes have come as far, or one is so far ahead that the others have ended."""
    places = [listener.n_samples for listener in listeners]
    return min(places) >= stop_at or max(places) >= stop_at + MAX_LAG_SAMPLES


class _Listener:
    """Detects speech in one lane, everywhere or in spans."""

    def __init__(self, lane: Lane, spans: Sequence[Span] | None) -> None:
        self._heard = HeardLane(lane)
        self._activity = SpeechActivity()
        self._spans = spans
        self._next = 0  # of the spans
        self.n_samples = 0
        self._n_heard = 0

    @property
    def has_enough(self) -> bool:
        return self._activity.sure_ms >= ENOUGH_MS or (self._spans is not None and self._next >= len(self._spans))

    def push(self, block: np.ndarray) -> None:
        begin, self.n_samples = self.n_samples, self.n_samples + len(block)
        if self._spans is None:
            self._hear(block)
            return
        while self._next < len(self._spans):
            start, end = (ms * SAMPLE_RATE_HZ // 1000 - begin for ms in self._spans[self._next])
            if start < len(block):
                self._hear(block[max(0, start) : max(0, end)])
            if end > len(block):
                return
            self._next += 1

    def _hear(self, block: np.ndarray) -> None:
        if not len(block):
            return
        self._n_heard += len(block)
        self._heard.segments += self._activity.push(block)
        self._heard.is_silent &= not float(np.abs(block).max()) > SILENT_PEAK
        whole = block[: len(block) // LEVEL_SAMPLES * LEVEL_SAMPLES].reshape(-1, LEVEL_SAMPLES)  # (n, 1600)
        powers = np.einsum("ij,ij->i", whole, whole) / LEVEL_SAMPLES
        self._heard.levels_db += [max(MIN_LEVEL_DB, decibel(power)) for power in powers.tolist()]

    def finish(self) -> HeardLane:
        self._heard.segments += self._activity.finish()
        self._heard.sure_ms = self._activity.sure_ms
        self._heard.heard_ms = self._n_heard * 1000 // SAMPLE_RATE_HZ
        return self._heard


def _best(heard: Sequence[HeardLane], chosen_share: float, probe: MediaProbe) -> list[HeardLane]:
    """The lane with the most speech, and its partner. None if no lane has a much larger share than `chosen_share`."""
    heard_ms = max(lane.heard_ms for lane in heard)
    most_ms = max(lane.sure_ms for lane in heard)
    if most_ms < max(MIN_SPEECH_MS, MIN_SHARE * heard_ms, MIN_FACTOR * chosen_share * heard_ms):
        return []
    best = next(lane for lane in heard if lane.sure_ms >= ALIKE_SHARE * most_ms)
    several = {lane.lane.track for lane in heard if lane.lane.channel}
    partners = (lane for lane in heard if _are_pair(best.lane, lane.lane, several, probe))
    partner = next((lane for lane in partners if _belong_together(best, lane)), None)
    return [best] if partner is None else sorted((best, partner), key=lambda lane: (lane.lane.track, lane.lane.channel))


def _are_pair(a: Lane, b: Lane, several: set[int], probe: MediaProbe) -> bool:
    """Whether two channels of a track, or two mono tracks of one language, may be a pair. `several`: tracks with more
    than one channel."""
    if a.track == b.track:
        return a.channel != b.channel and a.channel // 2 == b.channel // 2
    are_mono = a.track not in several and b.track not in several
    first, second = probe.tracks[a.track], probe.tracks[b.track]
    return are_mono and abs(a.track - b.track) == 1 and first.language == second.language


def _belong_together(best: HeardLane, other: HeardLane) -> bool:
    if other.sure_ms < PARTNER_SHARE * best.sure_ms:
        return False
    n_levels = min(len(best.levels_db), len(other.levels_db))
    a, b = np.array(best.levels_db[:n_levels]), np.array(other.levels_db[:n_levels])
    if n_levels > 1 and a.std() and b.std() and float(np.corrcoef(a, b)[0, 1]) >= MIN_CORRELATION:
        return True
    overlap_ms = sum(
        max(0, min(a.end_ms, b.end_ms) - max(a.start_ms, b.start_ms)) for a in best.segments for b in other.segments
    )
    return overlap_ms <= MAX_OVERLAP * sum(segment.duration_ms for segment in other.segments)


def _tracks(numbers: Sequence[int]) -> str:
    return f"audio track{'s' if len(numbers) > 1 else ''} {' and '.join(map(str, numbers))}"


def _lane_names(lanes: Sequence[HeardLane]) -> str:
    """Lanes in words: "audio tracks 6 and 7", "audio track 0 channels 2 and 3"."""
    by_track: dict[int, list[int]] = {}
    for lane in lanes:
        by_track.setdefault(lane.lane.track, []).append(lane.lane.channel)
    if all(channels == [0] for channels in by_track.values()):
        return _tracks(list(by_track))
    return ", ".join(
        f"{_tracks([track])} channel{'s' if len(channels) > 1 else ''} {' and '.join(map(str, channels))}"
        for track, channels in by_track.items()
    )
