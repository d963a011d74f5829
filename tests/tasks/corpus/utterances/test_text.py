"""The caption normaliser: examples, idempotence, and its alphabet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.corpus.utterances.text import LETTERS, normaliser_for


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Good evening!", "good evening."),
        ("[MUSIC] Hello, Anna.", "hello, anna."),
        ("(APPLAUSE)", ""),
        ("♪ La la la ♪", ""),
        ("FIONA BRUCE: Good evening.", "good evening."),
        ("♪♪ La la la ♪♪", ""),
        ("# La la la #", ""),
        ("#\nLa la\n#\nGood evening.", "good evening."),
        ("Tweet us at #news or #sport tonight", "tweet us at #news or #sport tonight"),
        ("FIONA BRUCE:\nGood evening.", "good evening."),
        ("DR. JONES: Yes.\nMR. SMITH (laughs): No.", "yes. no."),
        ("THE ANSWER IS THIS: WE WON", "the answer is this, we won"),
        (">> HUW: GOOD EVENING", "good evening"),
        ("- BREAKING NEWS: FIRE\n- Where?", "breaking news, fire where?"),
        (">> And now >> the rest", "and now the rest"),
        (">> HUW: And now", "and now"),
        ("- Yes.\n- No?", "yes. no?"),
        ("Tomorrow: rain; wind", "tomorrow, rain, wind"),
        ("“It’s the boys’ café”", "it's the boys cafe"),
        ("a well-known — and old — story", "a well known, and old, story"),
        ("Wait... what?!", "wait. what?"),
        ("rock & roll", "rock and roll"),
        ("ﬁne\u00ad\u200b words", "fine words"),
        ("<i>{\\an8}italic</i>", "italic"),
        ("...", ""),
        ("", ""),
    ],
)
def test_english(written: str, spoken: str) -> None:
    assert normaliser_for("en-GB")(written) == spoken


def test_digits_and_symbols_are_outside_the_alphabet() -> None:
    normalise = normaliser_for("en")
    assert normalise.unknown_characters(normalise("It cost £3.50, 20% less")) == "%0235£"


@pytest.mark.parametrize(
    ("language", "written", "spoken"),
    [
        ("tr", "IŞIK İyi", "ışık iyi"),
        ("de", "Über Größe", "über größe"),
        ("es", "¿Mañana? ¡Sí!", "mañana? sí."),
        ("sv", "ÅSA & Östen: kafé", "åsa och östen, kafé"),
        ("nb-NO", "Ærlig, Øyvind!", "ærlig, øyvind."),
    ],
)
def test_other_languages_keep_their_letters(language: str, written: str, spoken: str) -> None:
    assert normaliser_for(language)(written) == spoken


def test_a_language_without_alphabet_is_refused() -> None:
    with pytest.raises(KeyError):
        normaliser_for("xx")


@given(st.text(max_size=120), st.sampled_from(sorted(LETTERS)))
def test_normalising_twice_changes_nothing(text: str, language: str) -> None:
    normalise = normaliser_for(language)
    once = normalise(text)
    if not normalise.unknown_characters(once):
        assert normalise(once) == once
        assert "  " not in once
        assert once == once.strip()


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "run", [" ", "\n", "[", "(", "{", "<a", " \u0301", "-¿", "\ufdfa", "♪a", "#", " #", "# ", ". ", ">> ", "- "]
)
def test_long_runs_are_normalised_in_linear_time(run: str) -> None:
    """In quadratic time, this would take hours."""
    assert normaliser_for("en")("good" + run * 100_000 + "evening").endswith("evening")
