from __future__ import annotations

import pytest

from tasks.contract import Reason
from tasks.media.container.probe import MediaProbe, TrackInfo
from tasks.media.container.tracks import ChoiceReason, TrackPolicy, choose_tracks, is_audio_description
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
     ("qaa", "qaa", True), ("qaa", "mis", False)],
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
