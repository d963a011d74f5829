"""SCC: the three styles of CEA-608, its characters and channels, and damaged files, from a generator of byte pairs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ttconv.scc.codes.extended_characters import SccExtendedCharacter
from ttconv.scc.codes.special_characters import SccSpecialCharacter
from ttconv.scc.codes.standard_characters import SCC_STANDARD_CHARACTERS_MAPPING

from tasks.corpus.captions.problems import TranscriptError
from tasks.corpus.captions.scc import parse_scc
from tasks.corpus.captions.scc.characters import extended, special, standard
from tests.tasks.corpus.captions.making import (
    BS,
    CR,
    EDM,
    ENM,
    EOC,
    FRAME_S,
    RCL,
    RDC,
    ROW_14,
    ROW_15,
    ROW_15_INDENT_4,
    RU2,
    RU3,
    TR,
    pop_on,
    scc,
    text,
    twice,
)  # fmt: skip


def cues(document: str) -> list[tuple[float, float | None, str]]:
    return [(cue.start_s, cue.end_s, cue.text) for cue in parse_scc(document).cues]


@pytest.mark.parametrize("codes", [twice, lambda *codes: " ".join(codes)])
def test_pop_on_captions_are_shown_at_their_end_of_caption(codes) -> None:
    load = pop_on((ROW_14, "Good evening"), (ROW_15, "and welcome."), codes=codes)
    document = scc(("00:00:01;00", load), ("00:00:03;00", pop_on((ROW_15, "Next."), codes=codes)), ("00:00:05;00", EDM))
    first, second = cues(document)
    n_pairs = len(load.split()) - (2 if codes is twice else 1)
    assert first[0] == pytest.approx(1.0 + n_pairs * FRAME_S, abs=2e-3)
    assert (first[1], first[2]) == (second[0], "Good evening\nand welcome.")
    assert (second[1], second[2]) == (pytest.approx(5.0, abs=0.01), "Next.")


def test_a_line_with_more_pairs_than_frames_ends_before_the_next() -> None:
    document = scc(("00:00:01;00", pop_on((ROW_15, "x" * 60))), ("00:00:01;10", EDM), ("00:00:02;00", "8080"))
    assert (
        parse_scc(scc(("00:00:01;00", pop_on((ROW_15, "Words " * 20))), ("00:00:02;00", "8080"))).cues[0].start_s < 2.01
    )
    with pytest.raises(TranscriptError, match="never displayed"):
        parse_scc(document)


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("01:00:00;00", 3599.996),
        ("01:00:00:00", 3603.6),
        ("00:01:00;02", 60.06),
        ("00:10:00;00", 599.999),
        ("1:00:00.00", 3599.996),
    ],
)
def test_drop_frame_and_non_drop_time_code(time: str, seconds: float) -> None:
    (cue,) = cues(scc((time, EOC), (time, f"{RDC} {ROW_15} {text('Words.')}")))
    assert cue[0] == pytest.approx(seconds + 2 * FRAME_S, abs=2e-3)


def test_roll_up_lines_are_read_once() -> None:
    document = scc(
        ("00:00:01;00", f"{twice(RU3, CR, ROW_15)} {text('FIRST LINE')}"),
        ("00:00:03;00", f"{twice(RU3, CR, ROW_15_INDENT_4)} {text('SECOND')}"),
        ("00:00:04;00", f"{twice(RU3)} {text(' MORE')}"),
        ("00:00:06;00", f"{twice(CR)} {text('THIRD')}"),
        ("00:00:40;00", f"{twice(RU2, CR, ROW_15)} {text('AFTER A PAUSE')}"),
        ("00:00:45;00", twice(EDM)),
    )
    found = cues(document)
    assert [words for _, _, words in found] == ["FIRST LINE", "SECOND MORE", "THIRD", "AFTER A PAUSE"]
    assert [round(start) for start, _, _ in found] == [1, 3, 6, 40]
    assert found[0][1] == found[1][0]
    assert found[2][1] < 9
    assert found[3][1] == pytest.approx(45.045, abs=2e-3)


def test_paint_on_captions_are_one_text() -> None:
    document = scc(
        ("00:00:01;00", f"{twice(RDC, ROW_14)} {text('Good ')}"),
        ("00:00:01;20", text("evening")),
        ("00:00:02;10", f"{twice(ROW_15)} {text('to you.')}"),
        ("00:00:04;00", f"{twice(RDC, ROW_14)} {text('Next.')}"),
        ("00:00:06;00", twice(EDM)),
    )
    found = cues(document)
    assert [words for _, _, words in found] == ["Good evening\nto you.", "Next."]
    assert found[0][0] == pytest.approx(1.0 + 4 * FRAME_S, abs=2e-3)
    assert found[0][1] == pytest.approx(4.0, abs=0.2)


def test_editing_codes() -> None:
    tab = f"{twice(ROW_15)} {text('Tab')} 97a2 97a2 {text('offset')}"
    italics = f"91ae 91ae {text('italics')} 9120 9120 {text('.')}"
    backspace = f"{text('worx')} {BS} {text('d')}"
    document = scc(("00:00:01;00", f"{twice(RCL, ENM)} {tab} {italics} {backspace} {twice(EOC)}"), ("00:00:05;00", EDM))
    assert cues(document)[0][2] == "Tab offset italics .word"


def pair(first: int, second: int) -> str:
    return f"{first:02x}{second:02x}"


def test_characters_are_those_of_ttconv() -> None:
    """Except two that it draws as similar signs: the dash and the caret."""
    assert {code: standard(code) for code in range(0x20, 0x80)} == SCC_STANDARD_CHARACTERS_MAPPING
    for character in SccSpecialCharacter:
        assert special(character.value[0] & 0xFF) == character.get_unicode_value()
    differing = {"\u2501": "—", "\u028c": "^"}
    for character in SccExtendedCharacter:
        known = character.get_unicode_value()
        assert extended(*divmod(character.value[0], 256)) == differing.get(known, known)


@pytest.mark.parametrize(
    ("pairs", "read"),
    [
        (f"{text('Do')} 91b7 91b7 {text('re')}", "Do♪re"),
        (f"{text('Cana')} {text('E')} 92b6 92b6", "Canaë"),
        (f"{text('Ole')} {text('A')} 92a0", "OleÁ"),
        (f"{text('El ')} 92a0 {text('ngel')}", "El Ángel"),
        (f"{text('gross')} 13b4 {text('e')}", "grosße"),
        (f"{text('Uberm')} 13b3 {text('ut')}", "Ubermöut"),
        (f"{text('So')} 13b3 {text('st')}", "Söst"),
        (f"{text('cafe')} 2a5c 5e5f", "cafeáéíó"),
        (f"{text('a-')} 92aa {text('b')}", "a—b"),
    ],
)
def test_special_and_extended_characters(pairs: str, read: str) -> None:
    """Extended characters overwrite their substitute; where there is none, no letter is lost."""
    assert cues(scc(("00:00:01;00", f"{RCL} {ENM} {ROW_15} {pairs} {EOC}"), ("00:00:04;00", EDM)))[0][2] == read


def test_other_channels_are_reported() -> None:
    first = pop_on((ROW_15, "English"))
    second = f"1c20 1cae 1c70 {text('Espa')} 1c2f"
    field_2 = f"1520 15ae 1570 {text('FIELD')} 152f"
    document = scc(("00:00:01;00", first), ("00:00:02;00", second), ("00:00:03;00", field_2), ("00:00:06;00", EDM))
    parsed = parse_scc(document)
    assert [cue.text for cue in parsed.cues] == ["English"]
    assert parsed.remarks == tuple(f"1 captions of channel {name} were left out" for name in ("CC2", "CC3"))
    only_field_2 = parse_scc(scc(("00:00:03;00", field_2), ("00:00:06;00", "152c")))
    assert [cue.text for cue in only_field_2.cues] == ["FIELD"]
    assert only_field_2.remarks == ("the captions are those of channel CC3",)


def test_text_service_and_extended_data_are_no_captions() -> None:
    document = scc(
        ("00:00:01;00", f"{pop_on((ROW_15, 'Words.'))} 0103 {text('PROGRAMME')} 8f2a"),
        ("00:00:03;00", f"{twice(TR)} {text('WEATHER')}"),
        ("00:00:04;00", f"{pop_on((ROW_15, 'More.'))}"),
    )
    assert [words for _, _, words in cues(document)] == ["Words.", "More."]


def test_unusable_parts_are_reported_with_line_and_time() -> None:
    document = scc(
        ("00:00:01;00", pop_on((ROW_15, "One."))),
        ("00:00:03;00", f"{twice(RCL, ROW_15)} {text('Never shown')} {twice(ENM)}"),
        ("00:00:05;00", f"{RCL} {ROW_15} zzzz {text('Two.')} {EOC}"),
        ("00:00:07", "no frames"),
        ("00:00:08;00", EDM),
    )
    parsed = parse_scc(document)
    assert [cue.text for cue in parsed.cues] == ["One."]
    places = [(p.line, round(p.start_s or 0), round(p.after_s or 0)) for p in parsed.problems]
    assert places == [(5, 0, 3), (7, 0, 0), (7, 5, 0), (9, 0, 5)]
    assert "has missing characters or an unknown end: 'Two.'" in parsed.problems[2].message


@pytest.mark.parametrize("is_erased", [True, False])
def test_a_lost_line_leaves_the_end_of_the_caption_before_it_unknown(is_erased: bool) -> None:
    document = scc(
        ("00:00:01;00", pop_on((ROW_15, "One."))),
        *([("00:00:03;00", twice(EDM))] if is_erased else []),
        ("00:00:0x;00", pop_on((ROW_15, "Two."))),
        ("00:00:06;00", twice(EDM)),
        ("00:00:08;00", pop_on((ROW_15, "Three."))),
    )
    assert [words for _, _, words in cues(document)] == (["One.", "Three."] if is_erased else ["Three."])


def test_captions_without_any_control_code_are_shown_as_written() -> None:
    document = scc(("00:00:01;00", text("One two.")), ("00:00:03;00", text("Three.")))
    assert [(round(start), words) for start, _, words in cues(document)] == [(1, "One two."), (3, "Three.")]


@pytest.mark.parametrize("document", ["", "some text\nand more"])
def test_other_text_is_rejected(document: str) -> None:
    with pytest.raises(TranscriptError):
        parse_scc(document)


def test_a_file_without_captions_is_empty() -> None:
    assert parse_scc("Scenarist_SCC V1.0\n").cues == []


@given(st.lists(st.lists(st.integers(0, 0xFFFF), max_size=30), max_size=8))
def test_any_pairs_are_read_or_rejected(lines: list[list[int]]) -> None:
    document = scc(
        *((f"00:00:{n:02d};00", " ".join(f"{p:04x}" for p in pairs) or "8080") for n, pairs in enumerate(lines))
    )
    try:
        parsed = parse_scc(document)
    except TranscriptError:
        return
    assert all(cue.end_s is not None and cue.start_s < cue.end_s for cue in parsed.cues)
