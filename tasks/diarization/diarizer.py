"""A loaded diarizer: the turns of a whole programme of any length."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pyannote.audio.pipelines import SpeakerDiarization
from pyannote.core import Annotation

from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import InputRejected, Reason
from tasks.diarization.blocks import (
    BlockSpeaker,
    crop,
    labels_by_first_turn,
    link_speakers,
    remove_overlaps,
    split_into_blocks,
)
from tasks.diarization.embedded import load_embedded
from tasks.diarization.local_pipeline import load_local_pipeline
from tasks.transcripts.spans import Span, Turn

# Blocks are diarized separately, then their speakers are linked. The memory of clustering grows with the square of a
# block's length: with 20 minutes it stays below that of the networks' batches.
BLOCK_MS = 20 * 60 * 1000
MARGIN_MS = 500  # audio before and after the speech of a block
# Windows in one pass of segmentation and of embedding; upstream's default is 1. More would not fit into a CPU's cache.
BATCHES = {"cpu": (8, 24), "cuda": (64, 96)}

Hook = Callable[[float], None]
"""Progress: called with the completed share of the programme, from 0 to 1."""


@dataclass(frozen=True)
class Diarization:
    """Turns in order. Speakers are labelled S1, S2, … in the order of their first turns."""

    turns: tuple[Turn, ...] = ()
    """Turns, which may overlap."""
    exclusive: tuple[Turn, ...] = ()
    """Turns without overlap, for assigning words to speakers."""

    @property
    def speakers(self) -> tuple[str, ...]:
        return tuple(sorted({turn.speaker for turn in self.turns}, key=lambda name: int(name[1:])))


@dataclass(frozen=True)
class DiarizedBlock:
    """The pipeline's result for one block, its times in the programme's milliseconds."""

    turns: tuple[Turn, ...]
    exclusive: tuple[Turn, ...]
    embeddings: dict[str, np.ndarray]
    """The embedding of each speaker, `(dimension,)`."""


class Diarizer:
    """A pyannote pipeline for programmes of any length."""

    def __init__(self, pipeline: SpeakerDiarization, name: str, device: str = "auto") -> None:
        """`name` identifies the pipeline in a transcript's provenance."""
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.name, self._pipeline = name, pipeline
        pipeline.legacy = False  # older configurations return only part of the output
        pipeline.segmentation_batch_size, pipeline.embedding_batch_size = BATCHES[device]
        pipeline.to(torch.device(device))

    def diarize(
        self,
        read: Callable[[int, int], np.ndarray],
        speech: Sequence[Span],
        hook: Hook = lambda _share: None,
        max_block_ms: int = BLOCK_MS,
    ) -> Diarization:
        """Diarize a programme.

        `read(start_ms, end_ms)` returns samples, `(n_samples,)` float32 at 16 kHz; fewer at the programme's end.
        `speech` is the detected speech, in order, without overlap: turns are cropped to it.
        """
        spans = split_into_blocks(speech, max_block_ms)
        total_ms = sum(span.end_ms - span.start_ms for span in spans) or 1
        done_ms, diarized = 0, []
        for span in spans:
            length_ms = span.end_ms - span.start_ms
            block = self._diarize_block(read, span, _subrange(hook, done_ms / total_ms, length_ms / total_ms))
            turns, exclusive = (crop(crop(t, [span]), speech) for t in (block.turns, block.exclusive))
            diarized.append(DiarizedBlock(tuple(turns), tuple(remove_overlaps(exclusive)), block.embeddings))
            done_ms += length_ms
        return merge_blocks(diarized, self.threshold)

    @property
    def threshold(self) -> float:
        """Distance of centroids on the unit sphere below which the pipeline merges two speakers."""
        clustering: dict[str, Any] = self._pipeline.parameters(instantiated=True)["clustering"]
        threshold = float(clustering["threshold"])
        # VBx starts from centroids too. Other linkages compare members by cosine distance; about half of the members'
        # squared distance (twice the cosine distance) is variance within one speaker, which centroids do not have.
        on_sphere = clustering.get("method", "centroid") in ("centroid", "median", "ward")
        return threshold if on_sphere else float(np.sqrt(threshold))

    def _diarize_block(self, read: Callable[[int, int], np.ndarray], span: Span, hook: Hook) -> DiarizedBlock:
        start_ms = max(0, span.start_ms - MARGIN_MS)
        samples = torch.from_numpy(read(start_ms, span.end_ms + MARGIN_MS))  # (n_samples,)
        if not len(samples):
            return DiarizedBlock((), (), {})
        audio = {"waveform": samples[None], "sample_rate": SAMPLE_RATE_HZ, "uri": "block"}
        with warnings.catch_warnings():
            # Upstream averages embeddings even of speakers that are too short to have one.
            warnings.filterwarnings("ignore", "Mean of empty slice|invalid value", RuntimeWarning)
            output: Any = self._pipeline(audio, hook=_pyannote_hook(hook))  # a DiarizeOutput, untyped upstream
        labels = output.speaker_diarization.labels()
        embeddings = (
            dict.fromkeys(labels, np.full(1, np.nan))
            if output.speaker_embeddings is None
            else dict(zip(labels, output.speaker_embeddings, strict=True))  # (num_speakers, dimension)
        )
        return DiarizedBlock(
            _to_turns(output.speaker_diarization, start_ms),
            _to_turns(output.exclusive_speaker_diarization, start_ms),
            embeddings,
        )


