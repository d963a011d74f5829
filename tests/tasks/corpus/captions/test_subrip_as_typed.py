"""SubRip and WebVTT as tools and people write them: times, arrows, lost lines, markup."""

from __future__ import annotations

import pytest

from tasks.corpus.captions.encoding import decode_text
from tasks.corpus.captions.problems import TranscriptError
from tasks.corpus.captions.subtitles import parse_subtitles

FIRST = "1\n00:00:01,000 --> 00:00:02,600\nGood evening to all.\n"
LAST = "3\n00:00:03,300 --> 00:00:05,400\nHere is the news.\n"


def read(text: str, *, is_webvtt: bool = False) -> list[tuple[float, float | None, str]]:
    cues, problems = parse_subtitles(text, is_webvtt=is_webvtt)
    assert problems == []
    return [(cue.start_s, cue.end_s, cue.text) for cue in cues]


@pytest.mark.parametrize(
    ("timing", "start_s", "end_s"),
    [
        ("00:00:01 --> 00:00:04", 1.0, 4.0),
        ("0:0:1,5 --> 0:0:4,25", 1.5, 4.25),
        ("00:00:01,123456 --> 00:00:04,000999", 1.123, 4.001),
        ("00:00:01:500 --> 00:00:04;250", 1.5, 4.25),
        ("00:00:01, --> 00:00:04.", 1.0, 4.0),
        ("00: 00: 01, 000  -->  00 : 00 : 04 , 000", 1.0, 4.0),
        ("00:00:01,000 -> 00:00:04,000", 1.0, 4.0),
        ("00:00:01,000 –> 00:00:04,000", 1.0, 4.0),
        ("00:00:01,000 → 00:00:04,000", 1.0, 4.0),
        ("00:00:01,000-->00:00:04,000", 1.0, 4.0),
        ("\u200e00:00:01,000 --> 00:00:04,000\u00a0", 1.0, 4.0),
        ("00:00:01,000 --> 00:00:04,000 X1:100 X2:200 Y1:10 Y2:20", 1.0, 4.0),
        ("00:00:01.000 --> 00:00:04.000 align:start position:10%,line-left", 1.0, 4.0),
        ("7 00:00:01,000 --> 00:00:04,000", 1.0, 4.0),
    ],
)
def test_times_are_read_as_they_are_written(timing: str, start_s: float, end_s: float) -> None:
    assert read(f"1\n{timing}\nGood evening.\n") == [(start_s, end_s, "Good evening.")]


def test_two_digits_behind_a_third_colon_are_frames() -> None:
    text = "00:00:01:12 --> 00:00:02:24\nOne.\n\n00:00:03:00 --> 00:00:04:05\nTwo.\n"
    assert [times[:2] for times in read(text)] == [(1.48, 2.96), (3.0, 4.2)]


def test_text_behind_the_times_is_the_first_line() -> None:
    assert read("1\n00:00:01,000 --> 00:00:03,000 Good evening\neverybody.\n")[0][2] == "Good evening\neverybody."


@pytest.mark.parametrize(
    "line", ["He said --> go left", "- 10 --> 20 people", "Meet at 10:00 --> 11:00 there", "that is why -> so"]
)
def test_an_arrow_in_a_text_is_no_timing_line(line: str) -> None:
    assert read(f"1\n00:00:01,000 --> 00:00:03,000\nFirst,\n{line}\n\n{LAST}")[0][2] == f"First,\n{line}"


@pytest.mark.parametrize(
    "timing",
    [
        "00:00:02,700 --> 00:00:02,700",
        "00:00:03,200 --> 00:00:02,700",
        "00:01:02,700 --> 00:00:03,200",  # a wrong minute: its place in the file counts
        "00:00:02,7xx --> 00:00:03,200",
        "O0:00:O2,700 --> 00:00:03,2OO",
        "--> 00:00:03,200",
        "00:00:02,700 -->",
        "-00:00:02,700 --> 00:00:03,200",
        "00:00:02,700",
    ],
)
@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_an_unusable_cue_is_named_with_its_place(timing: str, kind: str) -> None:
    text = f"{FIRST}\n2\n{timing}\nFrom London.\n\n{LAST}"
    if kind == "vtt":
        text = "WEBVTT\n\n" + text.replace(",", ".")
    cues, (problem, *_) = parse_subtitles(text)
    assert [cue.text for cue in cues] == ["Good evening to all.", "Here is the news."]
    assert problem.after_s == 1.0
    assert "From" in problem.message or "00:0" in problem.message


