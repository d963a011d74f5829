from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings

from tasks.transcripts.colours import Colour, speaker_colours
from tasks.transcripts.cues.cutting import Cue, Limit, cut
from tasks.transcripts.cues.profiles import BBC, PROFILES, STREAMING, CueProfile, ReadingUnit
from tasks.transcripts.document import Transcript
from tasks.transcripts.reading_order import overlapping_words, speakers_of_words
from tasks.transcripts.text import display_width, join
from tests.tasks.transcripts.builders import at_once, broadcast, speak, transcript, transcripts, word


def texts(cues: tuple[Cue, ...]) -> list[str]:
    return ["\n".join(cue.dashed_lines()) for cue in cues]


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@given(document=transcripts())
@settings(max_examples=75)
def test_invariants(profile: CueProfile, document: Transcript):
    cues = cut(document, profile)
    profile = profile.in_language(document.language)
    colours = speaker_colours(document)
    # Every word, once, in order (of its voice, where voices overlap), in unbroken lines.
    shown = [one for cue in cues for one in cue.words]
    assert Counter(shown) == Counter(document.words)
    for speaker in {one.speaker for one in shown if one.speaker}:
        assert [one for one in shown if one.speaker == speaker] == [w for w in document.words if w.speaker == speaker]
    if not overlapping_words([*document.words], speakers_of_words(document)):
        assert shown == list(document.words)
    for cue in cues:
        assert 1 <= len(cue.lines) <= 2
        assert all(line.text == transcript_text(document, line.words) for line in cue.lines)
        assert all(one.speaker in (line.speaker, None) for line in cue.lines for one in line.words)
    # Times increase and never overlap; a cue starts with its first word, or is flagged as late.
    for cue in cues:
        assert cue.start_ms < cue.end_ms
        spoken_ms = min(one.start_ms for one in cue.words)
        assert cue.start_ms >= spoken_ms
        assert (cue.start_ms > spoken_ms) == (Limit.SYNC in cue.exceeds)
    for before, after in pairwise(cues):
        assert before.end_ms <= after.start_ms
        # A gap that flickers occurs only where dense speech leaves no time for a gap.
        gap_ms = after.start_ms - before.end_ms
        assert gap_ms >= profile.min_gap_ms or before.end_ms - before.start_ms <= 42
        assert gap_ms in range(profile.min_gap_ms + 1) or gap_ms >= profile.max_closed_gap_ms
        # Only a single long word, or dense speech, keeps a cue on screen too long.
        assert Limit.MAX_DURATION not in before.exceeds or len(before.words) == 1 or Limit.SYNC in after.exceeds
    # Limits hold or are flagged, and only the broken ones are.
    for cue in cues:
        dash = 2 if len({line.speaker for line in cue.lines}) == 2 else 0
        white = [colours.get(line.speaker or "", Colour.WHITE) is Colour.WHITE for line in cue.lines]
        widths = [profile.line_width if is_white else profile.coloured_line_width for is_white in white]
        too_wide = [display_width(line.text) + dash > width for line, width in zip(cue.lines, widths, strict=True)]
        assert any(too_wide) == (Limit.LINE_WIDTH in cue.exceeds)
        assert all(len(line.words) == 1 for line, wide in zip(cue.lines, too_wide, strict=True) if wide)
        shown_s = (cue.end_ms - cue.start_ms) / 1_000
        n_units = {
            ReadingUnit.WORD: len(cue.words),
            ReadingUnit.CHARACTER: sum(len(one.text) + 1 for one in cue.words),
            ReadingUnit.COLUMN: sum(display_width(one.text) for one in cue.words),
        }[profile.reading_speed.unit]
        if Limit.READING_SPEED not in cue.exceeds:
            assert n_units / shown_s * 60 <= profile.reading_speed.max_per_min + 1e-6
        assert (shown_s * 1_000 < profile.min_duration_ms) == (Limit.MIN_DURATION in cue.exceeds)
        assert (shown_s * 1_000 > profile.max_duration_ms) == (Limit.MAX_DURATION in cue.exceeds)


def transcript_text(document: Transcript, words) -> str:
    return join((one.text for one in words), document.language)


def test_cues_of_a_broadcast_break_at_phrase_boundaries():
    document = transcript(broadcast(68))
    assert texts(cut(document, BBC)) == [
        "Good evening. The government\nhas announced that more than two",
        "million people will receive\nhigher payments from April,",
        "although the opposition says the\nplan is neither fair nor affordable.",
        "Well, the minister told\nthe House this afternoon",
        "that the money would come from a new\nlevy on the largest companies.",
        "That was welcomed by unions,",
        "but business leaders\nhave warned of the cost.",
        "- Really?\n- I doubt it.",
        "Yes.",
    ]


