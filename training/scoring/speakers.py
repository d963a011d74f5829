"""Diarization errors (DER and JER, by pyannote.metrics) and speaker-attributed word errors (cpWER, on jiwer's counts).

Collars are NIST's, on each side of a reference boundary; pyannote.metrics takes the whole width, twice that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.contract import Frozen
from tasks.transcripts.error_counts import ErrorCounts, total
from training.scoring.errors import word_errors

if TYPE_CHECKING:
    from pyannote.core import Annotation, Timeline

    from tasks.transcripts.spans import Turn

COLLAR_S = 0.25  # on each side of a boundary, as NIST; 0.5 in pyannote.metrics


class SpeakerErrors(Frozen):
    """Seconds in error, of `scored_s` seconds of speech; overlapped speech counts once per speaker. Additive."""

    scored_s: float = 0.0
    missed_s: float = 0.0
    false_alarm_s: float = 0.0
    confusion_s: float = 0.0

    @property
    def rate(self) -> float:
        """DER, as a share of the scored speech; it may exceed 1."""
        return (self.missed_s + self.false_alarm_s + self.confusion_s) / max(self.scored_s, 1e-9)

    def __add__(self, other: SpeakerErrors) -> SpeakerErrors:
        return SpeakerErrors(
            **{name: getattr(self, name) + getattr(other, name) for name in SpeakerErrors.model_fields}
        )


def speaker_errors(
    reference: Annotation,
    hypothesis: Annotation,
    scored: Timeline | None = None,
    collar_s: float = 0.0,
    without_overlap: bool = False,
) -> SpeakerErrors:
    """Compute diarization errors under the optimal mapping of speakers. `scored` is the UEM: the regions to score.

    Regions within `collar_s` of a reference boundary are not scored, nor, `without_overlap`, overlapped speech.
    """
    from pyannote.metrics.diarization import DiarizationErrorRate

    metric = DiarizationErrorRate(collar=2 * collar_s, skip_overlap=without_overlap)
    found = metric(reference, hypothesis, uem=scored or _everything(reference, hypothesis), detailed=True)
    return SpeakerErrors(
        scored_s=found["total"],
        missed_s=found["missed detection"],
        false_alarm_s=found["false alarm"],
        confusion_s=found["confusion"],
    )


class DiarizationErrors(Frozen):
    """Diarization errors over several recordings."""

    without_collar: SpeakerErrors = SpeakerErrors()
    """Without collar, overlap scored."""
    with_collar: SpeakerErrors = SpeakerErrors()
    """With `COLLAR_S`, without overlap."""
    n_correct: int = 0
    """Recordings with the correct number of speakers."""
    n: int = 0

    def __str__(self) -> str:
        errors = self.without_collar
        kinds = (("missed", errors.missed_s), ("false alarm", errors.false_alarm_s), ("confusion", errors.confusion_s))
        shares = (f"{kind} {100 * seconds / max(errors.scored_s, 1e-9):.1f}" for kind, seconds in kinds)
        return (
            f"DER {100 * errors.rate:.1f} % without collar, overlap scored ({', '.join(shares)}); "
            f"{100 * self.with_collar.rate:.1f} % with {COLLAR_S} s on each side, without overlap; "
            f"number of speakers correct in {self.n_correct} of {self.n}"
        )


def diarization_errors(recordings: Iterable[tuple[Annotation, Annotation, Timeline | None]]) -> DiarizationErrors:
    """Add up the errors of recordings, each given as reference, hypothesis and UEM."""
    without_collar, with_collar, n_correct, n = SpeakerErrors(), SpeakerErrors(), 0, 0
    for reference, hypothesis, scored in recordings:
        without_collar += speaker_errors(reference, hypothesis, scored)
        with_collar += speaker_errors(reference, hypothesis, scored, COLLAR_S, without_overlap=True)
        n_correct += len(hypothesis.labels()) == len(reference.labels())
        n += 1
    return DiarizationErrors(without_collar=without_collar, with_collar=with_collar, n_correct=n_correct, n=n)


def jaccard_error_rate(reference: Annotation, hypothesis: Annotation, scored: Timeline | None = None) -> float:
    """Compute JER: each speaker's share of time in error, averaged over speakers (second DIHARD challenge)."""
    from pyannote.metrics.diarization import JaccardErrorRate

    return float(JaccardErrorRate()(reference, hypothesis, uem=scored or _everything(reference, hypothesis)))


def _everything(reference: Annotation, hypothesis: Annotation) -> Timeline:
    """Return the extent of both; pyannote.metrics does the same when given no UEM, with a warning."""
    from pyannote.core import Timeline

    return Timeline([side.get_timeline().extent() for side in (reference, hypothesis) if side])


def speaker_word_errors(reference: Mapping[str, str], hypothesis: Mapping[str, str]) -> ErrorCounts:
    """Count word errors under the optimal pairing of speakers (cpWER, CHiME-6), of normalised text by speaker.

    A word attributed to the wrong speaker counts twice: a deletion for one, an insertion for the other. Words without
    a speaker belong under a name of their own.
    """
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    # A speaker without a partner is paired with silence. meeteval gives the same counts, but must be compiled on
    # installation.
    n_speakers = max(len(reference), len(hypothesis))
    references, hypotheses = ([*texts.values()] + [""] * (n_speakers - len(texts)) for texts in (reference, hypothesis))
    counts = [[word_errors(theirs, ours) for ours in hypotheses] for theirs in references]  # (n_speakers, n_speakers)
    pairs = linear_sum_assignment(np.array([[found.errors for found in row] for row in counts]))
    return total(counts[row][column] for row, column in zip(*pairs, strict=True))


def annotation_of(turns: Iterable[Turn], name: str = "") -> Annotation:
    """Convert turns to pyannote's annotation."""
    from pyannote.core import Annotation, Segment

    found = Annotation(uri=name)
    for number, turn in enumerate(turns):
        found[Segment(turn.start_ms / 1000, turn.end_ms / 1000), number] = turn.speaker
    return found


def read_rttm(path: Path) -> Annotation:
    """Read an RTTM file of one recording."""
    from pyannote.database.util import load_rttm

    (found,) = load_rttm(path).values()
    return found


def read_uem(path: Path) -> Timeline:
    """Read the regions to score from a UEM file of one recording."""
    from pyannote.database.util import load_uem

    (found,) = load_uem(path).values()
    return found
