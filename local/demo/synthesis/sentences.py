"""Sentences with a wide vocabulary for the base model: grammar from templates, words sampled by frequency.

They are meaningless. The acoustic model needs many different words in many contexts, with function words as frequent
as in English.
"""

from __future__ import annotations

import random
import re
from functools import cache
from itertools import accumulate

from local.demo.synthesis.numerals import cardinal, ordinal, year

VOCABULARY_WORDS = 40_000
N_FUNCTION_WORDS = 150  # the most frequent words, which the templates contain themselves
FLATTENING = 0.55  # exponent on the frequencies, so that rare words are frequent enough to be learned

# W: a word by flattened frequency; C: a word by plain frequency; P: a noun phrase; N: a number; O: an ordinal; Y: a
# year; T: a time of day.
NOUN_PHRASES = (
    "the W",
    "the W W",
    "a W W",
    "his W",
    "her W",
    "their W W",
    "our W",
    "my W",
    "this W",
    "that W",
    "these W",
    "those W W",
    "some W",
    "every W",
    "the O W",
    "N W",
    "N W W",
    "the W of the W",
    "the W of W",
    "a W of W",
    "W and W",
    "W W",
    "no W",
    "all the W",
    "one of the W",
    "most of the W",
    "W",
)
PRONOUNS = ("i", "you", "he", "she", "it", "we", "they", "there", "who", "this", "that", "everyone", "nobody")
VERBS = (
    "is W",
    "was W",
    "are W",
    "were W",
    "has W",
    "have been W",
    "will W",
    "would W",
    "can W",
    "could not W",
    "had W",
    "did not W",
    "W",
    "W",
    "W",
    "C C",
    "should be W",
    "must W",
    "may have W",
    "said that it was W",
    "wants to W",
    "began to W",
    "didn't W",
    "isn't W",
    "won't W",
    "can't W",
    "doesn't W",
)
PREPOSITIONS = [
    "in",
    "of",
    "for",
    "to",
    "with",
    "on",
    "at",
    "by",
    "from",
    "about",
    "after",
    "before",
    "between",
    "through",
    "over",
    "under",
    "without",
    "against",
    "into",
    "near",
    "during",
    "since",
    "until",
    "because",
    "than",
    "like",
    "as",
]
OPENINGS = (
    "yes",
    "no",
    "well",
    "now",
    "however",
    "today",
    "in Y",
    "at T",
    "on the O of W",
    "after all",
    "of course",
    "for example",
    "meanwhile",
    "W",
    "W W",
    "if they W",
    "when it was W",
    "as you know",
)
QUESTIONS = (
    "is P W",
    "are you W",
    "did you W P",
    "do you C P",
    "what is P",
    "where are P",
    "who W P",
    "why did P W",
    "how many W are P",
    "when will P W",
    "can you W P",
    "have you W P",
    "which W is W",
    "what do you W about P",
    "how W is P",
    "would you W",
)
RUNS = ("C C C C C", "C C W C C", "W C C", "C W C C C C", "W W W", "N N N", "C C C")


@cache
def vocabulary() -> tuple[tuple[str, ...], tuple[float, ...]]:
    """English words in descending order of frequency, with their frequencies."""
    import wordfreq

    spoken = re.compile(r"[aio]|[a-z]{2,}('[a-z]{1,2})?")
    words = [w for w in wordfreq.top_n_list("en", 2 * VOCABULARY_WORDS) if spoken.fullmatch(w)]
    words = [w for w in words if len(w) <= 16 and re.search("[aeiouy]", w)][:VOCABULARY_WORDS]
    return tuple(words), tuple(wordfreq.word_frequency(w, "en") for w in words)


class SentenceGenerator:
    """Random sentences in the model's characters: lower case, apostrophe and `. , ?`. Deterministic for a seed."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(f"sentences/{seed}")
        words, frequencies = vocabulary()
        self._words = words
        self._plain = list(accumulate(frequencies))
        self._content = words[N_FUNCTION_WORDS:]
        self._flat = list(accumulate(f**FLATTENING for f in frequencies[N_FUNCTION_WORDS:]))

    def sentence(self) -> str:
        kind = self._rng.random()
        if kind < 0.10:
            return self._fill(self._rng.choice(QUESTIONS)) + "?"
        if kind < 0.25:
            return self._fill(self._rng.choice(RUNS)) + "."
        text = self._clause()
        if self._rng.random() < 0.25:
            text = f"{self._fill(self._rng.choice(OPENINGS))}, {text}"
        if self._rng.random() < 0.25:
            joint = self._rng.choice((", and", ", but", " because", " and", ", so", ", which", " when"))
            text = f"{text}{joint} {self._clause()}"
        return text + "."

    def _clause(self) -> str:
        rng = self._rng
        subject = rng.choice(PRONOUNS) if rng.random() < 0.35 else "P"
        parts = [subject, rng.choice(VERBS)]
        if rng.random() < 0.6:
            parts.append("P")
        if rng.random() < 0.45:
            parts += [rng.choice(PREPOSITIONS), "P"]
        return self._fill(" ".join(parts))

    def _fill(self, template: str) -> str:
        return " ".join(self._slot(token) for token in template.split())

    def _slot(self, token: str) -> str:
        rng = self._rng
        match token:
            case "P":
                return self._fill(rng.choice(NOUN_PHRASES))
            case "W":
                return rng.choices(self._content, cum_weights=self._flat)[0]
            case "C":
                return rng.choices(self._words, cum_weights=self._plain)[0]
            case "N":
                return cardinal(rng.choice((rng.randint(0, 20), rng.randint(0, 100), rng.randint(100, 9999))))
            case "O":
                return ordinal(rng.randint(1, 31))
            case "Y":
                return year(rng.randint(1900, 2035))
            case "T":
                minutes = rng.choice(("", " thirty", " fifteen", " forty five", " o'clock"))
                return cardinal(rng.randint(1, 12)) + minutes
        return token
