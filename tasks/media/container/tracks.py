"""Choose the audio track that carries the programme's speech, by an explicit policy."""

from __future__ import annotations

import re
from enum import StrEnum

from tasks.contract import Frozen, Reason
from tasks.media.container.channel_labels import centre_of, position_in_title
from tasks.media.container.formats import MAX_CHANNELS
from tasks.media.container.probe import MediaProbe, TrackInfo
from tasks.media.findings import MediaRejected
from tasks.media.languages import same_language

MIN_SAMPLE_RATE_HZ, MAX_SAMPLE_RATE_HZ = 1_000, 1_000_000

# Containers that carry a stereo mix as two mono tracks (EBU R 48: tracks 1 and 2).
PROFESSIONAL_CONTAINERS = frozenset({"mxf", "mov", "gxf", "lxf"})

AUDIO_DESCRIPTION = re.compile(
    r"audio.?descri|descri(ptive|bed|ption)|\bAD\b|visual.{0,3}impair|blind|h[öo]rfilm|audiodesk", re.IGNORECASE
)
NOT_THE_PROGRAMME = re.compile(
    r"director|commentary (by|with)|audio commentary|international sound|\bM ?& ?E\b|music (and|&) effects"
    r"|clean effects|karaoke|isolated",
    re.IGNORECASE,
)


class ChoiceReason(StrEnum):
    """Why the track was chosen."""

    ASKED = "asked"  # by track or channel number
    ONLY_TRACK = "only_track"
    LANGUAGE = "language"
    DEFAULT_DISPOSITION = "default_disposition"
    FIRST = "first"
    CENTRE = "centre"  # of a surround mix in mono tracks, by their labels
    SPEECH = "speech"  # selected by speech detection, since the tracks chosen by the other rules have none


class Lane(Frozen):
    """One channel of one track, as analysed by `track_survey`."""

    track: int  # index among the audio tracks
    channel: int


MAX_LANES = 32  # analysed for speech when the chosen tracks have none


class TrackPolicy(Frozen):
    """Which track and channel to use. The defaults suit a programme as broadcast."""

    track: int | None = None  # index among the audio tracks, from 0; overrides the other rules
    languages: tuple[str, ...] = ()  # in order of preference: "en", "eng" or "en-GB" alike
    audio_description: bool = False  # use the audio description instead of the programme's own sound
    channel: int | None = None  # one channel of the track, from 0; None mixes the channels that carry the programme
    mono_tracks: int = 2  # mono tracks of an MXF or MOV file to mix into one; `channel` indexes all of them
    lanes: tuple[Lane, ...] = ()  # exactly these, selected by speech detection: channels of one track, or mono tracks
    because: str = ""  # why `lanes` are given; becomes a warning of media decoded with this policy


class TrackChoice(Frozen):
    """The chosen track, or several mono tracks, and why."""

    tracks: tuple[int, ...]  # indexes among the audio tracks
    stream_indexes: tuple[int, ...]  # indexes among all streams
    channel: int | None
    channels: tuple[int, ...] = ()  # of the track, if selected by speech detection; empty for all
    reason: ChoiceReason
    language: str | None
    because: str = ""  # why these tracks replace others, if they were selected by speech detection
    passed_over: tuple[str, ...] = ()  # "1: audio description", one for each track not chosen


