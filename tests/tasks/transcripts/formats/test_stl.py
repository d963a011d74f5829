"""EBU STL (Tech 3264): header fields byte by byte, and files read with ttconv."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from ttconv.stl import iso6937

from tasks.transcripts.cues.profiles import BBC, STREAMING, CueProfile
from tasks.transcripts.document import Transcript
from tasks.transcripts.formats import stl
from tasks.transcripts.formats.rendition import Rendition
from tasks.transcripts.formats.stl_characters import LATIN, TABLES, best_table, encode
from tasks.transcripts.formats.stl_languages import language_code
from tests.tasks.transcripts.builders import broadcast, speak, transcript, transcripts, word
from tests.tasks.transcripts.readers import read_stl


def field(data: bytes, first: int, last: int) -> bytes:
    """Return header bytes; the standard counts from zero and includes both ends."""
    return data[first : last + 1]


def text_fields(data: bytes) -> list[bytes]:
    return [data[start + 16 : start + 128] for start in range(1024, len(data), 128)]


def test_the_header():
    document = transcript(broadcast(40), start_timecode="10:00:00:00", uri="file:///in/Wetter%20S%C3%BCd.mxf")
    data = stl.write(Rendition(document))
    n_cues = len(Rendition(document).cues)
    assert field(data, 0, 2) == b"850"
    assert field(data, 3, 10) == b"STL25.01"
    assert field(data, 11, 11) == b"1"  # level-1 teletext
    assert field(data, 12, 15) == b"0009"  # Latin, English
    assert field(data, 16, 47).decode("cp850").rstrip() == "Wetter Süd"
    assert field(data, 208, 223) == b"abababababababab"
    assert field(data, 224, 235) == b"700101" * 2
    assert field(data, 238, 250) == b"%05d%05d001" % (n_cues, n_cues)
    assert field(data, 251, 254) == b"4023"
    assert field(data, 255, 255) == b"1"
    assert field(data, 256, 271) == b"1000000010000000"
    assert field(data, 272, 273) == b"11"
    assert field(data, 448, 1023).rstrip() == b"airscript 0.1.0: 0 characters replaced"
    assert len(data) == 1024 + 128 * n_cues


def test_a_block():
    document = transcript(speak("Good evening.", start_ms=2_000), start_timecode="09:59:59:20")
    block = stl.write(Rendition(document))[1024:]
    assert block[:5] == bytes([0, 0, 0, 0xFF, 0])  # group, number, last block, not cumulative
    assert tuple(block[5:9]) == (10, 0, 1, 20)
    assert tuple(block[9:13]) == (10, 0, 2, 20)
    assert tuple(block[13:16]) == (22, 2, 0)  # row, centred, no comment
    assert block[16:] == (b"\x0d\x0b\x0bGood evening.\x0a\x0a").ljust(112, b"\x8f")


def test_two_lines_stand_on_every_other_row():
    document = transcript(speak("Nobody has ever seen a subtitle of so many words."))
    data = stl.write(Rendition(document))
    assert data[1024 + 13] == 20
    assert b"\x8a\x8a\x0d\x0b\x0b" in text_fields(data)[0]


@given(transcripts())
def test_it_reads_back(document: Transcript):
    rendition = stl.with_expansions(Rendition(document))
    data = stl.write(Rendition(document))
    assert len(data) % 128 == 0
    clock = document.media.clock
    first_midnight_ms = (24 * 3_600_000 * 25 // 1_000 - clock.start_frame) * 40
    cues = [cue for cue in rendition.cues if cue.end_ms < first_midnight_ms - 40]
    found = read_stl(data, "TCP")[: len(cues)]
    # Frames of 40 ms, rounded to the nearest.
    for (start_ms, end_ms, text), cue in zip(found, cues, strict=True):
        assert abs(start_ms - cue.start_ms) <= 20
        assert abs(end_ms - cue.end_ms) <= 20
        table = data[12:14].decode()
        shown = "\n".join(decoded(line, table) for line in rendition.coloured_lines(cue))
        assert text.split() == shown.split()


def decoded(text: str, table: str) -> str:
    """Decode our codes with ttconv's tables, so that lost characters compare equal."""
    codes = b"".join(encode(text, table)[0])
    return iso6937.decode(codes)[0] if table == LATIN else codes.decode(f"iso8859_{int(table) + 4}")


