"""Caption readers: the formats, their quirks, and error messages."""

from __future__ import annotations

import itertools

import pysubs2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import storage
from tasks.contract import InputRejected, Reason
from tasks.corpus.captions import read_transcript
from tasks.corpus.captions.encoding import decode_text
from tasks.corpus.captions.problems import TranscriptError
from tasks.corpus.captions.roll_up import unroll
from tasks.corpus.captions.subtitles import parse_subtitles
from tasks.corpus.captions.ttml import parse_ttml
from tasks.corpus.records import Supervision

SRT = """1
00:00:01,000 --> 00:00:02,500
<i>Good evening.</i>

2
00:00:03.5 --> 00:01:04.250
Here is
the news &amp; sport.
"""

VTT = """WEBVTT - a programme

STYLE
::cue { color: lime }

NOTE 00:00:00.000 --> 00:00:01.000 is no cue

intro
00:01.000 --> 00:02.500 align:start position:10%
<v.loud Fiona Bruce>Good <c.yellow>evening</c>.

00:00:03.500 --> 00:01:04.250
Here <00:00:03.900>is
the news.
"""

TTML = b"""<?xml version="1.0" encoding="UTF-8"?>
<tt xmlns="http://www.w3.org/ns/ttml" xmlns:ttp="http://www.w3.org/ns/ttml#parameter"
    xmlns:ttm="http://www.w3.org/ns/ttml#metadata" ttp:frameRate="25" ttp:tickRate="1000" xml:lang="en">
  <head><metadata><ttm:agent xml:id="a1" type="person"><ttm:name>Huw</ttm:name></ttm:agent></metadata></head>
  <body begin="10s"><div>
    <p begin="00:00:01.000" end="00:00:02.500" ttm:agent="a1">Good<br/>
       evening.</p>
    <p begin="3500t" dur="1s"><span>Here is </span><span>the news.</span></p>
    <p begin="00:00:05:05" end="00:00:06:00">Frames.</p>
    <p><span begin="7s" end="8s">One.</span><span begin="8s" end="9s">Two.</span></p>
  </div></body>
</tt>"""


def times(cues: list[Supervision]) -> list[tuple[float, float | None, str, str]]:
    return [(cue.start_s, cue.end_s, cue.text, cue.speaker) for cue in cues]


def test_subrip() -> None:
    cues, problems = parse_subtitles(SRT)
    assert times(cues) == [(1.0, 2.5, "Good evening.", ""), (3.5, 64.25, "Here is\nthe news & sport.", "")]
    assert problems == []


def test_webvtt_with_notes_styles_voices_and_karaoke_times() -> None:
    cues, problems = parse_subtitles(VTT)
    assert times(cues) == [(1.0, 2.5, "Good evening.", "Fiona Bruce"), (3.5, 64.25, "Here is\nthe news.", "")]
    assert problems == []


def test_ttml_with_offsets_ticks_frames_spans_and_agents() -> None:
    parsed = parse_ttml(TTML)
    assert times(parsed.cues) == [
        (11.0, 12.5, "Good\nevening.", "Huw"),
        (13.5, 14.5, "Here is the news.", ""),
        (15.2, 16.0, "Frames.", ""),
        (17.0, 18.0, "One.", ""),
        (18.0, 19.0, "Two.", ""),
    ]
    assert parsed.problems == []


def test_ebu_tt_counts_from_the_start_of_the_programme() -> None:
    document = b"""<tt xmlns="http://www.w3.org/ns/ttml" xmlns:ttp="http://www.w3.org/ns/ttml#parameter"
        xmlns:ebuttm="urn:ebu:tt:metadata" ttp:timeBase="smpte" ttp:frameRate="25" ttp:dropMode="nonDrop">
      <head><metadata><ebuttm:documentMetadata>
        <ebuttm:documentStartOfProgramme>10:00:00:00</ebuttm:documentStartOfProgramme>
      </ebuttm:documentMetadata></metadata></head>
      <body><div><p begin="10:00:02:00" end="10:00:03:12">Hello.</p></div></body></tt>"""
    assert times(parse_ttml(document).cues) == [(2.0, 3.48, "Hello.", "")]
    media_time = document.replace(b'"smpte"', b'"media"')
    assert times(parse_ttml(media_time).cues) == [(2.0, 3.48, "Hello.", "")]
    from_zero = media_time.replace(b'"10:00:0', b'"00:00:0')
    assert times(parse_ttml(from_zero).cues) == [(2.0, 3.48, "Hello.", "")]


