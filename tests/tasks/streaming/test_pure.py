"""Agreement, endpoints, playlists and settings: plain data in, plain data out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import kafka
from tasks.contract import Misconfigured
from tasks.streaming.components.agreement import after, agreed, fold, in_sequence
from tasks.streaming.components.endpointing import WINDOW_MS, EndpointState, advance, close
from tasks.streaming.components.hls import SEGMENT_MS, ShownCue, count_segments, playlist, segment
from tasks.streaming.runtime.messages import LiveWord, from_pcm, pcm


def words(text: str, start_ms: int = 0, each_ms: int = 400) -> tuple[LiveWord, ...]:
    return tuple(
        LiveWord(text=word, start_ms=start_ms + i * each_ms, end_ms=start_ms + (i + 1) * each_ms, confidence=0.5)
        for i, word in enumerate(text.split())
    )


def test_only_what_two_hypotheses_begin_with_is_settled() -> None:
    before, now = words("the river will rice"), words("The river, will rise again")
    assert agreed(before, now, 10_000) == 3
    assert agreed(before, now, 900) == 2
    assert agreed((), now, 10_000) == 0


def test_what_is_committed_is_not_heard_again() -> None:
    heard = words("the river will rise")
    assert [w.text for w in after(heard, heard[1])] == ["will", "rise"]
    shifted = words("the river will rise", start_ms=60)
    assert [w.text for w in after(shifted, heard[1])] == ["will", "rise"]
    short = (LiveWord(text="a", start_ms=500, end_ms=540, confidence=1),)
    again = (LiveWord(text="a", start_ms=560, end_ms=600, confidence=1),)
    assert after(again, short[0]) == ()


def test_marks_and_case_do_not_keep_words_from_agreeing() -> None:
    assert fold("Ende!") == fold("ende") == fold("“Ende”")


@given(st.lists(st.tuples(st.integers(0, 9_000), st.integers(0, 500)), max_size=20), st.integers(0, 5_000))
def test_times_never_run_back(times: Sequence[tuple[int, int]], from_ms: int) -> None:
    given_words = [LiveWord(text="x", start_ms=s, end_ms=s + d, confidence=1) for s, d in times]
    ordered = in_sequence(given_words, from_ms)
    last = from_ms
    for word in ordered:
        assert last <= word.start_ms <= word.end_ms
        last = word.end_ms


@given(st.lists(st.sampled_from([0.0, 0.15, 0.9]), max_size=200), st.lists(st.integers(1, 9), min_size=1, max_size=50))
def test_endpoints_do_not_depend_on_how_messages_were_cut(probabilities: list[float], lengths: list[int]) -> None:
    whole, pieces = EndpointState(), EndpointState()
    expected = advance(whole, probabilities, 0)
    found, at = [], 0
    while at < len(probabilities):
        n = lengths[at % len(lengths)]
        found += advance(pieces, probabilities[at : at + n], at * WINDOW_MS)
        at += n
    assert (found, pieces) == (expected, whole)
    end_ms = len(probabilities) * WINDOW_MS
    utterances = expected + close(whole, end_ms)
    assert all(u.start_ms < u.end_ms for u in utterances)


def test_a_breath_does_not_end_an_utterance_and_a_pause_does() -> None:
    state = EndpointState()
    assert advance(state, [0.9] * 20 + [0.01] * 10 + [0.9] * 20, 0) == []
    (ended,) = advance(state, [0.01] * 20, 50 * WINDOW_MS)
    assert ended.start_ms == 0
    assert ended.end_ms == 50 * WINDOW_MS + 400


def test_a_cue_over_a_border_stands_in_both_segments() -> None:
    cue = ShownCue(start_ms=SEGMENT_MS - 500, end_ms=SEGMENT_MS + 500, text="a &amp; b")
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


@given(st.lists(st.floats(-2, 2, width=32), max_size=50))
def test_samples_survive_their_16_bits(samples: list[float]) -> None:
    import numpy as np

    found = from_pcm(pcm(np.array(samples, np.float32)))
    assert np.abs(found - np.clip(samples, -1, 32_767 / 32_768)).max(initial=0) <= 1 / 65_536 + 1e-7


def test_voices_are_known_again_and_new_ones_counted() -> None:
    import numpy as np

    from tasks.streaming.components.speakers import KnownVoices

    rng = np.random.default_rng(1)
    people = np.eye(3, 8)
    voices = KnownVoices()
    order = [0, 0, 1, 0, 2, 1, 2, 0]
    found = [voices.hear(3 * people[who] + rng.normal(0, 0.3, 8), threshold=0.8) for who in order]
    assert found == order
    assert KnownVoices.model_validate_json(voices.model_dump_json()) == voices
    assert KnownVoices().hear(people[0], 0.8, may_be_new=False) is None


def test_kafkas_settings_are_json_or_a_file_with_it(tmp_path: Path) -> None:
    file = tmp_path / "kafka.json"
    file.write_text('{"security.protocol": "ssl"}')
    expected = {"bootstrap.servers": "a:9092", "security.protocol": "ssl"}
    for config in (str(file), file.read_text(), "\n" + file.read_text()):
        assert kafka.client_config({kafka.BROKERS_VARIABLE: "a:9092", kafka.CONFIG_VARIABLE: config}) == expected
    for torn in ('{"sasl.password": "secret"', str(tmp_path / "none.json")):
        with pytest.raises(Misconfigured, match=kafka.CONFIG_VARIABLE) as raised:
            kafka.client_config({kafka.BROKERS_VARIABLE: "a:9092", kafka.CONFIG_VARIABLE: torn})
        assert "secret" not in str(raised.value)
