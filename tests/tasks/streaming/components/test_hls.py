"""WebVTT segments and playlists."""

from __future__ import annotations

from tasks.streaming.components.hls import SEGMENT_MS, VttCue, count_segments, playlist, segment


def test_a_cue_across_a_segment_boundary_is_in_both_segments() -> None:
    cue = VttCue(start_ms=SEGMENT_MS - 500, end_ms=SEGMENT_MS + 500, text="a &amp; b")
    first, second, third = (segment(number, [cue]).decode() for number in range(3))
    assert "00:00:05.500 --> 00:00:06.500\na &amp; b" in first
    assert first.count("-->") == second.count("-->") == 1
    assert "-->" not in third
    assert all(text.startswith("WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:0,LOCAL:00:00:00.000\n") for text in (first, third))


def test_a_playlist_ends_with_the_session() -> None:
    assert "#EXT-X-ENDLIST" not in playlist(3).decode()
    ended = playlist(3, 2 * SEGMENT_MS + 1_500).decode()
    assert ended.splitlines()[-3:] == ["#EXTINF:1.500,", "captions-000002.vtt", "#EXT-X-ENDLIST"]
    assert count_segments(ended.encode()) == 3
