"""The README beside the weights: the command, the seconds, the hours of speech and the curve, from the run's own log.

`python -m local.demo.base_model.card --run DIR --weights DIR` writes it again for a run that has ended.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from local.demo.base_model.pool import FEATURES
from local.demo.synthesis.voices import ACCENTS, VoiceSet, variants

CARD = """# The base model of the demo

A Parakeet CTC ({n_parameters:.1f} M parameters, float16) that writes letters, apostrophe, space and `. , ?`.
It was trained from random weights on synthetic English only: espeak-ng, {n_variants} vocal tracts in
{n_accents} accents, sentences without meaning over a vocabulary of tens of thousands of words, with rooms,
noise, music and babble. It was trained on no human speech. It is a starting point for fine-tuning, not a
recogniser for broadcasts.

Load it with `ParakeetForCTC.from_pretrained(folder)` and `ParakeetProcessor.from_pretrained(folder)`.
Features: {n_mels} mels every {hop_ms:g} ms, normalised per utterance; one output frame per two feature frames.

## How it was trained

```
python -m local.demo.base_model --pool DIR --run DIR --weights local/demo/base_model/weights --minutes {minutes:g} \\
    --workers {n_workers} --batch-seconds {batch_s:g} --seed {seed}
```

{elapsed_s:.0f} seconds on two CPU cores shared with other work, {steps} steps, {trained_h:.1f} hours of speech
from a pool of {pool_h:.1f} hours.

Word error rates are for greedy decoding, without punctuation, on {n_validation} utterances in voices and sentences
not seen in training: as synthesised, and with noise and rooms. The sentences make no sense, so context does not help to
guess a word. Best: {best_clean:.1f} % clean, {best_noisy:.1f} % noisy.

| seconds | steps | audio hours | learning rate | loss | WER clean | WER noisy |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: |
{rows}
"""


def write_card(run: Path, weights: Path) -> None:
    """Writes `README.md` into `weights`; needs the run's `plan.json` and `progress.jsonl`, and its pool."""
    from safetensors import safe_open

    plan: dict[str, str] = json.loads((run / "plan.json").read_text())
    curve: list[dict[str, Any]] = [json.loads(row) for row in (run / "progress.jsonl").read_text().splitlines()]
    with safe_open(weights / "model.safetensors", framework="np") as tensors:
        n_parameters = sum(int(np.prod(tensors.get_slice(name).get_shape())) for name in tensors.keys())  # noqa: SIM118
    pool = Path(plan["pool"])
    with np.load(pool / "validation-clean.npz") as validation:
        n_validation = len(validation["n_frames"])
    best = min(curve, key=lambda row: row["wer_clean"] + row["wer_noisy"])
    last = curve[-1]
    rows = (
        f"| {row['elapsed_s']} | {row['step']} | {row['audio_h']:.1f} | {row['lr']:.5f} | {row['loss']:.2f} "
        f"| {100 * row['wer_clean']:.1f} % | {100 * row['wer_noisy']:.1f} % |"
        for row in curve
    )
    card = CARD.format(
        n_parameters=n_parameters / 1e6,
        n_variants=len(variants(VoiceSet.BASE_TRAINING)),
        n_accents=len(ACCENTS),
        n_mels=FEATURES.n_mels,
        hop_ms=1000 / FEATURES.frame_rate_hz,
        minutes=float(plan["train_s"]) / 60,
        n_workers=int(plan["n_workers"]),
        batch_s=float(plan["batch_s"]),
        seed=int(plan["seed"]),
        elapsed_s=last["elapsed_s"],
        steps=last["step"],
        trained_h=last["audio_h"],
        pool_h=sum(map(_shard_hours, sorted(pool.glob("train-*.npz")))),
        n_validation=n_validation,
        best_clean=100 * best["wer_clean"],
        best_noisy=100 * best["wer_noisy"],
        rows="\n".join(rows),
    )
    (weights / "README.md").write_text(card)


def _shard_hours(path: Path) -> float:
    with np.load(path) as shard:
        return float(shard["n_frames"].sum()) / FEATURES.frame_rate_hz / 3600


def main(
    run: Annotated[Path, typer.Option(help="folder of the run")],
    weights: Annotated[Path, typer.Option(help="folder of the exported model")],
) -> None:
    write_card(run, weights)


if __name__ == "__main__":
    typer.run(main)
