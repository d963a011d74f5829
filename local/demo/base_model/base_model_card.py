"""The README beside the weights: the command, the hours of speech and the learning curve, from the run's log.

`python -m local.demo.base_model.base_model_card --run DIR --weights DIR` rewrites it for a run that has ended.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from local.demo.base_model.pool import FEATURES
from local.demo.synthesis.voices import ACCENTS, VoiceSet, variants
from tasks.pages.templates import render


def write_card(run: Path, weights: Path) -> None:
    """Write `README.md` into `weights`; needs the run's `plan.json` and `progress.jsonl`, and its pool."""
    from safetensors import safe_open

    plan: dict[str, str] = json.loads((run / "plan.json").read_text())
    curve: list[dict[str, Any]] = [json.loads(row) for row in (run / "progress.jsonl").read_text().splitlines()]
    with safe_open(weights / "model.safetensors", framework="np") as tensors:
        n_parameters = sum(int(np.prod(tensors.get_slice(name).get_shape())) for name in tensors.keys())  # noqa: SIM118
    pool = Path(plan["pool"])
    with np.load(pool / "validation-clean.npz") as validation:
        n_validation = len(validation["n_frames"])
    card = render(
        "local.demo.base_model/base_model_card.md.jinja",
        n_parameters_m=n_parameters / 1e6,
        n_variants=len(variants(VoiceSet.BASE_TRAINING)),
        n_accents=len(ACCENTS),
        n_mels=FEATURES.n_mels,
        hop_ms=1000 / FEATURES.frame_rate_hz,
        plan=plan,
        minutes=float(plan["train_s"]) / 60,
        batch_s=float(plan["batch_s"]),
        pool_h=sum(map(_shard_hours, sorted(pool.glob("train-*.npz")))),
        n_validation=n_validation,
        best=min(curve, key=lambda row: row["wer_clean"] + row["wer_noisy"]),
        last=curve[-1],
        curve=curve,
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
