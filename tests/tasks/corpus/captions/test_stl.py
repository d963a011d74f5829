"""EBU STL: files of our writer, and of a generator with the fields that archives use."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tasks.corpus.captions.parsed import ParsedCaptions
from tasks.corpus.captions.problems import TranscriptError
from tasks.corpus.captions.stl import parse_stl
from tasks.transcripts.cues.profiles import BBC, STREAMING, CueProfile
from tasks.transcripts.document import Transcript
from tasks.transcripts.formats import stl as writer
from tasks.transcripts.formats.rendition import Rendition
from tasks.transcripts.formats.stl_characters import TABLES, decode, encode, transliterate
from tests.tasks.corpus.captions.making import StlFile
from tests.tasks.transcripts.builders import speak, transcript, transcripts

YELLOW, CYAN, WHITE = b"\x03", b"\x06", b"\x07"
BOX, END = b"\x0d\x0b\x0b", b"\x0a\x0a"


def times(parsed: ParsedCaptions) -> list[tuple[float, float | None, str]]:
    return [(cue.start_s, cue.end_s, cue.text) for cue in parsed.cues]


@pytest.mark.parametrize("profile", [BBC, STREAMING])
@given(document=transcripts())
@settings(max_examples=40)
def test_reads_the_files_of_our_writer(profile: CueProfile, document: Transcript) -> None:
    """Frames are rounded to the nearest; text is as the code table has it."""
    rendition = writer.with_expansions(Rendition(document, profile))
    data = writer.write(Rendition(document, profile))
    parsed = parse_stl(data, document.language)
    assume(not any("code table" in remark for remark in parsed.remarks))  # random letters may look like another
    table = data[12:14].decode()
    expected = []
    for cue in rendition.cues:
        lines = rendition.coloured_lines(cue) if data[11:12] == b"1" else cue.dashed_lines()
        text = " ".join(decode(b"".join(encode(transliterate(line, table), table)[0]), table)[0] for line in lines)
        if text.split():
            expected.append((cue.start_ms, cue.end_ms, text.split()))
    for found, (start_ms, end_ms, words) in zip(parsed.cues, expected, strict=True):
        assert abs(1000 * found.start_s - start_ms) <= 21
        assert abs(1000 * (found.end_s or 0) - end_ms) <= 21
        assert found.text.split() == words


@pytest.mark.parametrize(
    ("rate", "start"),
    [("50", "10:00:00:48"), ("59.94", "01:00:00;00"), ("29.97", "01:00:00;00"), ("30", "10:00:00:00"),
     ("23.976", "01:00:00:00"), ("24", None), ("25", "23:59:30:00")],
)  # fmt: skip
def test_frame_rates_and_programme_starts(rate: str, start: str | None) -> None:
    words = [*speak("Good evening."), *speak("Good night.", start_ms=3_000_000)]
    data = writer.write(Rendition(transcript(words, start_timecode=start, timecode_rate=rate)))
    first, second = parse_stl(data, "en").cues
    assert first.start_s == pytest.approx(0.0, abs=0.05)
    assert second.start_s == pytest.approx(3000.0, abs=0.1)


@pytest.mark.parametrize("table", TABLES)
def test_every_character_reads_back(table: str) -> None:
    letters = {
        "00": "Günaydın, İstanbul! Şehir ağı çok güzel Ğ Ö. ¿Qué año? L'été à Noël, cœur. Straße ÄÖÜ. Ærøskøbing "
        "Åse þú ðe Łódź Čeština őű Çà €"[:-1],
        "01": "Добрый вечер Ђ", "02": "مساء الخير", "03": "Καλησπέρα", "04": "ערב טוב",
    }[table]  # fmt: skip
    parsed = StlFile(table=table).add((1, 0), (3, 0), b"".join(encode(letters[:60], table)[0])).parse("xx")
    assert times(parsed) == [(1.0, 3.0, letters[:60].strip())]


@given(st.text(st.characters(min_codepoint=32, max_codepoint=0x17F), max_size=40))
def test_decoding_inverts_encoding(text: str) -> None:
    codes, n_lost = encode(text, "00")
    decoded, n_undefined = decode(b"".join(codes), "00")
    shown = transliterate(text, "00").replace("Đ", "Ð").replace("\u2126", "Ω").replace("μ", "µ")
    assert n_undefined == 0
    assert n_lost or decoded.replace("μ", "µ") == shown


@pytest.mark.parametrize(
    ("language", "page", "text"),
    [
        ("tr", "cp1254", "Şimdi haberler: İstanbul'da yağmur bekleniyor, ışıklar söndü."),
        ("de", "cp1252", "Die Straße führt über den Fluß, schöne Grüße, Ärger."),
        ("fr", "cp1252", "L'été dernier à la plage, ça m'a plu. Être là."),
        ("es", "cp1252", "El niño comió mañana. ¿Qué pasó?"),
        ("sv", "cp1252", "Måndag är det väder på sjön."),
    ],
)
@pytest.mark.parametrize("declared", ["00", "", "09"])
def test_the_code_table_is_detected_from_the_text(language: str, page: str, text: str, declared: str) -> None:
    windows = StlFile(table=declared).add((1, 0), (3, 0), text.encode(page)).parse(language)
    assert [cue.text for cue in windows.cues] == [text]
    assert any("Windows" in remark for remark in windows.remarks)
    latin = StlFile(table=declared).add((1, 0), (3, 0), b"".join(encode(text, "00")[0])).parse(language)
    assert [cue.text for cue in latin.cues] == [text]
    assert ("code table" in " ".join(latin.remarks)) is (declared == "09")


def test_colours_are_speakers_where_there_are_several() -> None:
    file = StlFile().add((1, 0), (3, 0), BOX + b"Good evening." + END)
    file.add((3, 0), (5, 0), b"\x0d\x03\x0b\x0bThank you." + END)
    file.add((5, 0), (7, 0), BOX + WHITE + b"Was it" + CYAN + b"No." + END)
    file.add((7, 0), (9, 0), BOX + b"One." + END + b"\x8a\x8a" + BOX + YELLOW + b"Two." + END)
    assert [(c.text, c.speaker) for c in file.parse().cues] == [
        ("Good evening.", "white"), ("Thank you.", "yellow"), ("Was it No.", "white, cyan"),
        ("One.\nTwo.", "white, yellow"),
    ]  # fmt: skip
    one_colour = StlFile().add((1, 0), (3, 0), BOX + YELLOW + b"All yellow." + END)
    assert [c.speaker for c in one_colour.parse().cues] == [""]


def test_control_codes() -> None:
    file = StlFile(display="0").add((1, 0), (3, 0), b"An \x80ita\x81lic \x82word\x83\x8aand a line\x8a\x8f rest")
    file.add((3, 0), (5, 0), b"\x8a\x8f")
    assert times(file.parse()) == [(1.0, 3.0, "An italic word\nand a line")]
    teletext = StlFile().add((1, 0), (3, 0), BOX + b"Red\x01and\x11```\x07white" + END)
    assert times(teletext.parse()) == [(1.0, 3.0, "Red and white")]


def test_extension_blocks_are_one_subtitle() -> None:
    file = StlFile().add((1, 0), (3, 0), b"Good ".ljust(112, b"."), extension=0, number=7)
    file.add((1, 0), (3, 0), b"user data", extension=0xFE, number=7).add((1, 0), (3, 0), b" evening", number=7)
    file.add((4, 0), (5, 0), b"Next", number=8)
    parsed = file.parse()
    assert [(c.start_s, c.text.replace(".", "").split()) for c in parsed.cues] == [
        (1.0, ["Good", "evening"]), (4.0, ["Next"]),
    ]  # fmt: skip
    assert parsed.remarks == ("1 blocks of user data were left out",)


def test_a_file_padded_with_zeros_is_read() -> None:
    """A preallocated file: its tail is one subtitle of 20,000 extension blocks, which must not take quadratic time."""
    file = StlFile().add((1, 0), (2, 0), b"Good evening.", number=1)
    parsed = parse_stl(file.data() + bytes(20_000 * 128), "en")
    assert [cue.text for cue in parsed.cues] == ["Good evening."]


def test_comments_are_no_captions() -> None:
    parsed = StlFile().add((0, 0), (3, 0), b"Check this", comment=1).add((4, 0), (5, 0), b"Next").parse()
    assert (times(parsed), parsed.remarks) == ([(4.0, 5.0, "Next")], ("1 comments were left out",))


HOUR = 3600


def test_subtitles_before_the_programme_are_left_out() -> None:
    file = StlFile(start="10000000").add((0, 0), (0, 8), b"STORY: NEWS; LANG: EN")
    file.add((10 * HOUR + 1, 5), (10 * HOUR + 3, 0), b"Good evening.")
    parsed = file.parse()
    assert times(parsed) == [(1.2, 3.0, "Good evening.")]
    assert "STORY: NEWS" in parsed.remarks[0]
    assert parsed.programme_start_s == 10 * HOUR


@pytest.mark.parametrize(("status", "begin"), [("1", 1), ("0", 1), ("0", 10 * HOUR + 1)])
def test_times_that_do_not_count_from_the_start(status: str, begin: int) -> None:
    """The start in the header does not fit the subtitles, or they count from it though it is marked as not for use."""
    file = StlFile(start="10000000", start_status=status)
    for second in range(0, 20, 4):
        file.add((begin + second, 0), (begin + second + 2, 0), b"Words.")
    parsed = file.parse()
    assert parsed.cues[0].start_s == 1.0
    assert bool(parsed.remarks) is (begin == 1)


def test_cumulative_subtitles_are_read_as_one() -> None:
    file = StlFile().add((1, 0), (5, 0), b"Good", cumulative=1).add((2, 0), (5, 0), b"evening", cumulative=2)
    file.add((3, 0), (5, 0), b"to you.", cumulative=3).add((5, 0), (7, 0), b"Next.")
    assert times(file.parse()) == [(1.0, 5.0, "Good\nevening\nto you."), (5.0, 7.0, "Next.")]
    repeated = (
        StlFile().add((1, 0), (2, 0), b"Good", cumulative=1).add((2, 0), (5, 0), b"Good\x8aevening", cumulative=3)
    )
    assert times(repeated.parse()) == [(1.0, 5.0, "Good\nevening")]
    speakers = StlFile().add((1, 0), (5, 0), b"Good?", cumulative=1).add((2, 0), (5, 0), YELLOW + b"Yes.", cumulative=3)
    assert [(c.start_s, c.end_s, c.text, c.speaker) for c in speakers.parse().cues] == [
        (1.0, 2.0, "Good?", "white"), (2.0, 5.0, "Yes.", "yellow"),
    ]  # fmt: skip


def test_unusable_parts_are_reported_with_line_and_time() -> None:
    file = StlFile().add((1, 0), (2, 0), b"One.").add((3, 0), (3, 0), b"No length.")
    file.add((4, 0), (5, 0), b"Undefined \xd8\xc1 codes.").add((6, 0), (7, 0), b"Two.")
    file.blocks.append(
        file.blocks[-1][:5] + bytes([0xFF] * 8) + file.blocks[-1][13:16] + b"No time.".ljust(112, b"\x8f")
    )
    parsed = file.parse()
    assert [cue.text for cue in parsed.cues] == ["One.", "Two."]
    assert [(p.line, p.start_s, p.after_s) for p in parsed.problems] == [(2, 3.0, 1.0), (3, 4.0, 1.0), (5, None, 6.0)]
    assert str(parsed.problems[0]).startswith("text block 2: does not end after its begin")


def test_a_truncated_file_is_reported() -> None:
    file = StlFile().add((1, 0), (2, 0), b"One.").add((3, 0), (4, 0), b"Two.")
    parsed = parse_stl(file.data()[:-50], "en")
    assert [cue.text for cue in parsed.cues] == ["One."]
    assert "declares 2" in parsed.problems[0].message


def test_a_subtitle_without_an_end_stays_until_the_next() -> None:
    file = StlFile().add((1, 0), (0, 0), b"One.").add((4, 0), (5, 0), b"Two.")
    assert times(file.parse()) == [(1.0, 4.0, "One."), (4.0, 5.0, "Two.")]


@pytest.mark.parametrize(
    "data", [b"", b"solid cube\nfacet normal 0 0 1\n" * 100, b"00:00:01:00 , 00:00:02:00 , Text\n" * 99]
)
def test_other_files_of_that_name_are_rejected(data: bytes) -> None:
    with pytest.raises(TranscriptError, match="not EBU STL"):
        parse_stl(data, "en")


@given(st.binary(max_size=600), st.integers(0, 1200))
def test_any_bytes_are_read_or_rejected(noise: bytes, at: int) -> None:
    data = bytearray(StlFile().add((1, 0), (2, 0), b"One.").add((3, 0), (4, 0), b"Two.").data())
    data[at : at + len(noise)] = noise
    try:
        parsed = parse_stl(bytes(data), "tr")
    except TranscriptError:
        return
    assert all(cue.end_s is not None and cue.start_s < cue.end_s for cue in parsed.cues)
