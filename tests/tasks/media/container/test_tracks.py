from __future__ import annotations

import pytest

from tasks.contract import Reason
from tasks.media.container.channel_labels import order_in_title
from tasks.media.container.probe import MediaProbe, TrackInfo
from tasks.media.container.tracks import (
    ChoiceReason,
    Lane,
    TrackPolicy,
    choose_tracks,
    is_audio_description,
    other_lanes,
)
from tasks.media.findings import MediaRejected
from tasks.media.languages import language_tag, same_language


def track(**changes) -> TrackInfo:
    return TrackInfo.model_validate(
        {
            "index": 1, "codec": "aac", "decodable": True, "sample_rate_hz": 48_000, "sample_format": "fltp",
            "n_channels": 2, "layout": "stereo", "channel_names": ("FL", "FR"), "language": None, "title": "",
            "dispositions": (), "starts_at_s": 0.0, "header_duration_s": 60.0, **changes,
        }
    )  # fmt: skip


def probe(*tracks: TrackInfo, container: str = "mov") -> MediaProbe:
    numbered = tuple(t.model_copy(update={"index": i + 1}) for i, t in enumerate(tracks))
    return MediaProbe(
        container=container, n_bytes=1, tracks=numbered, n_video_tracks=1, title="", starts_at_s=0.0,
        header_duration_s=60.0, duration_is_estimate=False, start_timecode=None, frame_rate=25.0,
    )  # fmt: skip


def mono(**changes) -> TrackInfo:
    return track(codec="pcm_s24le", n_channels=1, layout="mono", channel_names=("FC",), **changes)


DESCRIPTION = track(language="eng", dispositions=("visual_impaired",))
GERMAN, ENGLISH, FRENCH = (track(language=language) for language in ("ger", "eng", "fra"))


@pytest.mark.parametrize(
    ("tracks", "policy", "chosen", "reason"),
    [
        ([GERMAN], {}, (0,), ChoiceReason.ONLY_TRACK),
        ([GERMAN, ENGLISH], {}, (0,), ChoiceReason.FIRST),
        ([GERMAN, ENGLISH], {"languages": ("en",)}, (1,), ChoiceReason.LANGUAGE),
        ([GERMAN, ENGLISH], {"languages": ("en-GB", "de")}, (1,), ChoiceReason.LANGUAGE),
        ([FRENCH, GERMAN, ENGLISH], {"languages": ("de", "en")}, (1,), ChoiceReason.LANGUAGE),
        ([FRENCH, track()], {"languages": ("en",)}, (1,), ChoiceReason.FIRST),  # untagged before another language
        ([FRENCH, GERMAN], {"languages": ("en",)}, (0,), ChoiceReason.FIRST),
        ([GERMAN, track(dispositions=("default",))], {}, (1,), ChoiceReason.DEFAULT_DISPOSITION),
        ([DESCRIPTION, ENGLISH], {"languages": ("en",)}, (1,), ChoiceReason.LANGUAGE),
        (
            [DESCRIPTION, FRENCH],
            {"languages": ("en",)},
            (1,),
            ChoiceReason.FIRST,
        ),  # never, although its language matches
        ([ENGLISH, DESCRIPTION], {"audio_description": True}, (1,), ChoiceReason.FIRST),
        ([track(title="International sound"), track()], {}, (1,), ChoiceReason.FIRST),
        ([track(dispositions=("comment", "default")), track()], {}, (1,), ChoiceReason.FIRST),
        ([track(decodable=False), track()], {}, (1,), ChoiceReason.FIRST),
        ([GERMAN, ENGLISH, DESCRIPTION], {"track": 2}, (2,), ChoiceReason.ASKED),
    ],
)
def test_choice(tracks: list[TrackInfo], policy: dict, chosen: tuple[int, ...], reason: ChoiceReason):
    choice = choose_tracks(probe(*tracks), TrackPolicy(**policy))
    assert (choice.tracks, choice.reason) == (chosen, reason)
    assert choice.stream_indexes == tuple(number + 1 for number in chosen)
    assert len(choice.passed_over) == len(tracks) - len(chosen)


