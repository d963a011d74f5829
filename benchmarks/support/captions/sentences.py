"""Sentences of several languages, from small grammars. Every letter is in the language's alphabet; no digits."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

_EDGES = re.compile(r"^[\W_]+|[\W_]+$")


@dataclass(frozen=True)
class Grammar:
    """Phrases of a language. A sentence is a subject, a verb, an object and perhaps a place; each parted by `/`."""

    subjects: str
    verbs: str
    objects: str
    places: str
    answers: str
    """Sentences of a dialogue."""
    joint: str
    """A word that joins two clauses."""
    remarks: str
    """What is in brackets and not said."""
    parted: str = ""
    """Sentences with a word that is parted by a hyphen at the end of a line (`|`), or that ends in one (`-|`)."""


GRAMMARS = {
    "en": Grammar(
        subjects="the council/our reporter/the old harbour master/nobody in the town/the minister for fishing/"
        "a group of students/the head of the school/every family",
        verbs="has opened/wants to sell/was looking for/will soon close/has never seen/would like to build/is painting",
        objects="the new bridge/a small museum/the way to the river/all of the boats/two of the windows/"
        "the library's garden/a railway station/an empty house",
        places="in the middle of the night/near the market/after the long winter/for the first time this year/"
        "with the help of the neighbours/on the other side of the hill",
        answers="yes, of course/I don't think so/when will it stop/not before the weekend/that's all for today/"
        "could you say that again",
        joint="and",
        remarks="applause/laughs/door slams/music playing/inaudible/phone ringing in the distance",
    ),
    "de": Grammar(
        subjects="der neue Bürgermeister/die Landesregierung/unsere Reporterin/ein junger Bäcker/die Feuerwehr/"
        "niemand im Dorf/das große Orchester/meine Großmutter",
        verbs="eröffnet/verkauft/sucht/schließt/prüft/bezahlt/übernimmt/malt",
        objects="die alte Brücke/den Bahnhof am Fluss/ein kleines Museum/die Straße nach Süden/das schöne Gebäude/"
        "einen Korb voller Äpfel/die Hälfte der Häuser",
        places="am frühen Morgen/in der Nähe von Köln/nach dem langen Winter/zum ersten Mal/mit viel Mühe/"
        "über den Dächern der Stadt",
        answers="ja, natürlich/das glaube ich nicht/wann hört es auf/erst nächste Woche/schönen guten Abend/"
        "können Sie das noch einmal sagen",
        joint="und",
        remarks="Applaus/lacht/Tür fällt zu/Musik/unverständlich/Telefon klingelt",
        parted="der neue Verkehrs|minister trat heute zurück/gestern tagte der Rundfunk|rat in der Hauptstadt/"
        "das sagten die Bundes-|und die Landesregierung/die Wieder|vereinigung war das große Thema/"
        "sie sahen den Donau|dampfer am Ufer/wir zählen die Ein-|oder Auszüge jeden Tag",
    ),
    "fr": Grammar(
        subjects="le maire du village/notre envoyée spéciale/la vieille école/une équipe d'élèves/"
        "le ministère de la pêche/l'orchestre/personne ici/ma grand-mère",
        verbs="a ouvert/veut vendre/cherchait/fermera bientôt/n'a jamais vu/préfère garder/a peint",
        objects="le nouveau pont/un petit musée/la forêt près de l'étang/les fenêtres du château/"
        "la gare où tout a commencé/une maison vide/le cœur de la ville",
        places="au milieu de la nuit/à côté du marché/après le long hiver/pour la première fois/"
        "avec l'aide des voisins/de l'autre côté du fleuve",
        answers="oui, bien sûr/je ne crois pas/quand est-ce que ça s'arrête/pas avant samedi/"
        "bonsoir à toutes et à tous",
        joint="et",
        remarks="applaudissements/rires/porte qui claque/musique/inaudible",
        parted="le nouveau gouverne|ment a été nommé hier soir/tout le monde parle du réchauffe|ment de la planète",
    ),
    "es": Grammar(
        subjects="el alcalde del pueblo/nuestra enviada/la escuela pequeña/un grupo de niños/"
        "la señora Muñoz/nadie en el barrio/el ministro de pesca",
        verbs="ha abierto/quiere vender/buscaba/cerrará pronto/nunca había visto/prefiere guardar/pintó",
        objects="el puente nuevo/un museo pequeño/el camino hacia el río/las ventanas del castillo/"
        "la estación/una casa vacía/el corazón de la ciudad",
        places="en medio de la noche/cerca del mercado/después del invierno/por primera vez este año/"
        "con la ayuda de los vecinos/al otro lado de la montaña",
        answers="sí, claro que sí/no lo creo/cuándo se acaba/mañana por la mañana/muy buenas noches a todos",
        joint="y",
        remarks="aplausos/risas/suena el teléfono/música/habla en voz baja",
        parted="el nuevo gober|nador llegó ayer por la tarde/todo el mundo habla del aero|puerto de la capital",
    ),
    "it": Grammar(
        subjects="il sindaco del paese/la nostra inviata/la vecchia scuola/un gruppo di ragazzi/"
        "nessuno in città/il ministro della pesca",
        verbs="ha aperto/vuole vendere/cercava/chiuderà presto/non ha mai visto/preferisce tenere",
        objects="il nuovo ponte/un piccolo museo/la strada verso il fiume/le finestre del castello/"
        "la stazione/una casa vuota/tutta la verità",
        places="nel cuore della notte/vicino al mercato/dopo il lungo inverno/per la prima volta/"
        "con l'aiuto dei vicini/dall'altra parte della collina",
        answers="sì, certo/non credo/quando finisce/è già lunedì/buonasera a tutti",
        joint="e",
        remarks="applausi/ride/musica/squilla il telefono",
        parted="il nuovo gover|natore è arrivato ieri sera/tutti parlano del cambia|mento del clima",
    ),
    "nl": Grammar(
        subjects="de nieuwe burgemeester/onze verslaggever/de oude school/een groep leerlingen/"
        "niemand in het dorp/het hele orkest/mijn grootmoeder",
        verbs="opent/verkoopt/zoekt/sluit/onderzoekt/betaalt/schildert",
        objects="de nieuwe brug/een klein museum/de weg naar de rivier/het station aan zee/"
        "een mand vol appels/de helft van de huizen/geen enkel idee",
        places="midden in de nacht/naast de markt/na de lange winter/voor de eerste keer/"
        "met hulp van de buren/aan de andere kant van de dijk",
        answers="ja, natuurlijk/dat denk ik niet/wanneer houdt het op/pas volgende week/goedenavond allemaal",
        joint="en",
        remarks="applaus/lacht/muziek/telefoon gaat",
        parted="de nieuwe verkeers|minister is vandaag opgestapt/gisteren was er een raads|vergadering in de hoofdstad/"
        "dat zeggen de binnen-|en de buitenwacht",
    ),
    "pt": Grammar(
        subjects="o prefeito da cidade/a nossa repórter/a velha escola/um grupo de crianças/"
        "ninguém no bairro/o ministro da pesca/a minha avó",
        verbs="abriu/quer vender/procurava/fechará em breve/nunca tinha visto/prefere guardar",
        objects="a ponte nova/um museu pequeno/o caminho até ao rio/as janelas do castelo/"
        "a estação de comboios/uma casa vazia/o coração da praça",
        places="no meio da noite/perto do mercado/depois do longo inverno/pela primeira vez/"
        "com a ajuda dos vizinhos/do outro lado da montanha",
        answers="sim, claro/não acho/quando é que acaba/só amanhã de manhã/boa noite a todos",
        joint="e",
        remarks="aplausos/risos/música/toca o telefone",
        parted="o novo gover|nador chegou ontem à noite/toda a gente fala do aero|porto da capital",
    ),
    "tr": Grammar(
        subjects="yeni belediye başkanı/muhabirimiz/küçük çocuklar/bütün köy/ışıklar altında bir öğretmen/"
        "İzmir'deki aile/büyük orkestra",
        verbs="bugün sabah/geçen kış/çok yavaş yavaş/ilk kez/hiç kimse görmeden/güneş doğarken",
        objects="eski köprüyü açtı/bir müze kurdu/ırmağın yolunu buldu/istasyonu kapattı/boş evi sattı/"
        "balıkçıların teknelerini boyadı",
        places="ve şehre döndü/ama kimseye söylemedi/çünkü yağmur yağıyordu/gece yarısına kadar",
        answers="evet, tabii ki/bence öyle değil/ne zaman biter/haftaya kadar olmaz/iyi akşamlar herkese",
        joint="ve",
        remarks="alkış/güler/müzik/kapı çarpar",
        parted="yeni cumhur|başkanı dün akşam geldi/herkes hava|limanından söz ediyor",
    ),
    "sv": Grammar(
        subjects="den nya borgmästaren/vår reporter/den gamla skolan/en grupp elever/ingen i byn/hela orkestern",
        verbs="öppnar/säljer/söker/stänger/undersöker/målar",
        objects="den nya bron/ett litet museum/vägen till ån/stationen vid sjön/en korg full av äpplen/"
        "hälften av husen",
        places="mitt i natten/bredvid torget/efter den långa vintern/för första gången/på andra sidan ön",
        answers="ja, självklart/det tror jag inte/när slutar det/inte före helgen/god kväll allihop",
        joint="och",
        remarks="applåder/skrattar/musik/telefonen ringer",
        parted="den nya trafik|ministern avgick i dag/i går träffades riks|dagen i huvudstaden",
    ),
    "da": Grammar(
        subjects="den nye borgmester/vores reporter/den gamle skole/en gruppe elever/ingen i byen/hele orkestret",
        verbs="åbner/sælger/søger/lukker/undersøger/maler",
        objects="den nye bro/et lille museum/vejen til åen/stationen ved søen/en kurv fuld af æbler/"
        "halvdelen af husene",
        places="midt om natten/ved siden af torvet/efter den lange vinter/for første gang/på den anden side af øen",
        answers="ja, selvfølgelig/det tror jeg ikke/hvornår holder det op/først på mandag/god aften alle sammen",
        joint="og",
        remarks="klapsalver/griner/musik/telefonen ringer",
    ),
}


def sentence(language: str, rng: random.Random) -> str:
    """A statement with its first letter in upper case and a full stop, of five to about thirty words."""
    clauses = [_clause(GRAMMARS[language], rng) for _ in range(rng.choice((1, 1, 1, 2)))]
    return upper_first(f" {GRAMMARS[language].joint} ".join(clauses), language) + "."


def answer(language: str, rng: random.Random) -> str:
    """A short sentence of a dialogue."""
    text = rng.choice(GRAMMARS[language].answers.split("/"))
    return upper_first(text, language) + rng.choice((".", ".", "?"))


def remark(language: str, rng: random.Random) -> str:
    """A sound that is described, without its brackets."""
    return rng.choice(GRAMMARS[language].remarks.split("/"))


def parted_sentence(language: str, rng: random.Random) -> str:
    """A sentence with `|` where a line ends inside a word. Raises ValueError if the language has none."""
    if not GRAMMARS[language].parted:
        raise ValueError(f"no parted words in {language!r}")
    return upper_first(rng.choice(GRAMMARS[language].parted.split("/")), language) + "."


def _clause(grammar: Grammar, rng: random.Random) -> str:
    parts = [rng.choice(phrases.split("/")) for phrases in (grammar.subjects, grammar.verbs, grammar.objects)]
    if rng.random() < 0.7:
        parts.append(rng.choice(grammar.places.split("/")))
    return " ".join(parts)


def upper_first(text: str, language: str) -> str:
    """`text` with its first letter in upper case."""
    return upper(text[:1], language) + text[1:]


def upper(text: str, language: str) -> str:
    """`text` in upper case, in the language's own way."""
    return (text.replace("i", "İ") if language == "tr" else text).upper()


def spoken_words(text: str, language: str) -> list[str]:
    """The words of a displayed text as they are compared: lower case, without punctuation, hyphens between words."""
    if language == "tr":
        text = text.replace("I", "ı").replace("İ", "i")
    words = text.lower().replace("’", "'").replace("-", " ").split()
    return [stripped for word in words if (stripped := _EDGES.sub("", word))]