@pytest.mark.parametrize(
    ("sentence", "lines"),
    [
        ("He came home early, and nobody was there at all.", ["He came home early,", "and nobody was there at all."]),
        ("The people who live there say that it is far too loud.",
         ["The people who live there say", "that it is far too loud."]),
        ("She was walking slowly along the river bank.", ["She was walking slowly", "along the river bank."]),
        ("It is over. They have finally gone home now.", ["It is over.", "They have finally gone home now."]),
    ],
)  # fmt: skip
def test_lines_break_before_small_words_and_after_marks(sentence: str, lines: list[str]):
    assert texts(cut(transcript(speak(sentence)), BBC)) == ["\n".join(lines)]


def test_what_fits_a_line_stays_on_one():
    assert texts(cut(transcript(speak("Nobody expects the evening news.")), BBC)) == [
        "Nobody expects the evening news."
    ]


@pytest.mark.parametrize(
    ("language", "words", "text"),
    [
        ("zh", ["我", "用", "Windows", "Server", "系统"], "我用Windows Server系统"),
        ("ja", ["BBC", "News", "24", "の", "5.5%", "の", "é", "A"], "BBC News 24の5.5%のé A"),
        ("yue", ["香", "港", "T", "Mobile"], "香港T Mobile"),
        ("th", ["สวัส", "ดี", "Mr.", "Smith"], "สวัสดีMr. Smith"),
        ("km", ["សួស្តី", "អ្នក"], "សួស្តី អ្នក"),
        ("bo", ["བཀྲ་ཤིས།", "བདེ་ལེགས།"], "བཀྲ་ཤིས། བདེ་ལེགས།"),
        ("en", ["Good", "evening."], "Good evening."),
    ],
)
def test_words_stand_apart_where_their_script_does(language: str, words: list[str], text: str):
    assert join(words, language) == text
    document = transcript([word(one, 200 * n, 200 * n + 200) for n, one in enumerate(words)], language)
    (cue,) = cut(document)
    assert [line.text for line in cue.lines] == [text]


def test_the_spaces_of_latin_words_count():
    """Six words and two spaces are 31 columns, a line holds 32."""
    for last, n_lines in (("A", 1), ("AB", 2)):
        texts = ["Windows", "Server", "系统", "Windows", "X", "系统", last]
        words = [word(one, 400 * n, 400 * n + 400) for n, one in enumerate(texts)]
        (cue,) = cut(transcript(words, "zh"), BBC)
        assert len(cue.lines) == n_lines
        assert cue.exceeds == ()


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@pytest.mark.parametrize(
    ("language", "sentence", "per_s", "width"),
    [
        ("zh", "今天上午市政府宣布新的大桥将在明年春天开工建设", 5, 32),
        ("yue-Hant", "今日上晝政府宣佈新嘅大橋會喺下年春天開工", 5, 32),
        ("ja", "きょう午前市は新しい橋の建設を来年の春に始めると発表しました", 5, 26),
        ("th", "วันนี้รัฐบาลประกาศว่าสะพานใหม่จะเริ่มสร้างในปีหน้า", 12, 35),
    ],
)
def test_scripts_without_spaces_are_timed_by_the_character(
    language: str, sentence: str, per_s: int, width: int, profile: CueProfile
):
    """At the pace of news every limit holds; at five times that, the reading speed is exceeded."""

    def spoken(per_s: int) -> Transcript:
        each_ms = 1_000 // per_s
        return transcript([word(one, n * each_ms, (n + 1) * each_ms) for n, one in enumerate(10 * sentence)], language)

    cues = cut(spoken(per_s), profile)
    assert [cue.exceeds for cue in cues if cue.exceeds] == []
    widths = [display_width(line.text) for cue in cues for line in cue.lines]
    assert width - 4 <= max(widths) <= width
    hurried = cut(spoken(5 * per_s), profile)
    assert all(Limit.READING_SPEED in cue.exceeds for cue in hurried[:-1])


def test_quick_answers_share_a_cue_with_dashes():
    document = transcript([*speak("Are you sure?", "anna", word_ms=200), *speak("No.", "ben", 700, word_ms=200)])
    (cue,) = cut(document, BBC)
    assert cue.dashed_lines() == ("- Are you sure?", "- No.")
    assert [line.speaker for line in cue.lines] == ["anna", "ben"]


@pytest.mark.parametrize(
    ("answer", "shared"),
    [("No, and I have told you this before", True), ("No, and I have told you this before!", False)],
)
def test_the_dash_counts_as_text(answer: str, shared: bool):
    """White lines of 35 and 36 characters: with the dash, 37 and 38."""
    question = speak("Sure?", "anna", word_ms=200)
    cues = cut(transcript([*question, *speak(answer, "ben", 200, word_ms=200)]))
    assert (len(cues) == 1) == shared
    assert all(Limit.LINE_WIDTH not in cue.exceeds for cue in cues)


def test_a_coloured_line_is_a_column_shorter():
    thirty_seven = speak("Thirty seven characters are this long", "ben")
    assert len(" ".join(one.text for one in thirty_seven)) == 37
    assert len(cut(transcript(thirty_seven))[0].lines) == 1
    chatty = speak("Far more words than the other one has said so far, so she is white.", "anna", 20_000)
    assert len(cut(transcript([*thirty_seven, *chatty]))[0].lines) == 2