@pytest.mark.parametrize(
    ("container", "tracks", "policy", "chosen"),
    [
        ("mxf", [mono()] * 8, {}, (0, 1)),
        ("mov", [mono(dispositions=("default",)), mono(), mono()], {}, (0, 1)),
        ("mxf", [mono()] * 8, {"mono_tracks": 1}, (0,)),
        ("mxf", [mono()] * 8, {"track": 3}, (3,)),
        ("mxf", [mono()] * 8, {"channel": 0}, (0,)),  # two languages without tags, one by one
        ("mxf", [mono()] * 8, {"channel": 1}, (1,)),
        ("mxf", [mono()] * 8, {"channel": 5}, (5,)),
        ("mxf", [mono(language="ger"), mono(language="eng")], {}, (0,)),  # two languages are not a stereo pair
        ("mxf", [mono(language="ger"), mono(language="ger"), mono(language="eng")], {"languages": ("eng",)}, (2,)),
        ("mxf", [mono(), mono(sample_rate_hz=44_100)], {}, (0,)),
        ("matroska", [mono()] * 2, {}, (0,)),  # two languages without tags, more likely
        ("mxf", [track(codec="pcm_s24le"), mono()], {}, (0,)),
    ],
)
def test_grouping_of_mono_tracks(container: str, tracks: list[TrackInfo], policy: dict, chosen: tuple):
    assert choose_tracks(probe(*tracks, container=container), TrackPolicy(**policy)).tracks == chosen


def labelled(*names: str, **changes) -> list[TrackInfo]:
    """Mono tracks labelled by their headers."""
    return [mono(**changes).model_copy(update={"channel_names": (name,) if name else ()}) for name in names]


def titled(*titles: str, **changes) -> list[TrackInfo]:
    return [mono(title=title, **changes) for title in titles]


SURROUND = ("FL", "FR", "FC", "LFE", "BL", "BR")


@pytest.mark.parametrize(
    ("container", "tracks", "chosen"),
    [
        ("mov", labelled(*SURROUND), (2,)),
        ("mxf", labelled("FL", "FC", "FR", "SL", "SR", "LFE"), (1,)),  # film order
        ("mxf", labelled("FL", "FR", "FC", "LFE", "SL", "SR", "DL", "DR"), (2,)),
        ("mov", labelled("DL", "DR", *SURROUND), (4,)),  # the stereo mix first
        ("mov", labelled(*SURROUND, language="ger") + labelled(*SURROUND, language="eng"), (2,)),
        ("mov", labelled(*SURROUND, *SURROUND), (2,)),
        ("mov", labelled("FL", "FR", "FC"), (2,)),
        ("mov", labelled("FL", "FR", "FC", "FC"), (0, 1)),  # a stereo pair and two tracks without labels
        ("mov", labelled("FL", "FR", *SURROUND), (0, 1)),  # the stereo mix has the dialogue too
        ("mov", labelled("FL", "FR"), (0, 1)),
        ("mov", labelled("FL", "FR", "BL", "BR"), (0, 1)),
        ("mxf", labelled(*[""] * 8), (0, 1)),
        ("mxf", titled("L", "R", "C", "LFE", "Ls", "Rs"), (2,)),
        ("mxf", titled("Ch 1 (Left)", "Ch 2 (Right)", "Ch 3 (Centre)", "Ch 4 (LFE)", "Ls", "Rs"), (2,)),
        ("mxf", titled("L", "C", "R", "Ls", "Rs", "LFE"), (1,)),
        ("mxf", titled("Front Left", "Front Right", "Front Center", "Low Frequency Effects"), (2,)),
        ("matroska", titled("Left", "Right", "Center", "LFE", "Left surround", "Right surround"), (2,)),
        ("mxf", titled("Track 1", "Track 2", "Track 3", "Track 4"), (0, 1)),
        ("mxf", titled("Main L", "Main R", "M&E L", "M&E R"), (0, 1)),
    ],
)
def test_the_centre_of_labelled_mono_tracks(container: str, tracks: list[TrackInfo], chosen: tuple[int, ...]):
    assert choose_tracks(probe(*tracks, container=container), TrackPolicy()).tracks == chosen


def test_the_language_comes_before_the_centre():
    tracks = [*labelled(*SURROUND, language="ger"), *labelled(*SURROUND, language="eng")]
    choice = choose_tracks(probe(*tracks), TrackPolicy(languages=("en",)))
    assert (choice.tracks, choice.reason) == ((8,), ChoiceReason.CENTRE)
    assert choose_tracks(probe(*tracks), TrackPolicy(channel=0)).tracks == (0,)


@pytest.mark.parametrize(
    ("title", "n_channels", "names"),
    [
        ("5.1 (L R C LFE Ls Rs)", 6, ("FL", "FR", "FC", "LFE", "SL", "SR")),
        ("L,C,R,Ls,Rs,LFE", 6, ("FL", "FC", "FR", "SL", "SR", "LFE")),
        ("L R C LFE Ls Rs", 8, ()),
        ("Surround", 6, ()),
        ("", 6, ()),
        ("L R", 2, ()),
    ],
)
def test_the_order_of_channels_in_a_title(title: str, n_channels: int, names: tuple[str, ...]):
    assert order_in_title(title, n_channels) == names


