"""Tunes the clustering of a diarizer given in parts: `python -m local.demo.diarizer.parts FOLDER --speech DIR`.

The talks are composed of the named speakers of `train_pack`; none of them is in the scored talks. The threshold is
written into the folder's `config.yaml`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
import typer
import yaml

from local.demo.diarizer.speakers import human_speakers
from local.demo.diarizer.talks import talks
from local.demo.diarizer.tuning import N_TALKS, tune
from local.demo.synthesis.augmentation import SoundBank

GROUPS = ("train_pack/audiobook", "train_pack/second_language")
THRESHOLDS = tuple(round(0.5 + 0.05 * n, 2) for n in range(13))
ANY_THRESHOLD = 0.8  # replaced before it is used


def main(
    folder: Annotated[Path, typer.Argument(help="folder with config.yaml, a segmentation and an embedding")],
    speech: Annotated[Path, typer.Option(help="folder of human recordings with a manifest.jsonl")],
    n_talks: Annotated[int, typer.Option(help="talks to compose")] = N_TALKS,
    seed: int = 1,
) -> None:
    from tasks.diarization.parts.loading import load_parts  # imports pyannote.audio, for seconds

    torch.set_num_threads(1)
    config: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text())
    clustering = {"threshold": ANY_THRESHOLD} | (config.get("clustering") or {})
    pipeline = load_parts(folder, config | {"clustering": clustering})
    groups = [human_speakers(speech, (group,)) for group in GROUPS]
    tuned = tune(pipeline, talks(groups, SoundBank.make(seed), seed, n_talks), THRESHOLDS)
    config["clustering"] = clustering | {"threshold": tuned.threshold}
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    typer.echo(
        f"threshold {tuned.threshold}: DER {100 * tuned.errors.rate:.1f} % on {n_talks} talks,"
        f" number of speakers correct in {tuned.right_counts}"
    )


if __name__ == "__main__":
    typer.run(main)