def test_cues_stay_for_reading_time_until_the_next_one():
    slow, quick = speak("One quick sentence here.", word_ms=100), speak("Then another.", start_ms=10_000)
    cues = cut(transcript([*slow, *quick]), BBC)
    assert (cues[0].start_ms, cues[0].end_ms) == (0, 1_500)  # four words at 160 a minute
    assert cues[1].end_ms == 11_000  # the shortest time
    followed = [*slow, *speak("Then another.", start_ms=1_400, word_ms=2_000)]
    cues = cut(transcript(followed), BBC)
    assert cues[0].end_ms == cues[1].start_ms == 1_400
    assert cues[0].exceeds == ()  # 171 words a minute


def test_gaps_are_two_frames_or_long():
    full = "These words are as many as two lines of one cue can hold before another one has to begin."
    first = speak(full, word_ms=400)

    def gaps_ms(pause_ms: int) -> list[int]:
        cues = cut(transcript([*first, *speak(full, start_ms=first[-1].end_ms + pause_ms, word_ms=400)]), STREAMING)
        return [after.start_ms - before.end_ms for before, after in pairwise(cues)]

    assert gaps_ms(200) == [80, 80]
    assert gaps_ms(1_200) == [80, 1_200, 80]
    apart = cut(transcript([*speak("First one."), *speak("Second one.", start_ms=60_000)]), STREAMING)
    assert [cue.end_ms - cue.start_ms for cue in apart] == [833, 833]


@pytest.mark.parametrize(
    ("words", "limits"),
    [
        ([word("X" * 38, 0, 3_000)], {Limit.LINE_WIDTH}),
        ([word("slow", 0, 8_000)], {Limit.MAX_DURATION}),
        ([word(text, 0, 0) for text in ["all at once and never stops"] * 8], {Limit.READING_SPEED, Limit.SYNC}),
        (speak("Far too many words in far too short a time to read.", word_ms=60), {Limit.READING_SPEED}),
    ],
)
def test_broken_limits_are_named(words, limits):
    assert limits <= {limit for cue in cut(transcript(words), BBC) for limit in cue.exceeds}


def test_nothing_and_one_word():
    assert cut(transcript([])) == ()
    (cue,) = cut(transcript([word("Yes.", 5, 5)]))
    assert (cue.start_ms, cue.end_ms, texts((cue,))) == (5, 1_005, ["Yes."])


def test_a_calm_broadcast_keeps_every_limit():
    cues = cut(transcript(broadcast(3_000)), BBC)
    assert len(cues) > 200
    assert [cue.exceeds for cue in cues if cue.exceeds] == []


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@pytest.mark.parametrize("slower", [1.3, 2.0])
def test_slow_speech_keeps_every_limit(slower: float, profile: CueProfile):
    words = [
        one.model_copy(update={"start_ms": int(one.start_ms * slower), "end_ms": int(one.end_ms * slower)})
        for one in broadcast(3_000)
    ]
    assert [cue.exceeds for cue in cut(transcript(words), profile) if cue.exceeds] == []


def test_a_cue_ends_early_where_closing_the_gap_would_exceed_its_maximum_duration():
    slow = speak("I do say it as I do it so it is as I do say it to us,", word_ms=330)  # spoken in 5.9 s, read in 6.8
    cues = cut(transcript([*slow, *speak("and on.", start_ms=7_400)]))
    assert [(cue.start_ms, cue.end_ms, cue.exceeds) for cue in cues] == [(0, 6_400, ()), (7_400, 8_400, ())]


def test_voices_at_once_have_a_line_each():
    document = at_once(
        speak("The government has announced that more than two million people will receive higher payments.", "anna"),
        speak("Die Regierung hat bekannt gegeben, dass mehr als zwei Millionen mehr Geld bekommen.", "ben", 200),
    )
    cues = cut(document, STREAMING)
    assert texts(cues) == [
        "- The government has announced\n- Die Regierung hat bekannt",
        "- that more than two million people\n- gegeben, dass mehr als zwei Millionen",
        "- will receive higher payments.\n- mehr Geld bekommen.",
    ]
    assert [cue.start_ms for cue in cues] == [0, 1_200, 3_000]


def test_three_voices_have_two_cues():
    document = at_once(speak("I think so.", "anna"), speak("Never ever.", "ben", 100), speak("Stop it.", "cleo", 200))
    assert texts(cut(document)) == ["I think so.", "- Never ever.\n- Stop it."]


def test_only_overlapping_speech_is_arranged():
    alone = speak("It is late and the last train has left.", "anna", start_ms=9_000)
    document = at_once(speak("Good evening all.", "anna"), speak("Hello!", "ben", 300), alone)
    assert texts(cut(document)) == ["- Good evening all.\n- Hello!", "It is late\nand the last train has left."]