@pytest.mark.parametrize(
    ("tracks", "policy", "lanes"),
    [
        ([mono(), mono(), mono(), mono()], {}, [(0, 0), (1, 0), (2, 0), (3, 0)]),
        ([mono()], {}, []),
        ([track()], {}, [(0, 0), (0, 1)]),
        ([GERMAN, ENGLISH], {"languages": ("en",)}, [(1, 0), (1, 1)]),  # no language that was not requested
        ([track(), ENGLISH], {"languages": ("en",)}, [(1, 0), (1, 1), (0, 0), (0, 1)]),
        ([GERMAN, ENGLISH], {}, [(0, 0), (0, 1), (1, 0), (1, 1)]),
        ([ENGLISH, DESCRIPTION], {}, [(0, 0), (0, 1)]),
        ([ENGLISH, track(title="M&E")], {}, [(0, 0), (0, 1)]),
        ([mono(), mono()], {"track": 1}, []),
        ([mono(), mono()], {"channel": 1}, []),
        (labelled(*SURROUND), {}, [(0, 0), (1, 0), (3, 0), (4, 0), (5, 0)]),
        ([mono()] * 40, {}, [(n, 0) for n in range(32)]),
    ],
)
def test_what_else_may_have_the_speech(tracks: list[TrackInfo], policy: dict, lanes: list[tuple[int, int]]):
    medium = probe(*tracks)
    choice = choose_tracks(medium, TrackPolicy(**policy))
    found = other_lanes(medium, TrackPolicy(**policy), choice)
    assert [(lane.track, lane.channel) for lane in found] == lanes


def test_lanes_selected_by_speech_detection_are_chosen():
    lanes = (Lane(track=2, channel=0), Lane(track=3, channel=0))
    choice = choose_tracks(probe(*[mono()] * 4), TrackPolicy(lanes=lanes, because="silence"))
    assert (choice.tracks, choice.channels, choice.reason) == ((2, 3), (), ChoiceReason.SPEECH)
    assert choice.because == "silence"
    pair = tuple(Lane(track=0, channel=channel) for channel in (6, 7))
    assert choose_tracks(probe(track(n_channels=8)), TrackPolicy(lanes=pair)).channels == (6, 7)
    with pytest.raises(MediaRejected):
        choose_tracks(probe(mono()), TrackPolicy(lanes=lanes))


@pytest.mark.parametrize(
    ("tracks", "policy", "reason"),
    [
        ([DESCRIPTION], {}, Reason.NO_AUDIO_TRACK),
        ([ENGLISH], {"audio_description": True}, Reason.NO_AUDIO_TRACK),
        ([ENGLISH], {"track": 1}, Reason.NO_AUDIO_TRACK),
        ([ENGLISH], {"channel": 2}, Reason.NO_AUDIO_TRACK),
        ([track(decodable=False, codec="unknown")], {}, Reason.UNSUPPORTED_CODEC),
        ([track(n_channels=65_535)], {}, Reason.UNSUPPORTED_CODEC),
        ([track(sample_rate_hz=2**31 - 1)], {}, Reason.UNSUPPORTED_CODEC),
        ([track(sample_rate_hz=1)], {}, Reason.UNSUPPORTED_CODEC),
    ],
)
def test_no_track_to_choose(tracks: list[TrackInfo], policy: dict, reason: Reason):
    with pytest.raises(MediaRejected) as rejected:
        choose_tracks(probe(*tracks), TrackPolicy(**policy))
    assert rejected.value.reason is reason


@pytest.mark.parametrize(
    ("title", "is_description"),
    [
        ("Audio Description", True), ("English (AD)", True), ("audiodescription", True), ("Hörfilm", True),
        ("Descriptive audio", True), ("Main", False), ("Stereo", False), ("Advert mix", False), ("", False),
    ],
)  # fmt: skip
def test_audio_description_by_title(title: str, is_description: bool):
    assert is_audio_description(track(title=title)) is is_description


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [("eng", "en", True), ("en-GB", "eng", True), ("fre", "fra", True), ("DE", "ger", True), ("en", "de", False),
     ("nno", "nb-NO", True), ("qaa", "qaa", True), ("qaa", "mis", False)],
)  # fmt: skip
def test_language_tags(a: str, b: str, same: bool):
    assert same_language(a, b) is same


@pytest.mark.parametrize(
    ("value", "tag"),
    [("ENG", "eng"), ("en-GB", "en-gb"), ("English", "en"), (" tr ", "tr"), ("mul", None), ("und", None),
     ("und-Latn", None), ("qaa", None), ("qtz", None), ("que", "que"), ("Klingon", None), ("", None)],
)  # fmt: skip
def test_tags_that_name_no_language(value: str, tag: str | None):
    assert language_tag(value) == tag