def choose_tracks(probe: MediaProbe, policy: TrackPolicy) -> TrackChoice:
    """Choose tracks by `policy`.

    Raises `MediaRejected`: no_audio_track if the policy excludes all, unsupported_codec if none can be decoded.
    """
    usable = {number: track for number, track in enumerate(probe.tracks) if _is_decodable(track)}
    if not usable:
        codecs = ", ".join(sorted({f"{t.codec} {t.n_channels} ch {t.sample_rate_hz} Hz" for t in probe.tracks}))
        raise MediaRejected(Reason.UNSUPPORTED_CODEC, f"no decoder for {codecs}")
    if policy.lanes:
        return _choose_lanes(probe, policy, usable)
    if policy.track is not None:
        if policy.track not in usable:
            raise MediaRejected(Reason.NO_AUDIO_TRACK, f"has no audio track {policy.track}, only {sorted(usable)}")
        return _choice(probe, policy, (policy.track,), ChoiceReason.ASKED)

    eligible = [number for number, track in usable.items() if is_audio_description(track) == policy.audio_description]
    if not eligible:
        kind = "audio description" if policy.audio_description else "anything but audio description"
        raise MediaRejected(Reason.NO_AUDIO_TRACK, f"{len(usable)} audio tracks, none with {kind}")
    best = min(eligible, key=lambda number: _rank(number, usable[number], policy))
    following = [number for number in eligible if number >= best]
    group = _mono_group(probe, best, following)
    reason = _reason(probe.tracks, eligible, best, policy)
    if policy.channel is not None and policy.channel < len(group) > 1:
        return _choice(probe, policy.model_copy(update={"channel": 0}), (group[policy.channel],), ChoiceReason.ASKED)
    if policy.channel is None and (centre := _find_centre(probe, best, following)) is not None:
        return _choice(probe, policy, (centre,), ChoiceReason.CENTRE)
    return _choice(probe, policy, group[: max(1, policy.mono_tracks)], reason)


def other_lanes(probe: MediaProbe, policy: TrackPolicy, choice: TrackChoice) -> tuple[Lane, ...]:
    """Return the lanes that may carry the programme's speech if `choice` has none, best first by the policy.

    Empty if the policy names a track or channel. Excluded: tracks tagged with languages that were not requested, audio
    description, and sound other than the programme's. Channels that `choice` mixed with others are included, since the
    mix may drown them.
    """
    if choice.reason in (ChoiceReason.ASKED, ChoiceReason.SPEECH) or policy.channel is not None:
        return ()
    n_mixed = len(choice.tracks) if len(choice.tracks) > 1 else probe.tracks[choice.tracks[0]].n_channels
    numbers = [
        number
        for number, track in enumerate(probe.tracks)
        if not (number in choice.tracks and n_mixed == 1) and _may_have_speech(track, policy)
    ]
    numbers.sort(key=lambda number: _rank(number, probe.tracks[number], policy))
    lanes = (Lane(track=number, channel=c) for number in numbers for c in range(probe.tracks[number].n_channels))
    return tuple(lane for lane, _ in zip(lanes, range(MAX_LANES), strict=False))


def _may_have_speech(track: TrackInfo, policy: TrackPolicy) -> bool:
    return (
        _is_decodable(track)
        and is_audio_description(track) == policy.audio_description
        and _is_programme(track)
        and not (policy.languages and _language_rank(track, policy) > len(policy.languages))
    )


def is_audio_description(track: TrackInfo) -> bool:
    """Whether a track is audio description, by disposition (DVB audio type 3 sets it) or by title."""
    return bool({"visual_impaired", "descriptions"} & set(track.dispositions) or AUDIO_DESCRIPTION.search(track.title))


def _is_decodable(track: TrackInfo) -> bool:
    return (
        track.decodable
        and track.n_channels <= MAX_CHANNELS
        and (track.sample_rate_hz == 0 or MIN_SAMPLE_RATE_HZ <= track.sample_rate_hz <= MAX_SAMPLE_RATE_HZ)
    )


def _language_rank(track: TrackInfo, policy: TrackPolicy) -> int:
    """Position among the preferred languages; untagged tracks follow them, other languages come last."""
    if track.language is None:
        return len(policy.languages)
    matches = (i for i, wanted in enumerate(policy.languages) if same_language(track.language, wanted))
    return next(matches, len(policy.languages) + 1)


def _is_programme(track: TrackInfo) -> bool:
    other_sound = {"comment", "clean_effects", "karaoke", "non_diegetic"}
    return not (other_sound & set(track.dispositions) or NOT_THE_PROGRAMME.search(track.title))


def _rank(number: int, track: TrackInfo, policy: TrackPolicy) -> tuple[bool, int, bool, int]:
    """Sort key, best track first."""
    return (
        not _is_programme(track),
        _language_rank(track, policy) if policy.languages else 0,
        "default" not in track.dispositions,
        number,
    )