def test_times_keep_the_programmes_time_code():
    document = transcript(
        [*speak("Good evening."), *speak("Good night.", start_ms=6 * 3_600_000)],
        start_timecode="10:00:00:00",
    )
    found = read_stl(stl.write(Rendition(document)))
    assert [start for start, _, _ in found] == [10 * 3_600_000, 16 * 3_600_000]


def test_time_codes_wrap_around_at_midnight():
    document = transcript(
        [*speak("Still.", start_ms=0), *speak("Next day.", start_ms=5_000)], start_timecode="23:59:59:00"
    )
    data = stl.write(Rendition(document))
    assert tuple(data[1024 + 128 + 5 : 1024 + 128 + 9]) == (0, 0, 4, 0)


@pytest.mark.parametrize(
    ("rate", "start", "code"),
    [
        ("50", "10:00:00:48", b"STL25.01"),
        ("59.94", "01:00:00;00", b"STL30.01"),
        ("29.97", "01:00:00;00", b"STL30.01"),
        ("23.976", "01:00:00:00", b"STL23.01"),
        ("24", None, b"STL24.01"),
    ],
)
def test_other_frame_rates(rate: str, start: str | None, code: bytes):
    document = transcript(speak("Good evening.", start_ms=60_000), start_timecode=start, timecode_rate=rate)
    data = stl.write(Rendition(document))
    assert field(data, 3, 10) == code
    assert len(read_stl(data)) == 1


def test_speakers_have_teletext_colours():
    document = transcript([*speak("One two three four five.", "anna"), *speak("Six seven eight.", "ben", 5_000)])
    white, yellow = text_fields(stl.write(Rendition(document)))
    assert white.startswith(b"\x0d\x0b\x0bOne")
    assert yellow.startswith(b"\x0d\x03\x0b\x0bSix")


def rows(data: bytes) -> list[bytes]:
    """Return the screen rows without accents, which take no cell of their own."""
    accents = bytes(range(0xC1, 0xD0)) if data[12:14] == b"00" else b""
    fields = b"".join(text_fields(data)).replace(b"\x8f", b"\x8a")
    return [row.translate(None, accents) for row in fields.split(b"\x8a") if row]


@given(transcripts())
@settings(max_examples=100)
def test_a_teletext_row_has_forty_cells(document: Transcript):
    for row in rows(stl.write(Rendition(document))):
        assert len(row) <= 40 or b" " not in row.strip()  # one long word


@pytest.mark.parametrize(("profile", "n_cells"), [(BBC, 40), (STREAMING, 42)])
@pytest.mark.parametrize(
    ("sentence", "written"),
    [
        ("Costs rose by €50 and €60 in the €1", "Costs rose by EUR50 and EUR60 in the EUR1"),
        ("Wait… what… do… you… say… to… me…", "Wait... what... do... you... say... to... me..."),
        ("oﬃce oﬃce oﬃce oﬃce oﬃce oﬃce oﬃce", "office office office office office office office"),
    ],
)
def test_cues_are_cut_to_the_width_of_replacements(sentence: str, written: str, profile: CueProfile, n_cells: int):
    data = stl.write(Rendition(transcript(speak(sentence)), profile))
    assert " ".join(text for _, _, text in read_stl(data)).split() == written.split()
    assert max(map(len, rows(data))) <= n_cells
    assert field(data, 251, 252) == b"%d" % n_cells


def test_a_full_row_is_boxed_to_its_end():
    words = speak("Thirty-seven letters make this a line")
    assert len(" ".join(one.text for one in words)) == 37
    (only,) = text_fields(stl.write(Rendition(transcript(words))))
    assert b"\x0a" not in only


def test_a_wide_profile_is_written_as_open_subtitles():
    words = [
        *speak("Are we sure?", "anna", word_ms=100),
        *speak("No, we are not.", "ben", 400, word_ms=100),
    ]
    data = stl.write(Rendition(transcript(words), STREAMING))
    assert field(data, 11, 11) == b"0"
    assert field(data, 251, 252) == b"42"
    assert text_fields(data)[0].rstrip(b"\x8f") == b"- Are we sure?\x8a- No, we are not."
    assert data[1024 + 13] == 21


