"""The language of a session: decided once, changed on strong evidence only."""

from __future__ import annotations

import pytest

from tasks.streaming.decoding import language
from tasks.streaming.decoding.language import LanguageState

LOOK_MS, DECISION_MS = language.MIN_HEARD_MS, language.DECISIVE_MS


def hear(state: LanguageState, start_ms: int, *looks: tuple[int, dict[str, float]], ends: bool = False) -> list[bool]:
    """An utterance that is checked whenever that is due, with what the model hears after so many milliseconds."""
    language.begin_stretch(state, start_ms)
    changes = []
    for number, (after_ms, probabilities) in enumerate(looks):
        is_final = ends and number == len(looks) - 1
        if language.is_due(state, start_ms + after_ms, is_final):
            changes.append(language.update(state, probabilities, start_ms + after_ms))
    return changes


def english() -> LanguageState:
    state = LanguageState()
    hear(state, 0, (LOOK_MS, {"en": 0.95}))
    assert state.code == "en"
    assert not state.holds_back
    return state


def test_words_are_held_back_until_the_first_language_is_decided() -> None:
    state = LanguageState()
    assert hear(state, 0, (500, {"en": 1.0}), (LOOK_MS, {"cy": 0.4, "en": 0.35})) == [False]
    assert (state.code, state.guess, state.holds_back) == ("", "cy", True)
    assert hear(state, 0, (LOOK_MS + 500, {"en": 0.5}), (DECISION_MS, {"en": 0.5})) == [False]
    assert (state.code, state.holds_back) == ("en", False)


def test_a_doubtful_first_word_decides_nothing() -> None:
    state = LanguageState()
    hear(state, 0, (900, {"la": 0.5}), ends=True)
    assert (state.code, state.guess) == ("", "la")


@pytest.mark.parametrize("probability", [0.51, 0.85])
def test_an_accent_does_not_change_the_language(probability: float) -> None:
    state = english()
    heard = {"zh": probability, "en": 1 - probability - 0.1}
    assert not any(hear(state, 10_000, (LOOK_MS, heard), (DECISION_MS, heard)))
    assert (state.code, state.holds_back) == ("en", False)


def test_a_short_answer_in_another_language_does_not_either() -> None:
    state = english()
    assert not any(hear(state, 10_000, (LOOK_MS, {"de": 0.99}), (2_000, {"de": 0.99}), ends=True))
    assert state.code == "en"


def test_another_language_is_followed_and_its_words_are_held_back_until_then() -> None:
    state = english()
    assert hear(state, 10_000, (LOOK_MS, {"de": 0.9, "en": 0.1})) == [False]
    assert state.holds_back
    assert hear(state, 10_000, (DECISION_MS, {"de": 0.95})) == [True]
    assert (state.code, state.since_ms, state.holds_back) == ("de", 10_000, False)


def test_a_language_that_was_spoken_before_returns_more_easily() -> None:
    state = english()
    hear(state, 10_000, (LOOK_MS, {"de": 0.9}), (DECISION_MS, {"de": 0.9}))
    assert any(hear(state, 20_000, (LOOK_MS, {"en": 0.65, "de": 0.2}), (DECISION_MS, {"en": 0.65, "de": 0.2})))
    assert state.code == "en"


def test_speech_without_a_pause_is_checked_again() -> None:
    state = english()
    until_ms = LOOK_MS + language.RECHECK_MS + DECISION_MS
    looks = [(ms, {"fr": 0.97}) for ms in range(LOOK_MS + 500, until_ms + 1, 500)]
    assert any(hear(state, 0, *looks))
    assert state.code == "fr"
    assert state.since_ms > LOOK_MS