def _choose_lanes(probe: MediaProbe, policy: TrackPolicy, usable: dict[int, TrackInfo]) -> TrackChoice:
    """Choose `policy.lanes`. Raises `MediaRejected(no_audio_track)` if the medium does not have them."""
    numbers = tuple(dict.fromkeys(lane.track for lane in policy.lanes))
    if not usable.keys() >= set(numbers) or any(lane.channel >= usable[lane.track].n_channels for lane in policy.lanes):
        raise MediaRejected(Reason.NO_AUDIO_TRACK, f"has no audio tracks {numbers}, only {sorted(usable)}")
    choice = _choice(probe, policy, numbers, ChoiceReason.SPEECH)
    channels = tuple(lane.channel for lane in policy.lanes) if len(numbers) == 1 else ()
    return choice.model_copy(update={"channels": channels, "because": policy.because})


def _find_centre(probe: MediaProbe, best: int, following: list[int]) -> int | None:
    """Return the centre of a surround mix in mono tracks, by the labels in their headers, else in their titles.

    It carries the dialogue; tracks 1 and 2 have music and atmosphere (HandBrake/HandBrake#1350).
    """
    group = _similar_monos(probe, best, following)
    if len(group) < 3:
        return None
    tracks = [probe.tracks[number] for number in group]
    at = centre_of([track.channel_names[0] if track.channel_names else None for track in tracks])
    at = centre_of([position_in_title(track.title) for track in tracks]) if at is None else at
    return None if at is None else group[at]


def _mono_group(probe: MediaProbe, best: int, following: list[int]) -> tuple[int, ...]:
    """Return the mono tracks that form one mix with `best`, in a container that splits mixes."""
    if probe.container not in PROFESSIONAL_CONTAINERS or not probe.tracks[best].codec.startswith("pcm_"):
        return (best,)
    return _similar_monos(probe, best, following)


def _similar_monos(probe: MediaProbe, best: int, following: list[int]) -> tuple[int, ...]:
    """Return `best` and the mono tracks among `following` of the same language, codec and rate."""
    first = probe.tracks[best]
    if first.n_channels != 1:
        return (best,)
    similar = [
        number
        for number in following
        if (track := probe.tracks[number]).n_channels == 1
        and (track.codec, track.sample_rate_hz, track.language) == (first.codec, first.sample_rate_hz, first.language)
        and _is_programme(track)
    ]
    return tuple(similar)


def _reason(tracks: tuple[TrackInfo, ...], eligible: list[int], best: int, policy: TrackPolicy) -> ChoiceReason:
    if len(tracks) == 1:
        return ChoiceReason.ONLY_TRACK
    if policy.languages and _language_rank(tracks[best], policy) < len(policy.languages):
        return ChoiceReason.LANGUAGE
    marked = [number for number in eligible if "default" in tracks[number].dispositions]
    if best in marked and len(marked) < len(eligible):
        return ChoiceReason.DEFAULT_DISPOSITION
    return ChoiceReason.FIRST


def _choice(probe: MediaProbe, policy: TrackPolicy, numbers: tuple[int, ...], reason: ChoiceReason) -> TrackChoice:
    n_channels = probe.tracks[numbers[0]].n_channels
    if policy.channel is not None and not 0 <= policy.channel < max(1, n_channels):
        raise MediaRejected(
            Reason.NO_AUDIO_TRACK, f"audio track {numbers[0]} has {n_channels} channels, no channel {policy.channel}"
        )
    return TrackChoice(
        tracks=numbers,
        stream_indexes=tuple(probe.tracks[number].index for number in numbers),
        channel=policy.channel,
        reason=reason,
        language=probe.tracks[numbers[0]].language,
        passed_over=tuple(
            f"{number}: {_exclusion_reason(track, policy)}"
            for number, track in enumerate(probe.tracks)
            if number not in numbers
        ),
    )


def _exclusion_reason(track: TrackInfo, policy: TrackPolicy) -> str:
    if not _is_decodable(track):
        return f"no decoder for {track.codec}"
    if is_audio_description(track) != policy.audio_description:
        return "audio description" if is_audio_description(track) else "not audio description"
    if not _is_programme(track):
        return "not the programme's sound"
    return f"another track ({track.language or 'no language'}, {track.n_channels} ch)"
