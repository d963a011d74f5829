"""Function words that guide line breaks: a line may break before some of them, and should not break after most.

Lists exist for the languages of the company's own programmes. For other languages only punctuation, pauses and balance
decide.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.transcripts.text import primary_language


@dataclass(frozen=True, slots=True)
class FunctionWords:
    """Lower-case words. `proclitics` belong to the word after them: articles, auxiliaries, pronouns."""

    conjunctions: frozenset[str] = frozenset()
    prepositions: frozenset[str] = frozenset()
    proclitics: frozenset[str] = frozenset()


def _words(conjunctions: str, prepositions: str, proclitics: str) -> FunctionWords:
    return FunctionWords(
        frozenset(conjunctions.split()), frozenset(prepositions.split()), frozenset(proclitics.split())
    )


_BY_LANGUAGE = {
    "en": _words(
        "and but or nor so yet because although though while if unless until when where which who "
        "whose whom that than since whether whereas as",
        "about above across after against along among around at before behind below beneath beside "
        "between beyond by despite down during for from in inside into like near of off on onto out "
        "over past through to toward towards under up upon via with within without",
        "a an the this these those my your his her its our their some any every each no not very more "
        "most i you he she it we they who i'm you're he's she's it's we're they're i've we've they've "
        "there's that's is are am was were be been being have has had do does did will would can "
        "could shall should may might must don't doesn't didn't can't won't isn't aren't wasn't "
        "weren't mr mr. mrs mrs. ms ms. dr dr. st st.",
    ),
    "de": _words(
        "und aber oder denn sondern weil dass wenn als ob obwohl während damit bevor nachdem",
        "an auf aus bei bis durch für gegen hinter in mit nach neben ohne seit über um unter von vor zu zwischen",
        "der die das den dem des ein eine einen einem einer eines mein dein sein ihr unser kein keine "
        "nicht sehr ich du er sie es wir ist sind war waren hat haben hatte wird werden wurde kann im "
        "am zum zur vom beim",
    ),
    "fr": _words(
        "et mais ou donc or ni car que qui quand lorsque parce si comme puisque dont où",
        "à après avant avec chez contre dans de depuis derrière dès devant en entre par pendant pour "
        "sans sous sur vers",
        "le la les un une des du au aux ce cet cette ces mon ma mes ton ta tes son sa ses notre nos "
        "votre vos leur leurs je tu il elle on nous vous ils elles ne pas très est sont était a ont "
        "avait se me te y",
    ),
    "es": _words(
        "y e o u pero sino porque que quien cuando donde si como aunque mientras pues",
        "a ante bajo con contra de desde durante en entre hacia hasta para por según sin sobre tras",
        "el la los las un una unos unas del al mi tu su mis tus sus este esta estos estas no muy yo "
        "tú él ella nosotros ellos se me te lo le es son era ha han había está están fue",
    ),
}


def function_words(language: str) -> FunctionWords:
    return _BY_LANGUAGE.get(primary_language(language), FunctionWords())