def test_ttml_resolves_no_external_entities() -> None:
    document = b"""<!DOCTYPE tt [<!ENTITY secret SYSTEM "file:///etc/hostname">]>
      <tt xmlns="http://www.w3.org/ns/ttml"><body><div><p begin="1s" end="2s">x &secret; y</p></div></body></tt>"""
    assert times(parse_ttml(document).cues) == [(1.0, 2.0, "x y", "")]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**7),
            st.integers(1, 10**5),
            st.text(st.characters(whitelist_categories=("L", "N", "Zs")), min_size=1, max_size=40).filter(str.strip),
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(["srt", "vtt"]),
)
def test_reads_the_output_of_pysubs2(cues: list[tuple[int, int, str]], kind: str) -> None:
    subtitles = pysubs2.SSAFile()
    for start_ms, duration_ms, text in sorted(cues):
        subtitles.append(pysubs2.SSAEvent(start=start_ms, end=start_ms + duration_ms, text=text))
    read, problems = parse_subtitles(subtitles.to_string(kind))
    expected = [(start / 1000, (start + length) / 1000, text.strip()) for start, length, text in sorted(cues)]
    assert [(cue.start_s, cue.end_s, cue.text) for cue in read] == expected
    assert problems == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_unicode_encodings(encoding: str) -> None:
    assert decode_text("Sürpriz – “çok” güzel\r\nbir gün\r".encode(encoding)) == "Sürpriz – “çok” güzel\nbir gün\n"


def test_western_european_is_the_last_resort() -> None:
    assert decode_text("Déjà vu – “café”".encode("cp1252")) == "Déjà vu – “café”"


def test_windows_1254_keeps_turkish_letters(storage_root: str) -> None:
    uri = storage.join(storage_root, "a.srt")
    storage.write(uri, "00:01,000 --> 00:04,000\nKırmızı kapı, iyi yıllar İzmir".encode("cp1254"))
    (cue,) = read_transcript(uri, "tr-TR").supervisions
    assert cue.text == "Kırmızı kapı, iyi yıllar İzmir"


@pytest.mark.parametrize("data", [bytes(range(256)) * 8, b"\0" * 100, b"\x01\x02\x03\x04" * 50])
def test_binary_is_not_text(data: bytes) -> None:
    with pytest.raises(ValueError, match="not text"):
        decode_text(data)


def test_bad_cues_are_named_by_line_and_the_others_are_read() -> None:
    cues, problems = parse_subtitles(
        "1\n00:00:01,000 --> 00:00:02,000\nOne.\n\n"
        "2\n00:00:xx --> 00:00:03,000\nTwo.\n\n"
        "3\n00:00:05,000 --> 00:00:04,000\nThree.\n"
    )
    assert [cue.text for cue in cues] == ["One."]
    assert [problem.line for problem in problems] == [6, 10]


def test_missing_empty_lines_between_cues() -> None:
    cues, _ = parse_subtitles("1\n00:00:01,000 --> 00:00:02,000\nOne.\n2\n00:00:02,000 --> 00:00:03,000\nTwo.")
    assert [cue.text for cue in cues] == ["One.", "Two."]


TWO_CUES = "1\n00:00:01,000 --> 00:00:04,000\n- Are you coming?\n\n- Yes.\n\n2\n00:00:05,000 --> 00:00:07,000\nGood.\n"


@pytest.mark.parametrize("text", [TWO_CUES, TWO_CUES.replace("\n", "\n\n")])
def test_an_empty_line_inside_a_subrip_cue_loses_no_words(text: str) -> None:
    cues, problems = parse_subtitles(text)
    assert [cue.text for cue in cues] == ["- Are you coming?\n- Yes.", "Good."]
    assert problems == []


def test_automatic_captions_whose_first_line_is_a_space() -> None:
    """As YouTube writes them: a cue of new words, then the same briefly with a blank line below."""
    spoken = ["hello world", "next line", "third one", "the last"]
    blocks, before = [], " "
    for n, line in enumerate(spoken):
        first, _, rest = line.partition(" ")
        blocks.append(f"00:0{n}.000 --> 00:0{n}.990 align:start\n{before}\n{first}<00:0{n}.500><c> {rest}</c>\n")
        blocks.append(f"00:0{n}.990 --> 00:0{n + 1}.000 align:start\n{line}\n \n")
        before = line
    cues, problems = parse_subtitles("\n".join(["WEBVTT\nKind: captions\n", *blocks]))
    assert [(cue.start_s, cue.text) for cue in unroll(cues)] == list(enumerate(spoken))
    assert problems == []


def test_webvtt_lines_outside_cues_are_reported() -> None:
    cues, problems = parse_subtitles(
        "WEBVTT\n\n00:01.000 --> 00:02.000\nOne.\n\nLost.\n\nid\n00:02.000 --> 00:03.000\nTwo."
    )
    assert [cue.text for cue in cues] == ["One.", "Two."]
    assert [str(problem) for problem in problems] == ["line 6: belongs to no cue: 'Lost.'"]


