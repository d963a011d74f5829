"""Text in the wrong language is detected by its most common words; text in the right one never is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.corpus.utterances.language import COMMON, other_language
from tasks.corpus.utterances.text import LETTERS, normaliser_for

SENTENCES = {
    "da": [
        "Det er ikke toget, som vi skal hjem med, og jeg har meget at lave.",
        "Hvad blev der sagt om det nye forslag af dem, som var til mødet?",
    ],
    "de": [
        "Das ist nicht der Zug, mit dem wir nach Hause fahren.",
        "Die Regierung hat sich auf einen Plan für den Winter geeinigt.",
    ],
    "en": [
        "This is not the train that takes us home.",
        "The government has agreed on a plan for the winter.",
    ],
    "es": [
        "Este no es el tren que nos lleva a casa.",
        "El gobierno ha acordado un plan para el invierno con los bancos.",
    ],
    "fi": [
        "Tämä ei ole se juna, joka vie meidät kotiin, mutta hän tulee myös.",
        "Hallitus on sopinut siitä, että kaikki saavat nyt enemmän kuin ennen.",
    ],
    "fr": [
        "Ce n'est pas le train qui nous ramène à la maison.",
        "Le gouvernement s'est mis d'accord sur un plan pour l'hiver.",
    ],
    "it": [
        "Questo non è il treno che ci porta a casa.",
        "Il governo ha trovato un accordo con le banche per l'inverno.",
    ],
    "nl": [
        "Dit is niet de trein die ons naar huis brengt.",
        "De regering is het eens over een plan voor de winter.",
    ],
    "no": [
        "Dette er ikke toget som vi skal hjem med, og jeg har mye å gjøre.",
        "Hva ble sagt om det nye forslaget av dem som var på møtet?",
    ],
    "pt": [
        "Este não é o trem que nos leva para casa.",
        "O governo chegou a um acordo com os bancos para o inverno.",
    ],
    "sv": [
        "Det här är inte tåget som vi ska åka hem med, och jag har mycket att göra.",
        "Vad sade de som var på mötet om det nya förslaget, och hur går det för dem?",
    ],
    "tr": [
        "Bu tren bizi eve götüren tren değil ama daha hızlı.",
        "Hükümet kış için yeni bir plan ile ortaya çıktı ve çok konuştu.",
    ],
}


@pytest.mark.parametrize("language", SENTENCES)
def test_every_language_is_itself(language: str) -> None:
    normalise = normaliser_for(language)
    assert [other_language(normalise(text), language) for text in SENTENCES[language]] == ["", ""]


@pytest.mark.parametrize("language", sorted(set(SENTENCES) - {"en"}))
def test_other_languages_in_an_english_corpus(language: str) -> None:
    """As left by the English normaliser: without accents."""
    normalise = normaliser_for("en")
    assert [other_language(normalise(text), "en") for text in SENTENCES[language]] == [language, language]


@pytest.mark.parametrize(
    "text",
    ["", "yes", "bon appetit", "la la la la", "mamma mia", "el nino", "de niro, de vito, van gogh", "los angeles"],
)
def test_names_and_loanwords_are_not_evidence(text: str) -> None:
    assert other_language(text, "en") == ""


def test_every_alphabet_has_its_words() -> None:
    assert set(COMMON) == set(LETTERS)


def test_english_speech_is_not_mistaken_for_another_language(speech: Path) -> None:
    normalise = normaliser_for("en")
    clips = map(json.loads, (speech / "manifest.jsonl").read_text().splitlines())
    texts = [clip["text"] for clip in clips if (clip["lang"] or "").startswith("en") and clip["text"]]
    assert len(texts) > 2000
    assert [text for text in texts if other_language(normalise(text), "en")] == []
