"""Detect text in the wrong language by its most common words.

Captions are seldom tagged with a language, and a file in the wrong one passes every other filter. Names and loanwords
are not evidence; several articles and prepositions of another language, with hardly any of the expected one, are.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict

MIN_WORDS = 3  # distinct words of the other language
MIN_SHARE = 0.25  # of all words; in running text nearly every second word is listed, but languages share some
MIN_RATIO = 4  # to the words that occur only in the expected language's list


def _plain(text: str) -> str:
    """Remove accents: an English normaliser has already removed them from a French text."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)).replace("ı", "i")


_COMMON = {
    "da": """
        af alle andre at blev bliver da de dem den der det dig din du efter eller en er et for fra få ham han har hun
        hvad hvis hvor i ikke ind jeg jo kan kom kun kunne lige man med meget men mig min må nej ned nogen noget nu når
        og også om op os over på se selv sig skal som så til ud under var ved vi vil være
    """,
    "de": """
        aber als am an auch auf aus bei bin bis das dass dem den der des die dies durch ein eine einem einen
        einer er es für haben hat ich ihr im in ist ja kann mit nach nicht noch nur oder sein sich sie sind
        so über um und uns vom von vor war was wenn wer werden wie wir wird zu zum zur
    """,
    "en": """
        a about all am an and any are as at be been but by can come could did do for from get go had has
        have he her here him his how i if in into is it its just know like me more my no not now of on one
        or our out over said see she so some than that the their them then there they this time to today two
        up us was we were what when where which who will with would yes you your
    """,
    "es": """
        a al como con cuando de del desde donde el ella ellos en entre era es esta este está fue ha han hasta
        hay la las le lo los más me mi muy no nos o para pero por porque que qué se ser si sin sobre son su
        sus también un una y ya yo
    """,
    "fi": """
        ei en ennen että he hyvin hän hänen ja jo joka jos jälkeen kaikki kanssa kuin koko kun me miksi mikä minun minä
        missä mitä mukaan mutta myös niin nyt olen oli olla ole on ovat paljon se siitä sinun sinä sitten tai te tuo
        tämä vain vielä voi
    """,
    "fr": """
        à au aussi aux avec ce cette comme dans de des du elle elles en est et été être eu fait il ils je la
        le les leur lui mais mes moi ne nous on ou où par pas plus pour qu que qui sa se ses si son sont sur
        tout très tu un une vous y
    """,
    "it": """
        ai al alla anche che chi come con da dal dalla dei del della delle di dove e è era gli ha hanno i il
        in io la le lei lo loro lui ma mi nel nella no noi non o per perché più quando questa questo se sei
        si sia sono sta su sul tra un una uno
    """,
    "nl": """
        aan al als bij daar dan dat de deze die dit door een en er geen had hebben heeft heel het hier hij
        hoe ik in is je kan maar me meer met mijn moet naar niet nog nu of om ook op over te toch tot uit
        van veel voor waar was wat we wel wij wordt ze zich zij zijn zo
    """,
    "no": """
        alle at av bare ble blir da de deg dem den der det din du eller en er et etter for fra få ha han har henne hun
        hva hvis hvor hvordan i ikke jeg kan kom kunne man med meg men mer mye må nei noe noen nå når og også om opp
        oss over på se seg selv sin skal skulle som så til under ut var ved vi vil være
    """,
    "pt": """
        a ao aos as até com como da das de dela dele do dos e é ela ele eles em entre era essa esse esta
        este eu foi há isso já lhe mais mas me muito na nas não nem no nos o os ou para pela pelo por quando
        que quem se sem ser seu são só sua também tem um uma você
    """,
    "sv": """
        alla att av bara de den dem det dig din du efter eller en ett finns från för ha han hade har hon hur i inte ja
        jag ju kan kommer kunde man med men mer mig min mot mycket måste nu när nej något någon och också om oss på se
        sig sin ska skulle som så till under upp ut vad var vara vi vid vill är över
    """,
    "tr": """
        ama ancak bana ben beni bir biz bu bugün büyük çok da daha de değil diye dün en gibi hem hep her
        için ile ise kadar kendi ki mi mu mı ne neden nasıl o olan olarak oldu olduğu onu sen siz son sonra
        şey şu var ve veya ya yeni yok
    """,
}
COMMON = {language: frozenset(_plain(words).split()) for language, words in _COMMON.items()}


LANGUAGES_OF = {
    word: tuple(language for language, words in COMMON.items() if word in words)
    for word in frozenset().union(*COMMON.values())
}


def other_language(text: str, language: str) -> str:
    """The language of `text` (normalised) if it is evidently not `language`; else empty."""
    words = re.findall(r"[^\W\d_]+", _plain(text.lower()))
    n_expected = 0
    shared: Counter[str] = Counter()  # words of the expected language that another has too
    evidence: dict[str, list[str]] = defaultdict(list)
    for word in words:
        languages = LANGUAGES_OF.get(word, ())
        if language in languages:
            n_expected += 1
            shared.update(languages)
        else:
            for other in languages:
                evidence[other].append(word)
    most_likely, max_evidence = "", 0
    for other, found in sorted(evidence.items()):
        n_against = n_expected - shared[other]
        is_enough = len(set(found)) >= MIN_WORDS and len(found) >= max(MIN_SHARE * len(words), MIN_RATIO * n_against)
        if is_enough and len(found) > max_evidence:
            most_likely, max_evidence = other, len(found)
    return most_likely
