"""Words parted at line ends are joined where the language does so; hyphens of the spelling stay."""

from __future__ import annotations

import pytest

from tasks.corpus.records import Supervision
from tasks.corpus.utterances.continuations import with_spoken_texts
from tasks.corpus.utterances.text import normaliser_for


@pytest.mark.parametrize(
    ("language", "written", "spoken"),
    [
        ("de", "Der neue Verkehrs-\nminister trat zurück.", "der neue verkehrsminister trat zurück."),
        ("de", "Der neue Verkehrs- \n minister,", "der neue verkehrsminister"),
        ("de", "Der neue Verkehrs\u2010\nminister", "der neue verkehrsminister"),
        ("de", "Bundes- und die\nLandesregierung", "bundes und die landesregierung"),
        ("de", "Bundes-\nund Landesregierung", "bundes und landesregierung"),
        ("de", "Nord-\nSüd-Gefälle", "nord süd gefälle"),
        ("de", "US-\namerikanische Truppen", "us amerikanische truppen"),
        ("de", "E-\nmail", "e mail"),
        ("de", "israelisch-\npalästinensische Gespräche", "israelisch palästinensische gespräche"),
        ("de", "Ich wollte -\naber nein", "ich wollte, aber nein"),
        ("de", "Ich war-\n- Nein!", "ich war nein."),
        ("de", "Ein Donau-\ndampf-\nschiff", "ein donaudampfschiff"),
        ("nl", "de verkeers-\nminister", "de verkeersminister"),
        ("nl", "zee-\neend", "zee eend"),
        ("nl", "in-\nen uitvoer", "in en uitvoer"),
        ("fr", "une magni-\nfique soirée", "une magnifique soirée"),
        ("fr", "peut-\nêtre est-\nce lui-\nmême", "peut être est ce lui même"),
        ("es", "la informa-\nción", "la información"),
        ("it", "la informa-\nzione", "la informazione"),
        ("pt", "disse-\nme a informa-\nção", "disse me a informação"),
        ("sv", "den nya trafik-\nministern", "den nya trafikministern"),
        ("sv", "för-\noch nackdelar", "för och nackdelar"),
        ("da", "den nye trafik-\nminister", "den nye trafikminister"),
        ("no", "samferdsels-\nministeren", "samferdselsministeren"),
        ("fi", "liikenne-\nministeri, linja-\nauto", "liikenneministeri, linja auto"),
        ("tr", "gel-\nmişler", "gelmişler"),
        ("en", "a well-\nknown story", "a well known story"),
        ("en", "inter\u00ad\nnational soft\u00adness", "international softness"),
        ("en", "one\u2028two", "one two"),
    ],
)
def test_line_ends(language: str, written: str, spoken: str) -> None:
    assert normaliser_for(language)(written) == spoken


def captions(*texts: str, pause_s: float = 0.2, speakers: tuple[str, ...] = ("", "", "")) -> list[Supervision]:
    starts = [n * (2.0 + pause_s) for n in range(len(texts))]
    return [
        Supervision(start_s=a, end_s=a + 2.0, text=text, speaker=speaker)
        for a, text, speaker in zip(starts, texts, speakers, strict=False)
    ]


def test_a_word_that_begins_in_one_caption_ends_there() -> None:
    found = with_spoken_texts(captions("Der neue Verkehrs-", "minister, der Herr", "Meier."), "de")
    assert [text for _, text in found] == ["Der neue Verkehrsminister,", "der Herr", "Meier."]


def test_a_caption_of_nothing_but_the_end_of_a_word_is_added() -> None:
    found = with_spoken_texts(captions("Der neue Verkehrs-", "minister."), "de")
    assert [(c.end_s, text) for c, text in found] == [(4.2, "Der neue Verkehrsminister.")]


@pytest.mark.parametrize(
    ("parts", "language"),
    [
        (captions("Bundes-", "und Landesregierung"), "de"),
        (captions("well-", "known"), "en"),
        (captions("Ich war-", "- Nein!"), "de"),
        (captions("Der Verkehrs-", "minister", pause_s=3.0), "de"),
        (captions("Der Verkehrs-", "minister", speakers=("ann", "ben")), "de"),
    ],
)
def test_other_captions_stay(parts: list[Supervision], language: str) -> None:
    assert with_spoken_texts(parts, language) == [(c, c.text) for c in parts]
