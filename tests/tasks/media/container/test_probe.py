from __future__ import annotations

import numpy as np
import pytest

from tasks.contract import Reason
from tasks.media.container.probe import probe_media
from tasks.media.findings import MediaRejected
from tests.tasks.media.making import Track, caf, encode, marked, wav

STEREO = np.stack([marked(1.0), marked(1.0, seed=1)])
MONO = STEREO[:1]


def test_tracks_languages_dispositions_and_titles():
    media = encode(
        "matroska",
        [
            Track(STEREO, "aac", tags={"language": "eng", "title": "Main"}, dispositions=("default",)),
            Track(MONO, "flac", tags={"language": "ger", "title": "Hörfilm"}, dispositions=("visual_impaired",)),
        ],
        video=True,
        tags={"title": "The News"},
    )
    probe = probe_media(media)
    assert (probe.container, probe.n_video_tracks, probe.title, probe.frame_rate) == ("matroska", 1, "The News", 25.0)
    first, second = probe.tracks
    assert (first.codec, first.n_channels, first.channel_names, first.language) == ("aac", 2, ("FL", "FR"), "eng")
    assert (first.title, first.dispositions, first.sample_rate_hz) == ("Main", ("default",), 48_000)
    assert (second.codec, second.language, second.title) == ("flac", "ger", "Hörfilm")
    assert "visual_impaired" in second.dispositions
    assert probe.header_duration_s == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(("tag", "language"), [("English", "en"), ("mul", None), ("qaa", None)])
def test_language_names_are_read_and_special_codes_ignored(tag: str, language: str | None):
    (track,) = probe_media(encode("matroska", Track(MONO, "flac", tags={"language": tag}))).tracks
    assert track.language == language


@pytest.mark.parametrize("container", ["mov", "mxf"])
def test_start_timecode_and_mono_tracks(container: str):
    media = encode(container, [Track(MONO, "pcm_s24le")] * 4, video=True, tags={"timecode": "10:00:00:00"})
    probe = probe_media(media)
    assert (probe.container, probe.start_timecode, probe.frame_rate) == (container, "10:00:00:00", 25.0)
    assert [track.n_channels for track in probe.tracks] == [1, 1, 1, 1]


def test_a_duration_estimated_from_the_bit_rate_is_not_trusted():
    exact, estimated = encode("mp3", Track(STEREO, "libmp3lame")), encode("adts", Track(STEREO, "aac"))
    assert not probe_media(exact).duration_is_estimate
    assert probe_media(exact).header_duration_of(0) == pytest.approx(1.0, abs=0.1)
    assert probe_media(estimated).duration_is_estimate
    assert probe_media(estimated).header_duration_of(0) is None


def test_tags_that_are_not_utf8_are_tolerated():
    media = encode("mp4", Track(STEREO, "aac"), tags={"title": "Caf\u00e9 \u00fcber alles"})
    latin = media.replace("Café über alles".encode(), "Café über alles".encode("latin-1").ljust(17, b"\xff"))
    assert latin != media
    assert len(probe_media(latin).tracks) == 1


def test_custom_channel_orders_do_not_crash():
    """The order right, left makes PyAV 18.1 abort unless its layout object is replaced."""
    probe = probe_media(caf(STEREO, (2, 1)))
    assert probe.tracks[0].channel_names == ("FR", "FL")


@pytest.mark.parametrize(
    ("media", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"x", Reason.NOT_MEDIA),
        (b"Good evening, here is the news. " * 100, Reason.NOT_MEDIA),
        (b"RIFF\xff\xff\xff\xffWAVE", Reason.DAMAGED),
        (bytes(10_000), Reason.NOT_MEDIA),
        (encode("mp4", Track(STEREO, "aac"))[:2000], Reason.TRUNCATED),
        (wav(MONO, 0), Reason.DAMAGED),
    ],
)
def test_files_that_are_not_media_are_rejected(media: bytes, reason: Reason):
    with pytest.raises(MediaRejected) as rejected:
        probe_media(media)
    assert rejected.value.reason is reason
