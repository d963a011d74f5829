"""Trains a diarizer: `python -m local.demo.diarizer --weights DIR [--speech DIR --start DIR]`.

Without `--speech` all data are synthetic: voices, rooms and noises. With it the networks learn from the named human
speakers of the folder's `train_pack`. The result depends on steps and seed, not on time.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from local.demo.diarizer.diarizer_card import Run, write_card
from local.demo.diarizer.speakers import STRETCHES, Speaker, human_speakers, synthetic_speakers
from local.demo.diarizer.talks import talks
from local.demo.diarizer.tuning import N_TALKS, tune
from local.demo.synthesis.augmentation import SoundBank
from local.demo.synthesis.voices import VoiceSet
from tasks.audio import SAMPLE_RATE_HZ

# Speakers who are neither in train_pack nor in the scored talks. The last entry includes the first three.
HUMAN_VALIDATION = ("sentences/second_language", "sentences/audiobook", "sentences/an4", "sentences/")
MIN_SPEECH_S = 8.0  # a speaker with less speech takes part in no talk


def main(
    weights: Annotated[Path, typer.Option(help="folder to write")],
    speech: Annotated[Path | None, typer.Option(help="folder of human recordings with a manifest.jsonl")] = None,
    start: Annotated[Path | None, typer.Option(help="initial weights; random if not given")] = None,
    embedding_steps: Annotated[int, typer.Option(help="steps of 64 crops")] = 700,
    segmentation_steps: Annotated[int, typer.Option(help="steps of 24 windows")] = 450,
    seed: int = 1,
) -> None:
    # These import pyannote.audio, for seconds which --help does not need.
    from local.demo.diarizer.trainer import train_embedding, train_segmentation
    from tasks.diarization.embedded import (
        EmbeddedConfig,
        load_networks,
        make_embedding,
        make_segmentation,
        pipeline_of,
        save_embedded,
    )

    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    began = time.monotonic()
    training, validation = speaker_sets(speech, seed)
    bank = SoundBank.make(seed)
    config = EmbeddedConfig()
    embedding, segmentation = load_networks(start, config) if start else (make_embedding(config), None)
    run = Run(
        n_speakers=len(training),
        hours=sum(map(hours, training)),
        embedding_steps=embedding_steps,
        segmentation_steps=segmentation_steps,
        seed=seed,
        human=speech is not None,
        started=start is not None,
    )

    def log(network: str, step: int, seconds: float, loss: float) -> None:
        typer.echo(json.dumps({"network": network, "step": step, "seconds": round(seconds), "loss": round(loss, 3)}))

    train_embedding(embedding, training, bank, embedding_steps, seed, log)
    segmentation = segmentation or make_segmentation(embedding, config)
    train_segmentation(segmentation, training, bank, segmentation_steps, seed, log)
    pipeline = pipeline_of(embedding, segmentation, config)
    tuned = tune(pipeline, talks(validation, SoundBank.make(seed + 1), seed, N_TALKS))
    save_embedded(embedding, segmentation, config.model_copy(update={"threshold": tuned.threshold}), weights)
    write_card(replace(run, seconds=time.monotonic() - began), tuned, weights)
    typer.echo(f"DER {100 * tuned.errors.rate:.1f} % on talks of unseen speakers, threshold {tuned.threshold}")


def speaker_sets(speech: Path | None, seed: int) -> tuple[list[Speaker], list[list[Speaker]]]:
    """Training speakers, and groups of other speakers whose talks tune the threshold."""
    if speech:
        groups = [human_speakers(speech, (folder,)) for folder in HUMAN_VALIDATION]
        validation = [[speaker for speaker in group if speaker.speech_s >= MIN_SPEECH_S] for group in groups]
        return human_speakers(speech, stretches=STRETCHES), validation
    return synthetic_speakers(VoiceSet.BASE_TRAINING, seed), [synthetic_speakers(VoiceSet.BASE_VALIDATION, seed)]


def hours(speaker: Speaker) -> float:
    return sum(len(recording.samples) for recording in speaker.recordings) / SAMPLE_RATE_HZ / 3600


if __name__ == "__main__":
    typer.run(main)
