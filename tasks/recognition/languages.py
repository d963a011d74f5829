"""Which language is spoken: ballots of a model's language detection, weighed against what is known of the programme.

A ballot is the probability of each language in a stretch of audio. Whisper is overconfident on short stretches and on
accents: base votes with 0.5 to 0.8 for Chinese when Mandarin speakers read English digits. So a ballot is evidence to
be weighed, as in a hidden Markov model: the programme's vote is the prior, and a change of language has its price.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

Ballot = Mapping[str, float]

DEFAULT_LANGUAGE = "en"  # of a model that does not detect languages, and in doubt
DEFAULT_WEIGHT_S = 5.0  # it has the votes of this much audio: short programmes have little evidence of their own
MIN_PRIOR = 0.05  # of every language: one that was not voted for needs a ballot twenty times as good
CERTAIN = 0.9  # posterior above which no other language is tried
MIN_DISSENT = 0.5  # ballots for another language below this are nothing to tell
MIN_PROBABILITY = 0.01  # ballots of short stretches are not trusted below this
CHANGE_ODDS = 5  # against a change of language from one stretch to the next
CHANGE_COST = math.log(CHANGE_ODDS)
FULL_WEIGHT_S = 3.0  # a shorter stretch counts in proportion
# Whisper was trained on about a hundred hours of transcribed speech or more of each of these (Radford et al., 2022,
# figure 11), and on little Hindi. Others it finds where they are not spoken, most often Latin: much of the "Welsh" that
# it was trained on was English (section 4.3).
WELL_KNOWN = "en zh de es ru fr pt ko ja tr pl it sv nl ca fi id ar uk vi he el da ms hu ro no th cs ta ur hi"
LITTLE_KNOWN_WEIGHT = 0.1


def corrected(ballot: Ballot) -> dict[str, float]:
    """Return Whisper's ballot with less weight for the languages that it hardly knows."""
    well_known = WELL_KNOWN.split()
    weighed = {name: p * (1.0 if name in well_known else LITTLE_KNOWN_WEIGHT) for name, p in ballot.items()}
    total = sum(weighed.values()) or 1.0
    return {name: p / total for name, p in weighed.items()}


def programme_prior(ballots: Iterable[tuple[Ballot, float]]) -> dict[str, float]:
    """Return the probability of each language in a programme, from ballots and the seconds of audio behind each."""
    votes: dict[str, float] = defaultdict(float, {DEFAULT_LANGUAGE: DEFAULT_WEIGHT_S})
    for ballot, seconds in ballots:
        for language, probability in ballot.items():
            votes[language] += probability * seconds
    total = sum(votes.values())
    return {language: vote / total for language, vote in votes.items()}


def posterior(ballot: Ballot, prior: Ballot) -> dict[str, float]:
    """Return the probability of each language of a ballot after Bayes, most probable first."""
    joint = {language: p * max(prior.get(language, 0.0), MIN_PRIOR) for language, p in ballot.items()}
    total = sum(joint.values()) or 1.0
    return {language: joint[language] / total for language in sorted(joint, key=lambda name: (-joint[name], name))}


def after_change(prior: Ballot, language: str) -> dict[str, float]:
    """Return the prior of a passage that is cut out because its stretches are in `language`."""
    return {**prior, language: max(prior.get(language, 0.0), max(prior.values()) / CHANGE_ODDS)}


def candidates(probabilities: Ballot) -> tuple[tuple[str, float], ...]:
    """Return the languages to decode in, with their probabilities: the first, and the second unless that is certain."""
    ranked = sorted(probabilities.items(), key=lambda item: (-item[1], item[0]))
    return tuple(ranked[: 1 if ranked[0][1] >= CERTAIN else 2])


def dissent(ballot: Ballot, language: str) -> str:
    """Return the language that a ballot is for, against the one that was chosen; empty if there is none."""
    other = max(ballot, key=lambda name: (ballot[name], name), default=language)
    return other if other != language and ballot[other] >= MIN_DISSENT else ""


def most_probable_sequence(
    ballots: Sequence[Ballot], seconds: Sequence[float], prior: Ballot, before: str = ""
) -> list[str]:
    """Return the language of each of consecutive stretches, by the Viterbi algorithm.

    `before` is the language of the speech before them, if that is known. A stretch of full weight differs from its
    neighbour on one side if its ballot is five times as good, and from both if it is 25 times as good.
    """
    if not ballots:
        return []
    # Also by the ballots alone: Italian in an English programme was in none of three stretches probable enough for the
    # programme's vote (0.83 for it, 0.06 for English), in all of them together it was.
    heard = {
        max(probabilities, key=lambda name: (probabilities[name], name))
        for ballot in ballots
        for probabilities in (ballot, posterior(ballot, prior))
    }
    languages = sorted(heard | {before or max(prior, key=prior.__getitem__)})
    scores = {language: math.log(max(prior.get(language, 0.0), MIN_PRIOR)) for language in languages}
    if before:
        scores = {language: 0.0 if language == before else -CHANGE_COST for language in languages}
    origins: list[dict[str, str]] = []
    for ballot, length_s in zip(ballots, seconds, strict=True):
        best = max(languages, key=lambda language: (scores[language], language))
        origin = {
            language: language if not origins or scores[language] >= scores[best] - CHANGE_COST else best
            for language in languages
        }
        weight = min(length_s / FULL_WEIGHT_S, 1.0)
        scores = {
            language: scores[before]
            - (CHANGE_COST if before != language else 0.0)
            + weight * math.log(ballot.get(language, 0.0) + MIN_PROBABILITY)
            for language, before in origin.items()
        }
        origins.append(origin)
    sequence = [max(languages, key=lambda language: (scores[language], language))]
    for origin in reversed(origins[1:]):
        sequence.append(origin[sequence[-1]])
    return sequence[::-1]