@pytest.mark.parametrize("text", ["just words\nand more", "1\nbad --> worse\nx"])
def test_text_without_cues_is_unreadable(text: str) -> None:
    with pytest.raises(TranscriptError, match="line"):
        parse_subtitles(text)


@given(st.text(max_size=300))
def test_any_text_is_read_or_rejected(text: str) -> None:
    try:
        cues, _ = parse_subtitles(text)
    except TranscriptError:
        return
    assert all(cue.end_s is not None and cue.start_s < cue.end_s for cue in cues)


@given(st.binary(max_size=200))
def test_any_bytes_are_ttml_or_rejected(data: bytes) -> None:
    for document in (data, TTML[: len(data) * 5], TTML.replace(b"1", data[:3])):
        try:
            cues = parse_ttml(document).cues
        except TranscriptError:
            continue
        assert all(cue.end_s is not None and cue.start_s < cue.end_s for cue in cues)


def test_roll_up_captions_are_read_once() -> None:
    lines = ["one two", "three four", "five six", "seven eight", "nine ten", "eleven"]
    scrolled = [Supervision(start_s=0.0, end_s=1.0, text=lines[0])]
    for n, (a, b) in enumerate(itertools.pairwise(lines), start=1):
        scrolled.append(Supervision(start_s=n, end_s=n + 1.0, text=f"{a}\n{b}"))
    assert [cue.text for cue in unroll(scrolled)] == lines


def test_lines_spoken_twice_are_kept_twice() -> None:
    texts = ["Yes.", "Yes.", "And now", "the weather", "from the north", "to the south"]
    cues = [Supervision(start_s=n, end_s=n + 1.0, text=text) for n, text in enumerate(texts)]
    assert unroll(cues) == cues


def test_the_same_words_in_another_language_are_no_repetition() -> None:
    lines = ["one two", "three four", "five six", "seven eight", "nine ten", "eleven"]
    live = [
        Supervision(start_s=n, end_s=n + 1.0, text=f"{a}\n{b}") for n, (a, b) in enumerate(itertools.pairwise(lines))
    ]
    cues = [
        Supervision(start_s=5.0, end_s=6.0, text="No.", language="es"),
        Supervision(start_s=6.0, end_s=7.0, text="No.", language="en"),
    ]
    assert unroll([*live, *cues])[-2:] == cues


@pytest.mark.parametrize(
    ("name", "data", "reason", "message"),
    [
        ("a.srt", b"no times here", Reason.TRANSCRIPT_UNREADABLE, "line 1"),
        ("a.ttml", b"<tt xmlns='http://www.w3.org/ns/ttml'>\n<body>", Reason.TRANSCRIPT_UNREADABLE, "line 2"),
        ("a.jsonl", b'{"text": 1}\n', Reason.TRANSCRIPT_UNREADABLE, "line 1"),
        ("a.vtt", b"\0\1\2" * 40, Reason.TRANSCRIPT_UNREADABLE, "not text"),
        ("a.txt", b" \n", Reason.TRANSCRIPT_EMPTY, "no text"),
        ("a.srt", b"", Reason.TRANSCRIPT_EMPTY, "no text"),
        ("a.jsonl.gz", b"\x1f\x8b broken", Reason.TRANSCRIPT_UNREADABLE, ""),
    ],
)
def test_broken_transcripts_name_file_reason_and_next_step(
    storage_root: str, name: str, data: bytes, reason: Reason, message: str
) -> None:
    uri = storage.join(storage_root, name)
    storage.write(uri, data)
    with pytest.raises(InputRejected) as raised:
        read_transcript(uri, "en")
    assert raised.value.reason is reason
    assert raised.value.subject == uri
    assert raised.value.next_step
    assert message in str(raised.value)


def test_plain_text_has_no_times(storage_root: str) -> None:
    uri = storage.join(storage_root, "a.txt")
    storage.write(uri, "good evening".encode("utf-16"))
    transcript = read_transcript(uri, "en")
    assert times(list(transcript.supervisions)) == [(0.0, None, "good evening", "")]
    assert not transcript.are_captions


@pytest.mark.timeout(60)
@pytest.mark.parametrize("run", ["<a", "<v ", "{\\", "&#", " "])
def test_long_lines_are_parsed_in_linear_time(run: str) -> None:
    """In quadratic time, this would take hours."""
    cues, _ = parse_subtitles(f"1\n00:00:01,000 --> 00:00:02,000\ngood{run * 100_000}evening\n")
    assert cues[0].text.endswith("evening")


@pytest.mark.timeout(60)
def test_cues_of_many_lines_are_parsed_in_linear_time() -> None:
    text = "\n".join("a" * 200_000 + "b")
    cues = [Supervision(start_s=n, end_s=n + 1, text=text) for n in range(5)]
    assert [cue.text for cue in unroll(cues)] == [text] * 5
