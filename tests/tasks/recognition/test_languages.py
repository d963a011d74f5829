"""Ballots weighed against what is known of the programme. The ballots are Whisper base's."""

from __future__ import annotations

import pytest

from tasks.recognition.languages import (
    after_change,
    candidates,
    corrected,
    dissent,
    most_probable_sequence,
    posterior,
    programme_prior,
)

ENGLISH_NEWS = programme_prior([({"en": 0.97, "cy": 0.02}, 300.0)])
GERMAN_NEWS = programme_prior([({"de": 0.99, "en": 0.01}, 300.0)])


def languages(ballot: dict[str, float], prior: dict[str, float]) -> list[str]:
    return [language for language, _ in candidates(posterior(ballot, prior))]


@pytest.mark.parametrize(
    "ballot",
    [
        {"zh": 0.54, "en": 0.40},  # "what else could one say", read by a Mandarin speaker
        {"la": 0.51, "en": 0.31, "zh": 0.05},  # "it is a hand on my"
        {"en": 0.49, "ja": 0.17, "ms": 0.10},  # "it is a very bossy turkey"
    ],
)
def test_an_accent_in_an_english_programme_is_no_language(ballot: dict[str, float]) -> None:
    assert languages(ballot, ENGLISH_NEWS)[0] == "en"


def test_a_clear_ballot_wins_over_the_programme() -> None:
    assert languages({"de": 0.999, "en": 0.0002}, ENGLISH_NEWS) == ["de"]
    assert languages({"en": 0.999, "de": 0.0002}, GERMAN_NEWS) == ["en"]


def test_two_languages_remain_where_neither_is_certain() -> None:
    """Alone, without a programme: the text decides between them."""
    ballot = {"zh": 0.60, "en": 0.19, "ko": 0.05}  # "one one zero eight", 2.9 s
    assert languages(ballot, programme_prior([(ballot, 2.9)])) == ["en", "zh"]
    french = {"fr": 0.997, "ar": 0.001, "en": 0.001}
    assert languages(french, programme_prior([(french, 2.5)])) == ["fr"]


def test_a_vote_of_nobody_is_for_the_default() -> None:
    assert programme_prior([]) == {"en": 1.0}


def test_a_change_needs_better_ballots_the_more_often_it_changes() -> None:
    english, german, unclear = {"en": 0.97, "de": 0.01}, {"de": 0.97, "en": 0.02}, {"bs": 0.5, "hr": 0.2, "en": 0.1}
    assert most_probable_sequence([english, german, english], [4, 8, 4], ENGLISH_NEWS) == ["en", "de", "en"]
    assert most_probable_sequence([english, unclear, english], [4, 8, 4], ENGLISH_NEWS) == ["en", "en", "en"]
    assert most_probable_sequence([english, german, english], [4, 1, 4], ENGLISH_NEWS) == ["en", "en", "en"], (
        "too short"
    )
    assert most_probable_sequence([], [], ENGLISH_NEWS) == []


def test_a_passage_continues_from_the_chunk_before() -> None:
    """German by a poor voice, and then English."""
    ballots = [{"de": 0.34, "yi": 0.2}, {"th": 0.2, "en": 0.13}, {"de": 0.78, "en": 0.04}, {"en": 0.99}, {"en": 0.99}]
    found = most_probable_sequence(ballots, [2.4, 3.6, 5.0, 5.0, 4.0], ENGLISH_NEWS, before="de")
    assert found == ["de", "de", "de", "en", "en"]


def test_dissent_is_a_ballot_for_another_language() -> None:
    assert dissent({"zh": 0.54, "en": 0.40}, "en") == "zh"
    assert dissent({"zh": 0.42, "en": 0.41}, "en") == ""
    assert dissent({"en": 0.9}, "en") == dissent({}, "en") == ""


def test_latin_is_rarely_spoken() -> None:
    ballot = corrected({"la": 0.6, "fr": 0.3, "en": 0.1})
    assert next(iter(posterior(ballot, {}))) == "fr"
    assert sum(ballot.values()) == pytest.approx(1.0)


def test_a_language_that_is_clearly_heard_is_believed_however_rare() -> None:
    assert next(iter(posterior(corrected({"cy": 0.98, "en": 0.01}), {"cy": 0.9, "en": 0.1}))) == "cy"


def test_stretches_that_agree_outvote_the_programme_together() -> None:
    italian = {"it": 0.6, "en": 0.08, "es": 0.3}
    english = {"en": 0.9, "it": 0.01, "es": 0.01}
    found = most_probable_sequence([english, italian, italian, italian, english], [4.0] * 5, {"en": 0.95})
    assert found == ["en", "it", "it", "it", "en"]


def test_a_passage_that_was_cut_out_may_be_in_its_language() -> None:
    prior, ballot = {"en": 0.98}, {"fr": 0.7, "en": 0.05}
    assert next(iter(posterior(ballot, prior))) == "en"
    assert next(iter(posterior(ballot, after_change(prior, "fr")))) == "fr"
    assert after_change(prior, "en") == prior
