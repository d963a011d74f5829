"""Who spoke when, and who said what, against a reference: DER and JER by pyannote.metrics, cpWER by jiwer's counts.

Collars are counted as NIST does, on each side of a reference boundary; pyannote.metrics takes the whole width, twice
that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.contract import Frozen
from training.scoring.errors import ErrorCounts, total, word_errors

if TYPE_CHECKING:
    from pyannote.core import Annotation, Timeline

    from tasks.transcripts.spans import Turn

COLLAR_S = 0.25  # on each side of a boundary, NIST's; pyannote.metrics calls it 0.5


class SpeakerErrors(Frozen):
    """Seconds that are wrong, of `scored_s` seconds of speech; where two speak, both count. They add up."""

    scored_s: float = 0.0
    missed_s: float = 0.0
    false_alarm_s: float = 0.0
    confusion_s: float = 0.0

    @property
    def rate(self) -> float:
        """DER, as a share of the speech that is scored; it may exceed 1."""
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
    """The errors under the best naming of speakers. `scored` is the UEM: what lies outside does not count.

    Nothing within `collar_s` of a reference boundary counts, nor, `without_overlap`, where several really speak.
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


class TalkErrors(Frozen):
    """What is told of several recordings together."""

    bare: SpeakerErrors = SpeakerErrors()
    """Without collar, overlap scored."""
    collared: SpeakerErrors = SpeakerErrors()
    """With `COLLAR_S`, without overlap."""
    n_right: int = 0
    """Recordings in which the number of speakers is right."""
    n: int = 0

    def __str__(self) -> str:
        kinds = (("missed", "missed_s"), ("false alarm", "false_alarm_s"), ("confusion", "confusion_s"))
        shares = (
            f"{kind} {100 * getattr(self.bare, name) / max(self.bare.scored_s, 1e-9):.1f}" for kind, name in kinds
        )
        return (
            f"DER {100 * self.bare.rate:.1f} % without collar, overlap scored ({', '.join(shares)}); "
            f"{100 * self.collared.rate:.1f} % with {COLLAR_S} s on each side, without overlap; "
            f"number of speakers right in {self.n_right} of {self.n}"
        )


def talk_errors(talks: Iterable[tuple[Annotation, Annotation, Timeline | None]]) -> TalkErrors:
    """The errors of reference, hypothesis and what is scored of each recording, added up."""
    bare, collared, n_right, n = SpeakerErrors(), SpeakerErrors(), 0, 0
    for reference, hypothesis, scored in talks:
        bare += speaker_errors(reference, hypothesis, scored)
        collared += speaker_errors(reference, hypothesis, scored, COLLAR_S, without_overlap=True)
        n_right += len(hypothesis.labels()) == len(reference.labels())
        n += 1
    return TalkErrors(bare=bare, collared=collared, n_right=n_right, n=n)


def jaccard_error_rate(reference: Annotation, hypothesis: Annotation, scored: Timeline | None = None) -> float:
    """Each speaker's share of wrong time, averaged over speakers (second DIHARD challenge)."""
    from pyannote.metrics.diarization import JaccardErrorRate

    return float(JaccardErrorRate()(reference, hypothesis, uem=scored or _everything(reference, hypothesis)))


def _everything(reference: Annotation, hypothesis: Annotation) -> Timeline:
    """From the first to the last that either says; without one, pyannote.metrics does the same with a warning."""
    from pyannote.core import Timeline

    return Timeline([side.get_timeline().extent() for side in (reference, hypothesis) if side])


def speaker_word_errors(reference: Mapping[str, str], hypothesis: Mapping[str, str]) -> ErrorCounts:
    """Word errors under the best pairing of speakers (cpWER, CHiME-6): each speaker's words in order, normalised.

    A word at the wrong speaker counts twice, as missing there and as too much here. Words without a speaker should
    stand under a name of their own.
    """
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    # Who has no partner is paired with silence. meeteval counts the same, but has to be compiled where it is installed.
    n_speakers = max(len(reference), len(hypothesis))
    there, here = ([*texts.values()] + [""] * (n_speakers - len(texts)) for texts in (reference, hypothesis))
    counts = [[word_errors(said, heard) for heard in here] for said in there]
    pairs = linear_sum_assignment(np.array([[found.errors for found in row] for row in counts]))
    return total(counts[row][column] for row, column in zip(*pairs, strict=True))


def annotation_of(turns: Iterable[Turn], name: str = "") -> Annotation:
    """Turns as pyannote's scorers want them."""
    from pyannote.core import Annotation, Segment

    found = Annotation(uri=name)
    for number, turn in enumerate(turns):
        found[Segment(turn.start_ms / 1000, turn.end_ms / 1000), number] = turn.speaker
    return found


def read_rttm(path: Path) -> Annotation:
    """The one recording of an RTTM file."""
    from pyannote.database.util import load_rttm

    (found,) = load_rttm(path).values()
    return found


def read_uem(path: Path) -> Timeline:
    """The regions to score of the one recording of a UEM file."""
    from pyannote.database.util import load_uem

    (found,) = load_uem(path).values()
    return found
