"""The README beside a diarizer's weights: how they were trained, and their errors on unseen voices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from local.demo.diarizer.tuning import Tuned

CARD = """# The embedded diarizer's weights

Two networks for pyannote.audio's `SpeakerDiarization` ([`networks.py`](../networks.py)): one computes speaker
embeddings, one finds the active speakers, at most three, in windows of 10 s. They were trained on
{whom}:
{n_speakers} speakers, {hours:.1f} h of speech, mixed into turns and overlaps with rooms, microphones, noise and music.

```
python -m local.demo.diarizer --weights {weights}{speech}{start} --embedding-steps {embedding_steps} \\
    --segmentation-steps {segmentation_steps} --seed {seed}
```

{minutes:.0f} minutes on one core shared with other work.

On {n_talks} talks assembled from up to four unseen voices, half of them with noise, every fifth in four scenes of a
minute, the others in one: DER {der:.1f} % without collar, overlap scored (missed {missed:.1f}, false
alarm {false_alarm:.1f}, confusion {confusion:.1f}); the number of speakers is right in {right} of {n_talks}.

The threshold {threshold:g} was chosen on these talks. Figures on human speech: `python -m benchmarks.diarization`.
"""


@dataclass(frozen=True)
class Run:
    """What made the weights."""

    n_speakers: int
    hours: float
    embedding_steps: int
    segmentation_steps: int
    seed: int
    human: bool
    started: bool
    """From other weights, not from random ones."""
    seconds: float = 0.0


def write_card(run: Run, tuned: Tuned, weights: Path) -> None:
    from local.demo.diarizer.tuning import N_TALKS

    errors = tuned.errors
    shares = {
        name: 100 * getattr(errors, f"{name}_s") / errors.scored_s for name in ("missed", "false_alarm", "confusion")
    }
    card = CARD.format(
        whom="human recordings" if run.human else "synthetic voices only, from espeak-ng",
        n_speakers=run.n_speakers,
        hours=run.hours,
        weights=weights if not weights.is_absolute() else "DIR",
        speech=" --speech DIR" if run.human else "",
        start=" --start DIR" if run.started else "",
        embedding_steps=run.embedding_steps,
        segmentation_steps=run.segmentation_steps,
        seed=run.seed,
        minutes=run.seconds / 60,
        n_talks=N_TALKS,
        der=100 * errors.rate,
        right=tuned.right_counts,
        threshold=tuned.config.threshold,
        **shares,
    )
    (weights / "README.md").write_text(card)
