"""The cost of a break between two words, for every word boundary of a programme."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from tasks.transcripts.cues.function_words import function_words
from tasks.transcripts.document import Word
from tasks.transcripts.sentences import ends_sentence

# Costs of a boundary, on a scale where an additional cue costs 10. The order is the BBC's and Netflix's (break at
# sentence ends, then at punctuation, then before conjunctions and prepositions, never between an article and its noun
# or inside a name); the values were tuned by reading the results.
SENTENCE = 0.0
CLAUSE = 3.0
BEFORE_CONJUNCTION = 5.0
BEFORE_PREPOSITION = 7.0
BETWEEN_WORDS = 11.0
INSIDE_NAME = 16.0
AFTER_PROCLITIC = 18.0

_CLAUSE_ENDS = (",", ";", ":", "-", "–", "—", ")", "،", "؛", "，", "、", "；")
# A pause marks the end of a phrase more reliably than grammar.
_SHORT_PAUSE_MS = 300
_LONG_PAUSE_MS = 1_000


def boundary_costs(words: Sequence[Word], language: str) -> list[float]:
    """Return the costs of the boundaries before each word and after the last, shape (n_words + 1,)."""
    function = function_words(language)
    not_last = function.proclitics | function.prepositions | function.conjunctions
    costs = [SENTENCE]
    for before, after in pairwise(words):
        pause_ms = after.start_ms - before.end_ms
        text, following = before.text, after.text
        if pause_ms >= _LONG_PAUSE_MS or ends_sentence(text, following):
            costs.append(SENTENCE)
            continue
        next_word = following.lower().rstrip(",.?!")
        if text.endswith(_CLAUSE_ENDS):
            cost = CLAUSE
        elif text.lower() in not_last or text[-1].isdigit():
            cost = AFTER_PROCLITIC
        elif next_word in function.conjunctions:
            cost = BEFORE_CONJUNCTION
        elif next_word in function.prepositions:
            cost = BEFORE_PREPOSITION
        elif text[:1].isupper() and following[:1].isupper():
            cost = INSIDE_NAME
        else:
            cost = BETWEEN_WORDS
        costs.append(cost / 2 if pause_ms >= _SHORT_PAUSE_MS else cost)
    if words:
        costs.append(SENTENCE)
    return costs
