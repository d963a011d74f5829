"""What the parser of a caption format returns."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tasks.corpus.captions.problems import TranscriptProblem
from tasks.corpus.records import Supervision


@dataclass(frozen=True)
class ParsedCaptions:
    """Cues in the order of the file, with what could not be used of it."""

    cues: list[Supervision]
    problems: list[TranscriptProblem]
    """Words that were said and that no cue holds."""
    remarks: tuple[str, ...] = ()
    """What was left out or interpreted on purpose, such as comments, other channels and code tables."""
    label_second_s: float = 1.0
    """How long a second of the time code lasts that the times were counted from: 1.001 at 29.97 without drop frames."""
    programme_start_s: float = 0.0
    """The programme's start in its header, which was subtracted from the times."""

    def shifted(self, by_s: float) -> ParsedCaptions:
        """The same captions with all times later by `by_s`."""
        if not by_s:
            return self
        cues = [shifted(cue, by_s) for cue in self.cues]
        problems = [problem.shifted(by_s) for problem in self.problems]
        return replace(self, cues=cues, problems=problems)


def shifted(cue: Supervision, by_s: float) -> Supervision:
    """The same cue, later by `by_s`."""
    end_s = None if cue.end_s is None else round(cue.end_s + by_s, 3)
    return cue.model_copy(update={"start_s": round(cue.start_s + by_s, 3), "end_s": end_s})
