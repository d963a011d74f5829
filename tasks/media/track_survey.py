"""Select tracks by speech detection where those chosen by tags and labels have no speech.

Television is delivered with eight or sixteen mono tracks without labels, and the first pair may be bars and tone,
silence, or music and effects. A second pass decodes all other channels, detects speech in each, and selects the one
with the most, with its stereo partner. The pass ends once a channel has `ENOUGH_MS` of speech.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import Preempted
from tasks.media.container.probe import MediaProbe
from tasks.media.container.tracks import MAX_LANES, Lane, TrackChoice, TrackPolicy, other_lanes
from tasks.media.decoding.downmix import DEFAULT_LAYOUTS
from tasks.media.decoding.isolated import IsolatedDecoder
from tasks.media.findings import MediaRejected
from tasks.media.limits import MediaLimits
from tasks.media.loudness import decibel
from tasks.media.speech_activity import SILENT_PEAK, SpeechActivity, SpeechSegment

SPARSE_SHARE = 0.005  # maximum share of the programme that may be false detections: the track has no speech
MIN_SHARE = 0.02  # minimum share of speech in the analysed audio for a lane to be selected
MIN_FACTOR = 5  # minimum ratio of its share of speech to that of the chosen tracks
MIN_SPEECH_MS = 200
ENOUGH_MS = 60_000  # speech in one lane that ends the pass
ALIKE_SHARE = 0.8  # lanes with at least this share of the maximum count as equal: the policy's first one is selected

# A partner is mixed with the selected lane if it is the other side of a stereo pair (levels correlate), or another
# microphone whose speaker takes turns (speech does not overlap). Two simultaneous languages are neither.
PARTNER_SHARE = 0.3  # minimum speech, as a share of the lane's
MIN_CORRELATION = 0.8  # between their levels in dB
MAX_OVERLAP = 0.3  # maximum share of the partner's speech
MAX_LAG_SAMPLES = 60 * SAMPLE_RATE_HZ
LEVEL_SAMPLES = SAMPLE_RATE_HZ // 10
MIN_LEVEL_DB = -60.0

Span = tuple[int, int]
"""Start and end in milliseconds."""


@dataclass
class LaneActivity:
    """Speech and levels detected in one lane."""

    lane: Lane
    analysed_ms: int = 0
    confident_speech_ms: int = 0  # without padding
    segments: list[SpeechSegment] = field(default_factory=list)
    levels_db: array[float] = field(default_factory=lambda: array("d"))  # per 0.1 s; 32 lanes of 24 h take 220 MB
    is_silent: bool = True


@dataclass(frozen=True)
class Survey:
    """A policy that selects the lanes with speech, None if there are none, and a detail for the outcome."""

    policy: TrackPolicy | None
    detail: str


def is_sparse(confident_speech_ms: int, duration_ms: int) -> bool:
    """Whether this little speech may be false detections only."""
    return confident_speech_ms <= SPARSE_SHARE * duration_ms


def survey_tracks(
    media: Path,
    decoder: IsolatedDecoder,
    probe: MediaProbe,
    policy: TrackPolicy,
    choice: TrackChoice,
    *,
    confident_speech_ms: int,
    duration_ms: int,
    is_silent: bool,
    spans: Sequence[Span] | None = None,
    limits: MediaLimits | None = None,
    stop: threading.Event | None = None,
) -> Survey | None:
    """Analyse the lanes that `choice` left out or mixed, and choose again. Return None if there are no other lanes.

    `confident_speech_ms` and `duration_ms` are those of the chosen tracks. `is_silent`: these are digital silence, so
    their mix hides no channel with speech. `spans`: analyse only these, in order and without overlap.

    Raises:
        Preempted: `stop` was set.
    """
    lanes = other_lanes(probe, policy, choice)
    if is_silent:
        lanes = tuple(lane for lane in lanes if lane.track not in choice.tracks or _is_left_out_of_mix(probe, lane))
    if not lanes:
        return None
    activities, failure = _analyse_lanes(media, decoder, lanes, spans, limits, stop)
    selected = _select_lanes(activities, confident_speech_ms / max(1, duration_ms), probe)
    chosen = f"{_name_tracks(choice.tracks)} {'silent' if is_silent else 'without speech'}"
    if not selected:
        excluded = "; ".join(choice.passed_over[:MAX_LANES])
        remarks = [f"analysis ended early: {failure}"] if failure else []
        remarks += [excluded] if excluded else []
        detail = f"{chosen}, and no speech detected in {len(lanes)} other channels"
        return Survey(None, detail + "".join(f" ({remark})" for remark in remarks))
    min_speech_ms = PARTNER_SHARE * selected[0].confident_speech_ms
    others = [lane for lane in activities if lane not in selected and lane.confident_speech_ms >= min_speech_ms]
    detail = f"{chosen}: {_name_lanes(selected)} used instead, selected by speech detection"
    detail += f" (speech also in {_name_lanes(others)})" if others else ""
    selected_lanes = tuple(activity.lane for activity in selected)
    return Survey(policy.model_copy(update={"lanes": selected_lanes, "because": detail}), detail)


def measure_speech(blocks: Iterable[np.ndarray], spans: Sequence[Span]) -> LaneActivity:
    """Detect speech in the spans of a stream of mono blocks. Stops reading after the last span."""
    analyser = _LaneAnalyser(Lane(track=0, channel=0), spans)
    for block in blocks:
        analyser.push(block)
        if analyser.has_enough:
            break
    return analyser.finish()


def _is_left_out_of_mix(probe: MediaProbe, lane: Lane) -> bool:
    """Whether the downmix gives the channel no weight, so that a silent mix does not prove it silent."""
    track = probe.tracks[lane.track]
    names = track.channel_names or DEFAULT_LAYOUTS.get(track.n_channels, ())
    return names[lane.channel : lane.channel + 1] == ("LFE",)


def _analyse_lanes(
    media: Path,
    decoder: IsolatedDecoder,
    lanes: tuple[Lane, ...],
    spans: Sequence[Span] | None,
    limits: MediaLimits | None,
    stop: threading.Event | None,
) -> tuple[list[LaneActivity], str]:
    """Return the activity of each lane and, if decoding failed, why. The activity up to the failure is kept."""
    analysers = [_LaneAnalyser(lane, spans) for lane in lanes]
    stop_at: int | None = None
    failure = ""
    try:
        with decoder.open_lanes(media, lanes, limits) as blocks:
            for index, block in blocks:
                if stop is not None and stop.is_set():
                    raise Preempted
                analyser = analysers[index]
                analyser.push(block)
                if stop_at is None and analyser.has_enough:
                    stop_at = analyser.n_samples
                if stop_at is not None and _have_reached(stop_at, analysers):
                    break
    except MediaRejected as rejected:
        failure = rejected.detail  # the chosen tracks have been decoded, so the medium itself is usable
    return [analyser.finish() for analyser in analysers], failure


def _have_reached(stop_at: int, analysers: Sequence[_LaneAnalyser]) -> bool:
    """Whether all lanes have `stop_at` samples, or one is so far ahead that the lagging ones must have ended."""
    positions = [analyser.n_samples for analyser in analysers]
    return min(positions) >= stop_at or max(positions) >= stop_at + MAX_LAG_SAMPLES


class _LaneAnalyser:
    """Detects speech in one lane, everywhere or in spans."""

    def __init__(self, lane: Lane, spans: Sequence[Span] | None) -> None:
        self._result = LaneActivity(lane)
        self._activity = SpeechActivity()
        self._spans = spans
        self._next_span = 0
        self.n_samples = 0  # pushed, including those between spans
        self._n_analysed = 0

    @property
    def has_enough(self) -> bool:
        """Whether more audio would not change the selection: enough speech, or no span left."""
        is_past_spans = self._spans is not None and self._next_span >= len(self._spans)
        return is_past_spans or self._activity.confident_speech_ms >= ENOUGH_MS

    def push(self, block: np.ndarray) -> None:
        """Analyse the parts of a block, `(n_samples,)`, that lie in the spans."""
        begin, self.n_samples = self.n_samples, self.n_samples + len(block)
        if self._spans is None:
            self._analyse(block)
            return
        while self._next_span < len(self._spans):
            start, end = (ms * SAMPLE_RATE_HZ // 1000 - begin for ms in self._spans[self._next_span])
            if start < len(block):
                self._analyse(block[max(0, start) : max(0, end)])
            if end > len(block):
                return
            self._next_span += 1

    def _analyse(self, block: np.ndarray) -> None:
        if not len(block):
            return
        self._n_analysed += len(block)
        self._result.segments += self._activity.push(block)
        self._result.is_silent &= not float(np.abs(block).max()) > SILENT_PEAK
        windows = block[: len(block) // LEVEL_SAMPLES * LEVEL_SAMPLES].reshape(-1, LEVEL_SAMPLES)  # (n_windows, 1600)
        powers = np.einsum("ij,ij->i", windows, windows) / LEVEL_SAMPLES  # (n_windows,)
        self._result.levels_db.extend(max(MIN_LEVEL_DB, decibel(power)) for power in powers.tolist())

    def finish(self) -> LaneActivity:
        """Return the result, including segments that were still open."""
        self._result.segments += self._activity.finish()
        self._result.confident_speech_ms = self._activity.confident_speech_ms
        self._result.analysed_ms = self._n_analysed * 1000 // SAMPLE_RATE_HZ
        return self._result


def _select_lanes(activities: Sequence[LaneActivity], chosen_share: float, probe: MediaProbe) -> list[LaneActivity]:
    """Return the lane with the most speech and its partner, or nothing.

    A lane must have a much larger share of speech than `chosen_share`, the share in the chosen tracks.
    """
    analysed_ms = max(activity.analysed_ms for activity in activities)
    max_speech_ms = max(activity.confident_speech_ms for activity in activities)
    if max_speech_ms < max(MIN_SPEECH_MS, MIN_SHARE * analysed_ms, MIN_FACTOR * chosen_share * analysed_ms):
        return []
    best = next(a for a in activities if a.confident_speech_ms >= ALIKE_SHARE * max_speech_ms)
    multichannel = {a.lane.track for a in activities if a.lane.channel}
    candidates = (a for a in activities if _can_pair(best.lane, a.lane, multichannel, probe))
    partner = next((a for a in candidates if _is_partner(best, a)), None)
    return [best] if partner is None else sorted((best, partner), key=lambda a: (a.lane.track, a.lane.channel))


def _can_pair(a: Lane, b: Lane, multichannel: set[int], probe: MediaProbe) -> bool:
    """Whether two lanes may be a pair: channels of one track, or adjacent mono tracks of one language.

    `multichannel`: the tracks with more than one channel.
    """
    if a.track == b.track:
        return a.channel != b.channel and a.channel // 2 == b.channel // 2
    are_mono = a.track not in multichannel and b.track not in multichannel
    first, second = probe.tracks[a.track], probe.tracks[b.track]
    return are_mono and abs(a.track - b.track) == 1 and first.language == second.language


def _is_partner(best: LaneActivity, other: LaneActivity) -> bool:
    """Whether `other` is to be mixed with `best`: see `PARTNER_SHARE`."""
    if other.confident_speech_ms < PARTNER_SHARE * best.confident_speech_ms:
        return False
    n_levels = min(len(best.levels_db), len(other.levels_db))
    a, b = np.array(best.levels_db[:n_levels]), np.array(other.levels_db[:n_levels])  # (n_levels,) each
    if n_levels > 1 and a.std() and b.std() and float(np.corrcoef(a, b)[0, 1]) >= MIN_CORRELATION:
        return True
    overlap_ms = sum(
        max(0, min(a.end_ms, b.end_ms) - max(a.start_ms, b.start_ms)) for a in best.segments for b in other.segments
    )
    return overlap_ms <= MAX_OVERLAP * sum(segment.duration_ms for segment in other.segments)


def _name_tracks(numbers: Sequence[int]) -> str:
    return f"audio track{'s' if len(numbers) > 1 else ''} {' and '.join(map(str, numbers))}"


def _name_lanes(activities: Sequence[LaneActivity]) -> str:
    """Format lanes as text: "audio tracks 6 and 7", "audio track 0 channels 2 and 3"."""
    by_track: dict[int, list[int]] = {}
    for activity in activities:
        by_track.setdefault(activity.lane.track, []).append(activity.lane.channel)
    if all(channels == [0] for channels in by_track.values()):
        return _name_tracks(list(by_track))
    return ", ".join(
        f"{_name_tracks([track])} channel{'s' if len(channels) > 1 else ''} {' and '.join(map(str, channels))}"
        for track, channels in by_track.items()
    )
