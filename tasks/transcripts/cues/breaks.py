"""How bad it is to break text between two words: the cost of every boundary of a programme."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from tasks.transcripts.cues.function_words import function_words
from tasks.transcripts.document import Word
from tasks.transcripts.sentences import ends_sentence

# Costs of a boundary, on the scale on which one more cue costs ten. The order is the BBC's and
# Netflix's (break at sentence ends, then at punctuation, then before conjunctions and prepositions, never
# between an article and its noun or inside a name); the distances were chosen by reading the results.
SENTENCE = 0.0
CLAUSE = 3.0
BEFORE_CONJUNCTION = 5.0
BEFORE_PREPOSITION = 7.0
BETWEEN_WORDS = 11.0
INSIDE_NAME = 16.0
AFTER_CLINGING = 18.0

_CLAUSE_ENDS = (",", ";", ":", "-", "–", "—", ")", "،", "؛", "，", "、", "；")
# Speech that halts shows a phrase's end better than grammar does.
_SHORT_PAUSE_MS = 300
_LONG_PAUSE_MS = 1_000


def boundary_costs(words: Sequence[Word], language: str) -> list[float]:
    """Costs of the boundaries before each word and after the last, shape (n_words + 1,)."""
    small = function_words(language)
    clinging = small.clinging | small.prepositions | small.conjunctions
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
        elif text.lower() in clinging or text[-1].isdigit():
            cost = AFTER_CLINGING
        elif next_word in small.conjunctions:
            cost = BEFORE_CONJUNCTION
        elif next_word in small.prepositions:
            cost = BEFORE_PREPOSITION
        elif text[:1].isupper() and following[:1].isupper():
            cost = INSIDE_NAME
        else:
            cost = BETWEEN_WORDS
        costs.append(cost / 2 if pause_ms >= _SHORT_PAUSE_MS else cost)
    if words:
        costs.append(SENTENCE)
    return costs