def test_long_text_goes_on_in_extension_blocks():
    accents = [word("ÄÖÜÉÈÊ" * 6, 0, 900), word("éèêëàâ" * 6, 900, 2_000)]
    data = stl.write(Rendition(transcript(accents), BBC))
    first, second = data[1024 : 1024 + 128], data[1024 + 128 :]
    assert (first[3], second[3]) == (0, 0xFF)
    assert first[1:3] == second[1:3]
    assert data[238:248] == b"0000200001"
    ((_, _, text),) = read_stl(data)
    assert text.split() == [one.text for one in accents]
    for field_ in (first[16:], second[16:]):  # no accent is torn from its letter
        assert "�" not in iso6937.decode(bytes(code for code in field_ if code >= 0x20 and code not in (0x8A, 0x8F)))[0]


def test_an_endless_word_is_cut_off():
    data = stl.write(Rendition(transcript([word("a" * 50_000, 0, 900)])))
    assert len(data) == 1024 + 128 * 241
    assert data[-128 + 3] == 0xFF


# ---- characters -------------------------------------------------------------------------------------------------


def test_every_character_of_the_latin_table_reads_back():
    """All of ISO 6937 that ttconv knows, except the dollar, which ttconv places as the 1994 edition does."""
    known = [chr(code) for code in range(0x20, 0x7F)] + sorted(set(iso6937._CCT0_DECODE_MAP.values()))
    standalone_accents = set("´¯˘˙¨˚¸˝˛ˇ")
    for character in known:
        if character in standalone_accents | set("$¤\u00a0\u00ad"):
            continue
        codes, n_lost = encode(character, LATIN)
        assert n_lost == 0, character
        found = iso6937.decode(b"".join(codes))[0]
        assert unicodedata.normalize("NFC", found) == unicodedata.normalize("NFC", character)
    assert encode("$¤", LATIN) == ([b"\xa4", b"\xa8"], 0)


@pytest.mark.parametrize(
    ("text", "table", "shown", "n_lost"),
    [
        ("Ångström", LATIN, "Ångström", 0),
        ("e\u0301", LATIN, "é", 0),
        ("…–„€", LATIN, '...-"EUR', 0),
        ("Țară", LATIN, "Ţară", 0),
        ("ǎ ạ", LATIN, "a a", 2),
        ("😀 ok", LATIN, "? ok", 1),
        ("日本", LATIN, "??", 2),
        ("˘", LATIN, "?", 1),
        ("٣ ५", LATIN, "3 5", 0),
        ("ﬁ", LATIN, "fi", 1),
        ("Привет, мир", "01", "Привет, мир", 0),
        ("مرحبا،", "02", "مرحبا،", 0),
        ("Καλημέρα €", "03", "Καλημέρα EUR", 0),
        ("שלום", "04", "שלום", 0),
        ("Привет é", "01", "Привет e", 1),
    ],
)  # fmt: skip
def test_characters_are_kept_rewritten_or_counted(text: str, table: str, shown: str, n_lost: int):
    assert best_table(text) in (table, LATIN)
    assert decoded(text, table) == shown
    assert encode(text, table)[1] == n_lost


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("Hello", "00"),
        ("Привет OK", "01"),
        ("مرحبا", "02"),
        ("Ελλάδα", "03"),
        ("שלום", "04"),
        ("日本", "00"),
        ("", "00"),
    ],
)
def test_the_table_that_loses_least_is_taken(text: str, table: str):
    assert best_table(text) == table
    assert set(TABLES) == {"00", "01", "02", "03", "04"}


def test_the_file_states_the_number_of_lost_characters():
    rendition = Rendition(transcript([word("日本", 0, 500), word("ok", 500, 900)]))
    assert stl.count_lost_characters(rendition) == 2
    assert b": 2 characters replaced" in stl.write(rendition)


@pytest.mark.parametrize(
    ("language", "code"),
    [("en-GB", "09"), ("de", "08"), ("tr", "29"), ("wa", "2B"), ("am", "7F"), ("ru", "56"), ("zu", "45"), ("nb", "1E"),
     ("und", "00"), ("zh", "75"), ("fa", "5A")],
)  # fmt: skip
def test_languages(language: str, code: str):
    assert language_code(language) == code


def test_too_many_blocks_are_rejected(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stl, "MAX_BLOCKS", 5)
    rendition = Rendition(transcript(broadcast(200)))
    with pytest.raises(ValueError, match=f"at most 5 text blocks, and this programme needs {len(rendition.cues)}"):
        stl.write(rendition)
