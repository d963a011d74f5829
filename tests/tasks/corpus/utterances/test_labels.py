"""Labels, chevrons and dashes: names of speakers are not spoken, all other words are."""

from __future__ import annotations

import pytest

from tasks.corpus.utterances.labels import begins_new_speaker, names_in_capitals, without_names
from tasks.corpus.utterances.text import normaliser_for


@pytest.mark.parametrize(
    "label",
    [
        "ANNA:", "JOHN SMITH:", "ÄNNE:", "ÉLODIE :", "İBRAHİM:", "АННА:", "ΆΝΝΑ:", "GROßMANN:", "McGEE:", "O'BRIEN:",
        "Mr. SMITH:", "DR. SMITH:", "von BERG:", "VAN DER BERG:", "MÜLLER-LÜDENSCHEIDT:", "SPEAKER 1:", "MAN #2:",
        "ANNA/BEN:", "ANNA & BEN:", "ANNA (laughing):", "ANNA [LAUGHING]:", "Anna (laughing):", "(laughing) ANNA:",
        "АННА (смеётся):", ">>", ">>>", "> >", ">> ANNA:", ">> Anna Smith:", ">> ANNA (laughing):", "- ANNA:", "—",
        "ANNA:\n",
    ],
)  # fmt: skip
def test_speaker_labels_are_removed(label: str) -> None:
    assert normaliser_for("en")(f"{label} Good evening.") == "good evening."


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Tomorrow: rain", "tomorrow, rain"),
        ("The BBC: a history", "the bbc, a history"),
        ("OK: let us go", "ok, let us go"),
        ("I: no one else", "i, no one else"),
        ("It costs this: nothing", "it costs this, nothing"),
        ("THE ANSWER IS THIS: NO", "the answer is this, no"),
        ("DIE ANTWORT IST: GROSS", "die antwort ist, gross"),
        ("He left. Anna: a portrait", "he left. anna, a portrait"),
        ("left < right", "left right"),
    ],
)
def test_other_words_before_a_colon_are_kept(written: str, spoken: str) -> None:
    assert normaliser_for("en")(written).replace("<", "").replace("  ", " ") == spoken


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Good evening. >> Thank you, Bill.", "good evening. thank you, bill."),
        ("Good evening.>>Thank you.", "good evening. thank you."),
        (">> Will it stop? >> BEN: No. >>> And now", "will it stop? no. and now"),
        ("<i>>> Hello</i> there", "hello there"),
        ("<<Hello>> she said", "hello she said"),
        ("Really? LAUGHS: Yeah.", "really? yeah."),
        ("ANNA: Hello. BEN: Good evening.", "hello. good evening."),
        ("- ANNA: Hello.\n- BEN: Hi there.", "hello. hi there."),
        ("He said --> go left → now", "he said go left now"),
    ],
)
def test_inside_a_line(written: str, spoken: str) -> None:
    assert normaliser_for("en")(written) == spoken


def test_names_that_return_in_captions_of_capitals_are_labels() -> None:
    texts = ["ANNA: GOOD EVENING.", "- BEN: HELLO.\n- ANNA: HELLO.", "THE ANSWER IS: NO.", "BEN: YES."]
    names = names_in_capitals(texts)
    assert names == {"ANNA", "BEN"}
    assert [without_names(text, names).split() for text in texts] == [
        ["GOOD", "EVENING."], ["-", "HELLO.", "-", "HELLO."], ["THE", "ANSWER", "IS:", "NO."], ["YES."],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "is_new"), [("- Hello.", True), (">> Hello", True), ("BEN: Hello", True), ("Hello", False), ("", False)]
)
def test_a_new_speaker(line: str, is_new: bool) -> None:
    assert begins_new_speaker(line) == is_new


@pytest.mark.timeout(60)
@pytest.mark.parametrize("run", [". AB:", "AB (", "A", ">> A", " - AB: c", "(a) ", "AB:"])
def test_long_lines_are_read_in_linear_time(run: str) -> None:
    assert normaliser_for("en")("good " + run * 50_000 + " evening.").endswith("evening.")


def test_a_name_with_a_hyphen_in_captions_of_capitals_is_a_label() -> None:
    texts = ["JEAN-LUC: WE ARE HERE.", "- JEAN-LUC: AND NOW WE GO.", "ANNA: YES."]
    names = names_in_capitals(texts)
    assert names == {"JEAN-LUC"}
    assert [without_names(text, names).split() for text in texts] == [
        ["WE", "ARE", "HERE."],
        ["-", "AND", "NOW", "WE", "GO."],
        ["ANNA:", "YES."],
    ]
