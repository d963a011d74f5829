"""The result type of the caption parsers."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tasks.corpus.captions.problems import TranscriptProblem
from tasks.corpus.records import Supervision


@dataclass(frozen=True)
class ParsedCaptions:
    """Cues in file order, and the parts of the file that could not be used."""

    cues: list[Supervision]
    problems: list[TranscriptProblem]
    """Parts with spoken words that no cue contains."""
    remarks: tuple[str, ...] = ()
    """Content excluded or interpreted by design, such as comments, other channels and code tables."""
    label_second_s: float = 1.0
    """Duration of a second of the file's time code in real seconds: 1.001 at 29.97 fps without drop frames."""
    programme_start_s: float = 0.0
    """The programme start in the file's header, already subtracted from the times."""

    def shift(self, by_s: float) -> ParsedCaptions:
        """Return the captions with all times `by_s` later."""
        if not by_s:
            return self
        cues = [shift_cue(cue, by_s) for cue in self.cues]
        problems = [problem.shift(by_s) for problem in self.problems]
        return replace(self, cues=cues, problems=problems)


def shift_cue(cue: Supervision, by_s: float) -> Supervision:
    """Return the cue `by_s` later."""
    end_s = None if cue.end_s is None else round(cue.end_s + by_s, 3)
    return cue.model_copy(update={"start_s": round(cue.start_s + by_s, 3), "end_s": end_s})