def merge_blocks(blocks: Sequence[DiarizedBlock], threshold: float) -> Diarization:
    """Return the turns of all blocks, with speakers linked across blocks."""
    speakers = [
        BlockSpeaker(
            block_index, name, embedding, sum(t.end_ms - t.start_ms for t in block.turns if t.speaker == name) / 1000
        )
        for block_index, block in enumerate(blocks)
        for name, embedding in block.embeddings.items()
    ]
    linked = zip(speakers, link_speakers(speakers, threshold), strict=True)
    names = {(speaker.block, speaker.speaker): f"{index}" for speaker, index in linked}
    turns, exclusive = (
        [
            Turn(turn.start_ms, turn.end_ms, names[block_index, turn.speaker])
            for block_index, block in enumerate(blocks)
            for turn in (block.turns if overlapping else block.exclusive)
        ]
        for overlapping in (True, False)
    )
    labels = labels_by_first_turn([*turns, *exclusive])
    return Diarization(_relabel(turns, labels), _relabel(exclusive, labels))


def load_diarizer(folder: Path, name: str, device: str = "auto") -> Diarizer:
    """Load the diarizer in a folder: the embedded one (`config.json`) or a pyannote pipeline (`config.yaml`).

    `name` identifies it in a transcript's provenance. `device` is `cpu`, `cuda` or `auto`.

    Raises:
        InputRejected: the folder holds no diarizer that can be loaded.
        Misconfigured: another kind of pipeline, or one with models of untrusted owners.
    """
    if (folder / "config.yaml").is_file():
        return Diarizer(load_local_pipeline(folder), name, device)
    if (folder / "config.json").is_file():
        return Diarizer(load_embedded(folder), name, device)
    raise InputRejected(
        "no diarizer: neither config.yaml nor config.json",
        reason=Reason.CORRUPT if folder.is_dir() else Reason.MODEL_NOT_FOUND,
        subject=str(folder),
        next_step="give a copy of a pyannote pipeline with its config.yaml, or embedded",
    )


def _to_turns(annotation: Annotation, start_ms: int) -> tuple[Turn, ...]:
    return tuple(
        Turn(start_ms + max(0, round(segment.start * 1000)), start_ms + round(segment.end * 1000), str(speaker))
        for segment, _, speaker in annotation.itertracks(yield_label=True)
    )


def _relabel(turns: Sequence[Turn], labels: dict[str, str]) -> tuple[Turn, ...]:
    relabelled = (Turn(turn.start_ms, turn.end_ms, labels[turn.speaker]) for turn in turns)
    return tuple(sorted(relabelled, key=lambda turn: (turn.start_ms, turn.end_ms, turn.speaker)))


def _subrange(hook: Hook, begin: float, share: float) -> Hook:
    """Return a hook whose range from 0 to 1 is the range of `hook` from `begin` to `begin + share`."""
    return lambda done: hook(min(1.0, begin + share * done))


def _pyannote_hook(hook: Hook) -> Callable[..., None]:
    """Return a pyannote hook that calls `hook`: segmentation and embeddings take about half of the time each."""
    begins = {"segmentation": 0.0, "embeddings": 0.5}

    def report(step: str, _artefact: object, total: int = 0, completed: int = 0, **_: object) -> None:
        if step in begins and total:
            hook(begins[step] + 0.5 * min(1.0, completed / total))

    return report
