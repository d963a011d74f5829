"""The promotion rule: what it promotes, what it refuses, and the reasons it gives."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.dataset.manifest import REVIEWED_PREFIX
from tasks.transcripts.error_counts import ErrorCounts, total
from training.evaluation.promotion import Contender, compare, only_reviewed
from training.evaluation.records import Comparison, Decision, Evaluation, HallucinatedWords, ScoredUtterance
from training.evaluation.resampling import MIN_PROGRAMMES, choose_unit
from training.evaluation.slices import score_slices
from training.scoring.bootstrap import RateInterval

WORDS = 20
GENRES = ("news", "sport", "drama")


def utterances(errors: np.ndarray) -> list[ScoredUtterance]:
    """`errors` is `(n_programmes, n_utterances)`, of `WORDS` words each."""
    return [
        ScoredUtterance(
            utterance_id=f"{p}-{u}",
            programme_id=f"programme-{p}",
            speaker=f"speaker-{p % 4}",
            duration_s=4.0 + u % 5,
            genre=GENRES[p % len(GENRES)],
            snr_db=30.0,
            reference="word " * WORDS,
            hypothesis="",
            words=ErrorCounts(substitutions=int(n), length=WORDS),
            characters=ErrorCounts(substitutions=int(n), length=5 * WORDS),
        )
        for p, row in enumerate(errors)
        for u, n in enumerate(row)
    ]


def evaluation(scored: list[ScoredUtterance], name: str, invented: int = 0, silent: bool = True) -> Evaluation:
    words = total(u.words for u in scored)
    rate = RateInterval(value=words.rate, low=0, high=1)
    return Evaluation(
        model_version=name,
        model_digest=name,
        engine="test",
        dataset_name="test",
        dataset_version="0",
        split="test",
        normaliser="test",
        utterances=len(scored),
        hours=1.0,
        words=words,
        characters=words,
        resampling_unit="programme",
        wer=rate,
        cer=rate,
        slices=score_slices(scored),
        invented=(HallucinatedWords(sound="x", silent=silent, seconds=60.0, words=invented, heard=""),),
    )


def decide(
    challenger: np.ndarray,
    champion: np.ndarray,
    invented: int = 0,
    same: bool = False,
    silent: bool = True,
    elsewhere: tuple[np.ndarray, np.ndarray] | None = None,
    rtfx: tuple[float, float] = (50.0, 50.0),
    champion_invented: int = 0,
    is_fallback: bool = False,
) -> Comparison:
    sides = []
    for errors, name, place in ((challenger, "champion" if same else "challenger", 0), (champion, "champion", 1)):
        scored = utterances(errors)
        other = utterances(elsewhere[place]) if elsewhere else []
        found = evaluation(scored, name, champion_invented if place else invented, silent)
        sides.append(Contender(found, scored, other, rtfx[place], "two cores", is_fallback=is_fallback and bool(place)))
    return compare(*sides)


@pytest.fixture
def champion() -> np.ndarray:
    return np.random.default_rng(0).integers(1, 7, (12, 20))


def test_a_better_model_is_promoted(champion: np.ndarray) -> None:
    found = decide(champion - 1, champion)
    assert found.decision is Decision.PROMOTE
    assert found.difference == pytest.approx(-1 / WORDS)
    assert found.resampling_unit == "programme"
    assert "lower in 100.0 % of resamples of 12 programmes" in found.reasons[0]


def test_the_same_model_is_the_same(champion: np.ndarray) -> None:
    assert decide(champion, champion, same=True).decision is Decision.SAME


def test_a_damaged_model_is_not_promoted(champion: np.ndarray) -> None:
    found = decide(champion + 3, champion)
    assert found.decision is Decision.KEEP
    assert found.p_better == 0


def test_on_reviewed_programmes_the_others_do_not_count(champion: np.ndarray) -> None:
    """A challenger that is better on all but what people have checked is not promoted."""

    def contender(errors: np.ndarray, name: str) -> Contender:
        scored = [
            u.model_copy(update={"programme_id": f"{REVIEWED_PREFIX}{u.programme_id}"}) if is_reviewed else u
            for u, is_reviewed in zip(utterances(errors), np.arange(errors.size) // errors.shape[1] % 2, strict=True)
        ]
        return Contender(evaluation(scored, name), scored)

    better = champion - 1
    better[1::2] = champion[1::2] + 1
    sides = [only_reviewed(contender(*side)) for side in ((better, "new"), (champion, "old"))]
    assert all(side is not None and len(side.utterances) == champion.size // 2 for side in sides)
    found = compare(*sides)
    assert found.decision is Decision.KEEP
    assert found.difference == pytest.approx(1 / WORDS)
    assert found.challenger_wer > found.champion_wer
    assert only_reviewed(Contender(evaluation(utterances(champion), "old"), utterances(champion))) is None


def test_chance_is_not_enough(champion: np.ndarray) -> None:
    shuffled = np.random.default_rng(1).permuted(champion, axis=1)
    assert decide(shuffled, champion).decision is Decision.KEEP


def test_a_handful_of_programmes_gives_no_overconfident_result() -> None:
    """Resamples of eight alone would be significant, and too often so for equal models; with four times as many
    programmes like these the difference is significant."""
    champion = np.full((8, 20), 6)
    challenger = champion.copy()
    for row, gain in zip(challenger, (20, 16, 12, 8, 2, -2, -4, -6), strict=True):
        row[: abs(gain)] -= np.sign(gain)
    found = decide(challenger, champion)
    assert (found.resampling_unit, found.n_units) == ("programme", 8)
    assert found.p_better >= 0.95
    assert "not significant by the t-test with 8 programmes" in found.reasons[0]
    assert decide(np.tile(challenger, (4, 1)), np.tile(champion, (4, 1))).significant


def test_better_on_average_but_worse_in_a_slice(champion: np.ndarray) -> None:
    challenger = np.maximum(champion - 2, 0)
    challenger[3] = champion[3] + 4
    found = decide(challenger, champion)
    assert found.p_better > 0.95
    assert found.decision is Decision.KEEP
    assert any("worse in programme programme-3" in reason for reason in found.reasons)


def test_hallucination_in_silence_is_not_promoted(champion: np.ndarray) -> None:
    found = decide(champion - 1, champion, invented=1)
    assert found.decision is Decision.KEEP
    assert "hallucinates in silence: 1 words, the champion 0" in found.reasons[0]


def test_hallucination_in_noise_and_music_is_not_promoted(champion: np.ndarray) -> None:
    assert decide(champion - 1, champion, invented=2, silent=False).decision is Decision.PROMOTE
    found = decide(champion - 1, champion, invented=30, silent=False)
    assert found.decision is Decision.KEEP
    assert "hallucinates in non-speech" in found.reasons[0]


def test_hallucinations_do_not_accumulate_over_promotions(champion: np.ndarray) -> None:
    """Each promoted model may hallucinate slightly more, up to a cap; one that hallucinates less always passes."""

    def decided(ours: int, theirs: int) -> Decision:
        return decide(champion - 1, champion, ours, silent=False, champion_invented=theirs).decision

    assert decided(5, 0) is Decision.PROMOTE
    assert decided(11, 6) is Decision.PROMOTE
    assert decided(16, 11) is Decision.KEEP
    assert decided(30, 40) is Decision.PROMOTE
    assert decided(41, 40) is Decision.KEEP


def test_a_sacrificed_small_programme_is_detected(champion: np.ndarray) -> None:
    """Eighty words of which none is recognised any more, and twenty times as many that improved."""
    small = [u.model_copy(update={"programme_id": "small", "speaker": "her"}) for u in utterances(np.full((1, 4), 1))]
    lost = [u.model_copy(update={"words": ErrorCounts(deletions=WORDS, length=WORDS)}) for u in small]
    ours, theirs = [*utterances(np.maximum(champion - 2, 0)), *lost], [*utterances(champion), *small]
    found = compare(Contender(evaluation(ours, "new"), ours), Contender(evaluation(theirs, "old"), theirs))
    assert found.p_better > 0.95
    assert found.decision is Decision.KEEP
    assert any("worse in programme small: 100.00 % against 5.00 %" in reason for reason in found.reasons)


def test_small_slices_are_pooled(champion: np.ndarray) -> None:
    """Thirty programmes of one utterance: too little lost in each to detect, and too much in all."""
    one_each = [
        u.model_copy(update={"programme_id": f"small-{number}"})
        for number, u in enumerate(utterances(np.full((1, 30), 2)))
    ]
    worse = [u.model_copy(update={"words": ErrorCounts(substitutions=4, length=WORDS)}) for u in one_each]
    ours, theirs = [*utterances(np.maximum(champion - 2, 0)), *worse], [*utterances(champion), *one_each]
    found = compare(Contender(evaluation(ours, "new"), ours), Contender(evaluation(theirs, "old"), theirs))
    assert found.decision is Decision.KEEP
    assert [part.value for part in found.slices if part.regressed and part.kind == "programme"] == ["all small slices"]


def test_chance_in_many_large_slices_stops_nothing() -> None:
    """300 programmes of 480 words, each truly a tenth better; among so many, some appear worse by chance."""
    rng = np.random.default_rng(4)
    before = rng.binomial(WORDS, 0.15, size=(300, 24))
    after = rng.binomial(WORDS, 0.135, size=(300, 24))
    found = decide(after, before)
    looks_worse = [part for part in found.slices if part.p_worse >= 0.95]
    assert looks_worse
    assert found.decision is Decision.PROMOTE, found.reasons
    after[7] = rng.binomial(WORDS, 0.4, size=24)
    assert any("worse in programme programme-7" in why for why in decide(after, before).reasons)


def test_chance_in_small_slices_stops_nothing(champion: np.ndarray) -> None:
    """Four hundred programmes of one utterance, better by a third on average, with independent noise."""
    rng = np.random.default_rng(3)
    found = decide(rng.binomial(WORDS, 0.10, (400, 1)), rng.binomial(WORDS, 0.15, (400, 1)))
    assert sum(part.kind == "programme" for part in found.slices) == 401
    assert found.decision is Decision.PROMOTE


def test_a_sacrificed_genre_is_detected_though_no_programme_shows_it(champion: np.ndarray) -> None:
    """A little worse in each of its programmes: not significant in any of them, but in all together."""
    challenger = np.maximum(champion - 2, 0)
    rng = np.random.default_rng(2)
    challenger[2::3] = champion[2::3] + rng.choice([-1, 0, 1, 2], champion[2::3].shape)
    found = decide(challenger, champion)
    assert found.p_better > 0.95
    assert found.decision is Decision.KEEP
    assert any("worse in genre drama" in reason for reason in found.reasons)


def test_worse_out_of_domain_is_not_promoted(champion: np.ndarray) -> None:
    assert decide(champion - 1, champion, elsewhere=(champion, champion)).decision is Decision.PROMOTE
    found = decide(champion - 1, champion, elsewhere=(champion + 2, champion))
    assert found.decision is Decision.KEEP
    assert found.out_of_domain is not None
    assert found.out_of_domain.regressed
    assert "worse out of domain" in found.reasons[0]


def test_much_slower_is_not_promoted(champion: np.ndarray) -> None:
    assert decide(champion - 1, champion, rtfx=(30.0, 50.0)).decision is Decision.PROMOTE
    found = decide(champion - 1, champion, rtfx=(20.0, 50.0))
    assert found.decision is Decision.KEEP
    assert "too slow: 20.0 times real time, the champion 50.0" in found.reasons[0]


def test_a_first_champion_compared_with_itself_is_promoted_unless_it_is_of_no_use(champion: np.ndarray) -> None:
    """An imported model has no base model to be compared with."""
    first = decide(champion, champion, same=True, is_fallback=True)
    assert first.decision is Decision.PROMOTE
    assert "no champion yet" in first.reasons[0]
    useless = np.full_like(champion, WORDS - 1)
    refused = decide(useless, useless, same=True, is_fallback=True)
    assert refused.decision is Decision.KEEP
    assert "95.00 % is too high" in refused.reasons[0]


def test_speed_is_no_bar_before_the_first_champion(champion: np.ndarray) -> None:
    """The fallback is a base model that decodes greedily, and the challenger has a spelling model."""
    assert decide(champion - 1, champion, rtfx=(20.0, 50.0), is_fallback=True).decision is Decision.PROMOTE


def test_few_utterances_prove_nothing() -> None:
    champion = np.full((2, 4), 10)
    found = decide(champion - 8, champion)
    assert found.decision is Decision.KEEP
    assert "too few" in found.reasons[0]


def test_few_programmes_are_checked_one_by_one() -> None:
    """Utterances are resampled, and one programme that regressed is still enough to refuse."""
    champion = np.full((3, 30), 5)
    assert choose_unit(["a", "b", "c"]) == "utterance"
    better = decide(champion - 2, champion)
    assert (better.decision, better.resampling_unit, better.n_units) == (Decision.PROMOTE, "utterance", 90)
    challenger = champion - 3
    challenger[2] = 7
    assert decide(challenger, champion).decision is Decision.KEEP


def test_programmes_are_resampled_where_there_are_enough() -> None:
    assert choose_unit([str(i) for i in range(MIN_PROGRAMMES)]) == "programme"
    assert choose_unit([str(i) for i in range(MIN_PROGRAMMES - 1)]) == "utterance"