@pytest.mark.parametrize("lost", ["2\nFrom London.\n\n", "From London.\n\n", "\n2\n\nFrom London.\n"])
def test_a_cue_without_timing_line_does_not_give_its_words_to_the_cue_above(lost: str) -> None:
    cues, (problem,) = parse_subtitles(f"{FIRST}\n{lost}{LAST}")
    assert [cue.text for cue in cues] == ["Good evening to all.", "Here is the news."]
    assert "From London." in problem.message
    assert problem.after_s == 1.0


def test_a_gap_in_the_numbers_does_not_split_a_cue() -> None:
    """Cues were deleted, and there is no time between the two for the second line."""
    text = "1\n00:00:01,000 --> 00:00:04,000\n- Are you coming?\n\n- Yes.\n\n3\n00:00:04,000 --> 00:00:05,000\nGood.\n"
    assert [cue[2] for cue in read(text)] == ["- Are you coming?\n- Yes.", "Good."]


def test_an_empty_line_inside_a_webvtt_cue_loses_no_words() -> None:
    """By W3C it ends the cue. The line below belongs to it nevertheless: the next cue follows at once."""
    text = "WEBVTT\n\n00:01.000 --> 00:05.000\nGood evening\n\nto all of you.\n\n00:05.000 --> 00:07.000\nThe news.\n"
    assert [cue[2] for cue in read(text)] == ["Good evening\nto all of you.", "The news."]


def test_commented_out_cues_are_not_read() -> None:
    text = "WEBVTT\n\nNOTE\n00:01.000 --> 00:02.000\nOld.\n\n00:03.000 --> 00:04.000\nNew.\n"
    assert [cue[2] for cue in read(text)] == ["New."]


def test_concatenated_files_are_read_to_their_end() -> None:
    both = (FIRST + "\n").encode("utf-8-sig") + LAST.encode("utf-8-sig")
    assert len(read(decode_text(both))) == 2


def test_text_without_a_usable_cue_is_rejected() -> None:
    with pytest.raises(TranscriptError, match="line 2: invalid cue times"):
        parse_subtitles("1\n00:00:xx --> 00:00:03,000\nTwo.\n")


@pytest.mark.parametrize(
    ("marked", "plain"),
    [
        ("Good evening<br>and welcome<BR />to<br/>the news.", "Good evening\nand welcome\nto\nthe news."),
        (r"Good\Nevening{\N}to\hyou", "Good\nevening\nto you"),
        ("<p>Good</p><p>evening</p>", "Good\nevening"),
        ("Good&lt;br&gt;evening", "Good\nevening"),
        ("<b>G</b>ood <i>eve</i>ning", "Good evening"),
        (
            "<ruby>kanji<rt>reading</rt></ruby> and <ruby>more<rp>(</rp><rt>of it</rt><rp>)</rp></ruby>",
            "kanji and more",
        ),
        ("<ruby>one<rt>uno</ruby> two", "one two"),
        ("5 < 6 and 7 > 6", "5 < 6 and 7 > 6"),
    ],
)
def test_markup(marked: str, plain: str) -> None:
    assert read(f"1\n00:00:01,000 --> 00:00:03,000\n{marked}\n") == [(1.0, 3.0, plain)]


def test_two_voices_in_a_cue_give_no_speaker() -> None:
    cues, _ = parse_subtitles("WEBVTT\n\n00:01.000 --> 00:03.000\n<v Ann>Hello.\n<v Ben>Good evening.\n")
    assert [(cue.text, cue.speaker) for cue in cues] == [("Hello.\nGood evening.", "")]


def test_a_few_damaged_bytes_do_not_change_the_encoding() -> None:
    text = "Übergrößen für Männer: schöne Grüße, Jörg\n"
    damaged = text.encode() + b"kaputt \xff\n" + text.encode()
    assert decode_text(damaged, "de") == f"{text}kaputt \ufffd\n{text}"
    assert decode_text((text * 3).encode("utf-16")[:-1]).startswith(text * 2)


def test_song_notes_as_mojibake_are_notes() -> None:
    assert decode_text("♪ la la ♪".encode().decode("cp1252").encode()) == "♪ la la ♪"
