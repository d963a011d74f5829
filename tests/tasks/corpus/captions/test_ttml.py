"""TTML: its time model, the text of paragraphs, and damaged documents."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings

from tasks.corpus.captions.problems import TranscriptError
from tasks.corpus.captions.ttml import is_ttml, parse_ttml
from tasks.transcripts.document import Transcript
from tasks.transcripts.formats import ttml as writer
from tasks.transcripts.formats.rendition import Rendition
from tests.tasks.transcripts.builders import speak, transcript, transcripts

NAMESPACES = (
    'xmlns="http://www.w3.org/ns/ttml" xmlns:ttp="http://www.w3.org/ns/ttml#parameter" '
    'xmlns:ttm="http://www.w3.org/ns/ttml#metadata" xmlns:tts="http://www.w3.org/ns/ttml#styling" '
    'xmlns:smpte="http://www.smpte-ra.org/schemas/2052-1/2010/smpte-tt"'
)
Cue = tuple[float, float | None, str]


def document(paragraphs: str, parameters: str = "", head: str = "", body: str = "", div: str = "") -> bytes:
    return (
        f"<tt {NAMESPACES} {parameters}><head>{head}</head><body {body}><div {div}>{paragraphs}</div></body></tt>"
    ).encode()


def cues(data: bytes) -> list[Cue]:
    return [(cue.start_s, cue.end_s, cue.text) for cue in parse_ttml(data).cues]


REVEALED = [(1.0, 4.0, "Good evening and welcome.")]


@pytest.mark.parametrize(
    ("paragraphs", "expected"),
    [
        pytest.param(
            '<p begin="1s" end="4s">Good <span begin="0.5s">evening </span><span begin="1s">and welcome.</span></p>',
            REVEALED, id="text before the first span",
        ),
        pytest.param(
            '<p begin="1s" end="4s"><span>Good</span> <span begin="0.5s">evening <span begin="0.2s">and </span></span>'
            '<span begin="1s" dur="2s">welcome.</span></p>',
            REVEALED, id="nested spans",
        ),
        pytest.param(
            '<p begin="1s" end="4s">\n  <span begin="0s" end="3s">Good</span>\n  <span begin="0.5s" end="3s">evening'
            '</span>\n  <span begin="1s" end="3s">and welcome.</span>\n</p>',
            REVEALED, id="indented, with ends",
        ),
        pytest.param(
            '<p><span begin="1s" end="4s">Good evening</span> <span begin="2s" end="4s">and welcome.</span></p>',
            REVEALED, id="a paragraph without times",
        ),
        pytest.param(
            '<p begin="1s" end="9s"><span begin="0s" end="2s">Good evening.</span><span begin="2s" end="5s">Welcome.'
            '</span></p>',
            [(1.0, 3.0, "Good evening."), (3.0, 6.0, "Welcome.")], id="spans that replace each other",
        ),
        pytest.param(
            '<p begin="1s" end="9s"><span begin="0s" end="2s">good evening</span><span begin="2s" end="5s">welcome'
            '</span></p>',
            [(1.0, 3.0, "good evening"), (3.0, 6.0, "welcome")], id="without marks or spaces between them",
        ),
        pytest.param(
            '<p begin="1s" end="9s"><span begin="0s" end="1s">Good </span><span begin="1s" end="2s">eve</span>'
            '<span begin="2s" end="3s">ning</span></p>',
            [(1.0, 2.0, "Good"), (2.0, 4.0, "evening")], id="syllables",
        ),
        pytest.param(
            '<p begin="1s" end="4s"><set begin="1s" tts:color="red"/>Good evening<metadata><ttm:desc>no</ttm:desc>'
            '</metadata> and <!-- no -->welcome.</p>',
            REVEALED, id="animation, metadata and comments",
        ),
        pytest.param(
            '<p begin="0:01.0" end="0:04.0"><span begin="0:01.0" end="0:02.0">Good evening</span>'
            '<span begin="0:02.0" end="0:04.0"> and welcome.</span></p>',
            [(1.0, 2.0, "Good evening"), (2.0, 4.0, "and welcome.")], id="spans that count from the start",
        ),
    ],
)  # fmt: skip
def test_timed_spans(paragraphs: str, expected: list[Cue]) -> None:
    parsed = parse_ttml(document(paragraphs))
    assert cues(document(paragraphs)) == expected
    assert parsed.problems == []


@pytest.mark.parametrize(
    ("paragraphs", "containers", "expected"),
    [
        pytest.param(
            '<p begin="1s" end="3s" dur="5s">A</p><p begin="4s" end="9s" dur="1s">B</p>', {},
            [(1.0, 3.0, "A"), (4.0, 5.0, "B")], id="the earlier of end and begin plus dur",
        ),
        pytest.param(
            '<p begin="1s" end="9s">A</p>', {"body": 'begin="10s" dur="20s"', "div": 'begin="5s" end="10s"'},
            [(16.0, 20.0, "A")], id="limited by what is around it",
        ),
        pytest.param(
            '<p dur="2s">A</p><p begin="1s" dur="2s">B</p><p end="1s">C</p>',
            {"div": 'timeContainer="seq" begin="10s"'},
            [(10.0, 12.0, "A"), (13.0, 15.0, "B"), (15.0, 16.0, "C")], id="a sequence of paragraphs",
        ),
        pytest.param(
            '<p dur="2s">A</p></div><div timeContainer="seq"><p dur="2s">B</p><p dur="2s">C</p></div>'
            '<div><p dur="1s">D</p>',
            {"body": 'timeContainer="seq"'},
            [(0.0, 2.0, "A"), (2.0, 4.0, "B"), (4.0, 6.0, "C"), (6.0, 7.0, "D")], id="a sequence of divisions",
        ),
        pytest.param(
            '<p begin="1s" timeContainer="seq"><span dur="1s">A</span><br/><span begin="1s" dur="2s">B</span></p>', {},
            [(1.0, 2.0, "A"), (3.0, 5.0, "B")], id="a sequence of spans",
        ),
        pytest.param(
            '<p begin="1s" timeContainer="seq">- <span dur="1s">A</span></p>', {},
            [(1.0, 2.0, "- A")], id="text between the spans of a sequence",
        ),
        pytest.param(
            '<p begin="1s">Good evening.</p><p begin="3s">Welcome.</p><p begin="60s">Good night to you all.</p>', {},
            [(1.0, 3.0, "Good evening."), (3.0, 5.0, "Welcome."), (60.0, 63.75, "Good night to you all.")],
            id="without ends",
        ),
        pytest.param(
            '<p begin="1s">Good evening.</p><p begin="60s">Good night.</p>', {"div": 'end="61s"'},
            [(1.0, 3.625, "Good evening."), (60.0, 61.0, "Good night.")], id="without ends, in a division with one",
        ),
    ],
)  # fmt: skip
def test_time_containers(paragraphs: str, containers: dict[str, str], expected: list[Cue]) -> None:
    assert cues(document(paragraphs, **containers)) == expected


SMPTE = 'ttp:timeBase="smpte" ttp:frameRate="30" ttp:frameRateMultiplier="1000 1001"'


@pytest.mark.parametrize(
    ("parameters", "begin", "seconds"),
    [
        ("", "01:02:03.5", 3723.5),
        ("", "01:02:03,500", 3723.5),
        ("", "1:02:03.5", 3723.5),
        ("", "02:03.5", 123.5),
        ("", "1.5h", 5400.0),
        ("", "2.5m", 150.0),
        ("", "1500ms", 1.5),
        ("", "45f", 1.5),
        ('ttp:frameRate="25"', "00:00:01:05", 1.2),
        ('ttp:frameRate="25"', "00:00:01:25", 1.96),
        ('ttp:frameRate="25" ttp:subFrameRate="2"', "00:00:01:05.1", 1.22),
        ('ttp:frameRate="25"', "50t", 2.0),
        ('ttp:frameRate="25" ttp:subFrameRate="2"', "50t", 1.0),
        ('ttp:tickRate="10000000"', "15000000t", 1.5),
        ("", "3t", 3.0),
        ('ttp:frameRate="24" ttp:frameRateMultiplier="1000 1001"', "24f", 1.001),
        ('ttp:frameRate="24" ttp:frameRateMultiplier="1000:1001"', "24f", 1.001),
        ('ttp:frameRate="24" ttp:frameRateMultiplier="999 1000"', "24f", 1.001),
        ('ttp:frameRate="23.976"', "24f", 1.001),
        ('ttp:frameRate="24" ttp:frameRateMultiplier="1000 1001"', "01:00:00:12", 3600.5005),
        (SMPTE, "01:00:00:00", 3603.6),
        (SMPTE + ' ttp:dropMode="nonDrop"', "00:00:01:00", 1.001),
        (SMPTE + ' ttp:dropMode="dropNTSC"', "01:00:00:00", 3599.9964),
        (SMPTE + ' ttp:dropMode="dropNTSC"', "00:01:00:02", 60.06),
        (SMPTE + ' ttp:dropMode="dropPAL"', "01:00:00:00", 3599.9964),
        (SMPTE + ' ttp:dropMode="dropPAL"', "00:02:00:04", 120.12),
        (SMPTE, "01:00:00;00", 3599.9964),
        ('ttp:timeBase="smpte" ttp:frameRate="30" ttp:dropMode="dropNTSC"', "01:00:00:00", 3599.9964),
        ('ttp:timeBase="smpte" ttp:frameRate="25"', "10:00:00:05", 36000.2),
        ('ttp:timeBase="clock"', "10:00:00.2", 36000.2),
    ],
)
def test_time_expressions(parameters: str, begin: str, seconds: float) -> None:
    (cue,) = parse_ttml(document(f'<p begin="{begin}" dur="2s">A</p>', parameters)).cues
    assert cue.start_s == pytest.approx(seconds, abs=1e-3)


def test_parameters_of_dfxp_in_its_older_namespace() -> None:
    data = (
        b'<tt xmlns="http://www.w3.org/2006/10/ttaf1" xmlns:p="http://www.w3.org/2006/10/ttaf1#parameter" '
        b'p:tickRate="1000"><body><div><p begin="1500t" end="3000t">A</p></div></body></tt>'
    )
    assert cues(data) == [(1.5, 3.0, "A")]


@pytest.mark.parametrize(
    ("paragraph", "message", "start_s", "end_s"),
    [
        ('<p begin="late" end="11s">Lost.</p>', "bad time: 'late'", None, 11.0),
        ('<p begin="10:99:00" end="11s">Lost.</p>', "more than 59 minutes", None, 11.0),
        ('<p begin="9s" end="9s">Lost.</p>', "does not end", 9.0, 9.0),
        ('<p begin="9s" end="11s"><span begin="soon">Lost.</span></p>', "bad time: 'soon'", 9.0, 11.0),
        ('<p begin="9s" end="11s"><span begin="5s">Lost.</span></p>', "never displayed", 14.0, 11.0),
        ("<p>Lost.</p>", "no times", None, None),
        ('<div begin="9s" end="11s" smpte:backgroundImage="#lost"/>', "picture", 9.0, 11.0),
    ],
)
def test_unusable_parts_are_reported_with_line_and_time(
    paragraph: str, message: str, start_s: float | None, end_s: float | None
) -> None:
    parsed = parse_ttml(document(f'<p begin="1s" end="3s">Good evening.</p>{paragraph}<p begin="12s" dur="1s">B</p>'))
    assert [cue.start_s for cue in parsed.cues] == [1.0, 12.0]
    (problem,) = parsed.problems
    assert message in problem.message
    assert (problem.start_s, problem.end_s, problem.after_s) == (start_s, end_s, 1.0)


def test_captions_that_are_pictures_are_rejected() -> None:
    with pytest.raises(TranscriptError, match="picture"):
        parse_ttml(document('<div begin="1s" end="2s" smpte:backgroundImage="#a"/>'))


@pytest.mark.parametrize("ruby", ['tts:ruby="text"', 'style="reading"', 'style="other"'])
def test_ruby_is_read_once(ruby: str) -> None:
    head = (
        '<styling><style xml:id="reading" tts:ruby="text"/><style xml:id="other" style="reading"/>'
        '<style xml:id="loop" style="loop"/></styling>'
    )
    text = f'<span tts:ruby="container" style="loop"><span>東京</span><span {ruby}>とうきょう</span></span>です'
    assert cues(document(f'<p begin="1s" end="2s">{text}</p>', head=head)) == [(1.0, 2.0, "東京です")]


def test_white_space() -> None:
    text = "Good\n   evening<br/>  and\n welcome"
    assert cues(document(f'<p begin="1s" end="2s">{text}</p>')) == [(1.0, 2.0, "Good evening\nand welcome")]
    preserved = cues(document(f'<p begin="1s" end="2s" xml:space="preserve">{text}</p>'))
    assert preserved == [(1.0, 2.0, "Good\nevening\nand\nwelcome")]


def test_agents_on_spans_and_around() -> None:
    head = (
        '<metadata><ttm:agent xml:id="a"><ttm:name type="full">Huw</ttm:name><ttm:name type="alias">H</ttm:name>'
        '</ttm:agent><ttm:agent xml:id="b"><ttm:name>Fiona</ttm:name></ttm:agent></metadata>'
    )
    paragraphs = (
        '<p begin="1s" end="2s">One</p><p begin="3s" end="4s"><span ttm:agent="b">Two</span></p>'
        '<p begin="5s" end="6s"><span ttm:agent="a">- Yes.</span><br/><span ttm:agent="b">- No.</span></p>'
    )
    found = parse_ttml(document(paragraphs, head=head, div='ttm:agent="a"')).cues
    assert [cue.speaker for cue in found] == ["Huw", "Fiona", "Huw, Fiona"]


@given(transcripts())
@settings(max_examples=50)
def test_reads_the_files_of_our_writer(document: Transcript) -> None:
    rendition = Rendition(document)
    found = parse_ttml(writer.write(rendition)).cues
    expected = [(cue.start_ms, cue.end_ms, " ".join(rendition.coloured_lines(cue)).split()) for cue in rendition.cues]
    assert [(round(1000 * c.start_s), round(1000 * (c.end_s or 0)), c.text.split()) for c in found] == expected


def test_speakers_of_our_writer() -> None:
    words = [*speak("Good evening to you all.", "anna"), *speak("And good night.", "ben", 5_000)]
    found = parse_ttml(writer.write(Rendition(transcript(words, names={"anna": "Anna", "ben": "Ben"})))).cues
    assert [cue.speaker for cue in found] == ["Anna", "Ben"]


TWO = '<p begin="1s" end="2s">One.</p>\n<p begin="2s" end="3s">Two {} three.</p>\n<p begin="3s" end="4s">Four.</p>'


@pytest.mark.parametrize(("text", "read"), [("&nbsp;", ""), ("R&D", "R&D"), ("< 3 &", "< 3 &"), ("&eacute;", "é")])
def test_small_faults_in_xml_are_repaired(text: str, read: str) -> None:
    parsed = parse_ttml(document(TWO.format(text)))
    assert [cue.text.split() for cue in parsed.cues][1] == f"Two {read} three.".split()
    assert (len(parsed.cues), parsed.problems) == (3, [])
    assert "repaired" in parsed.remarks[0]


def test_a_truncated_document_loses_its_last_cue() -> None:
    parsed = parse_ttml(document(TWO).split(b" three")[0])
    assert [cue.text for cue in parsed.cues] == ["One."]
    assert [(p.line, p.start_s) for p in parsed.problems] == [(2, 2.0)]


def test_a_fault_that_cannot_be_repaired_is_reported_with_line_and_time() -> None:
    parsed = parse_ttml(document(TWO.format("</q>")))
    assert [cue.text for cue in parsed.cues][::2] == ["One.", "Four."]
    assert [(p.line, p.after_s) for p in parsed.problems] == [(2, 2.0)]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b'<?xml version="1.0"?>\n<!-- made by hand -->\n<tt:tt xmlns:tt="http://www.w3.org/ns/ttml"><tt:head', True),
        ("\ufeff<tt><body>".encode(), True),
        ("<?xml version='1.0' encoding='utf-16'?><tt>".encode("utf-16"), True),
        (b'<?xml version="1.0"?><programme><tt/></programme>', False),
        (b"no XML", False),
        (b"", False),
    ],
)
def test_the_root_element_identifies_ttml(head: bytes, expected: bool) -> None:
    assert is_ttml(head) is expected


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", ["&" * 200_000, "<" * 200_000, "&a" * 100_000, "<p" * 50_000, " " * 500_000])
def test_damaged_documents_are_read_in_linear_time(text: str) -> None:
    with contextlib.suppress(TranscriptError):
        parse_ttml(document(f'<p begin="1s" end="2s">a{text}</p>'))
