"""A loaded diarizer: the turns of a whole programme, however long it is."""

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
from tasks.diarization.blocks import Voice, blocks, by_first_speech, one_at_a_time, same_speakers, within
from tasks.diarization.embedded import load_embedded
from tasks.diarization.mirrored import load_mirrored
from tasks.transcripts.spans import Span, Turn

# Speakers are told apart over so much at once; then the blocks' speakers are brought together. Clustering takes memory
# with the square of the length: 20 minutes keep it below what the networks' batches need.
BLOCK_MS = 20 * 60 * 1000
MARGIN_MS = 500  # heard before and after the speech of a block
# Windows in one pass, upstream's default is 1: segmentation, embedding. On a core more only leave its cache.
BATCHES = {"cpu": (8, 24), "cuda": (64, 96)}

Hook = Callable[[float], None]
"""Called with the share of the programme that is done, from 0 to 1."""


@dataclass(frozen=True)
class Diarization:
    """Who speaks when, in order; speakers are called S1, S2, … in the order in which they first speak."""

    turns: tuple[Turn, ...] = ()
    """As heard: several may speak at once."""
    exclusive: tuple[Turn, ...] = ()
    """One speaker at a time, for words."""

    @property
    def speakers(self) -> tuple[str, ...]:
        return tuple(sorted({turn.speaker for turn in self.turns}, key=lambda name: int(name[1:])))


@dataclass(frozen=True)
class Block:
    """A block of a programme as the pipeline answers, its times in the programme's milliseconds."""

    turns: tuple[Turn, ...]
    exclusive: tuple[Turn, ...]
    embeddings: dict[str, np.ndarray]


class Diarizer:
    """A pyannote pipeline, set up for programmes of any length."""

    def __init__(self, pipeline: SpeakerDiarization, name: str, device: str = "auto") -> None:
        """`name` says in a transcript's provenance what the pipeline is."""
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.name, self._pipeline = name, pipeline
        pipeline.legacy = False  # older configurations ask for less than is needed here
        pipeline.segmentation_batch_size, pipeline.embedding_batch_size = BATCHES[device]
        pipeline.to(torch.device(device))

    def diarize(
        self,
        read: Callable[[int, int], np.ndarray],
        speech: Sequence[Span],
        hook: Hook = lambda _share: None,
        longest_ms: int = BLOCK_MS,
    ) -> Diarization:
        """The turns of a programme.

        `read(start_ms, end_ms)` gives its samples, `(n_samples,)` float32 at 16 kHz; fewer at its end. `speech` says
        where somebody may be speaking, in order, without overlap: nobody speaks elsewhere.
        """
        spans = blocks(speech, longest_ms)
        total_ms = sum(span.end_ms - span.start_ms for span in spans) or 1
        done_ms, found = 0, []
        for span in spans:
            length_ms = span.end_ms - span.start_ms
            heard = self._hear(read, span, _part(hook, done_ms / total_ms, length_ms / total_ms))
            turns, exclusive = (within(within(t, [span]), speech) for t in (heard.turns, heard.exclusive))
            found.append(Block(tuple(turns), tuple(one_at_a_time(exclusive)), heard.embeddings))
            done_ms += length_ms
        return joined(found, self.threshold)

    @property
    def threshold(self) -> float:
        """Distance on the unit sphere below which the pipeline takes two voices for one."""
        clustering: dict[str, Any] = self._pipeline.parameters(instantiated=True)["clustering"]
        threshold = float(clustering["threshold"])
        # VBx begins with centroids too. Other linkages compare members by cosine; about half of the squared distance of
        # members (twice the cosine's) is what one speaker's differ by among themselves, and centroids do not have it.
        on_sphere = clustering.get("method", "centroid") in ("centroid", "median", "ward")
        return threshold if on_sphere else float(np.sqrt(threshold))

    def _hear(self, read: Callable[[int, int], np.ndarray], span: Span, hook: Hook) -> Block:
        start_ms = max(0, span.start_ms - MARGIN_MS)
        samples = torch.from_numpy(read(start_ms, span.end_ms + MARGIN_MS))
        if not len(samples):
            return Block((), (), {})
        audio = {"waveform": samples[None], "sample_rate": SAMPLE_RATE_HZ, "uri": "block"}
        with warnings.catch_warnings():
            # Upstream averages embeddings also where nobody talked long enough for one.
            warnings.filterwarnings("ignore", "Mean of empty slice|invalid value", RuntimeWarning)
            answer: Any = self._pipeline(audio, hook=_steps(hook))  # a DiarizeOutput; upstream says less
        labels = answer.speaker_diarization.labels()
        embeddings = (
            dict.fromkeys(labels, np.full(1, np.nan))
            if answer.speaker_embeddings is None
            else dict(zip(labels, answer.speaker_embeddings, strict=True))
        )
        return Block(
            _turns(answer.speaker_diarization, start_ms),
            _turns(answer.exclusive_speaker_diarization, start_ms),
            embeddings,
        )


def joined(found: Sequence[Block], threshold: float) -> Diarization:
    """The blocks' turns with one set of speakers."""
    voices = [
        Voice(number, name, embedding, sum(t.end_ms - t.start_ms for t in block.turns if t.speaker == name) / 1000)
        for number, block in enumerate(found)
        for name, embedding in block.embeddings.items()
    ]
    known = zip(voices, same_speakers(voices, threshold), strict=True)
    people = {(voice.block, voice.speaker): f"{number}" for voice, number in known}
    turns, exclusive = (
        [
            Turn(turn.start_ms, turn.end_ms, people[number, turn.speaker])
            for number, block in enumerate(found)
            for turn in (block.turns if overlapping else block.exclusive)
        ]
        for overlapping in (True, False)
    )
    names = by_first_speech([*turns, *exclusive])
    return Diarization(_renamed(turns, names), _renamed(exclusive, names))


def load_diarizer(folder: Path, name: str, device: str = "auto") -> Diarizer:
    """The diarizer in a folder: ours (`config.json`) or a mirrored pipeline of pyannote's (`config.yaml`).

    `name` is what a transcript's provenance calls it. `device` is `cpu`, `cuda` or `auto`.

    Raises:
        InputRejected: the folder holds no diarizer that can be loaded.
        Misconfigured: a pipeline of another kind, or one that asks for models elsewhere.
    """
    if (folder / "config.yaml").is_file():
        return Diarizer(load_mirrored(folder), name, device)
    if (folder / "config.json").is_file():
        return Diarizer(load_embedded(folder), name, device)
    raise InputRejected(
        "no diarizer: neither config.yaml nor config.json",
        reason=Reason.CORRUPT if folder.is_dir() else Reason.MODEL_NOT_FOUND,
        subject=str(folder),
        next_step="give a copy of a pyannote pipeline with its config.yaml, or embedded",
    )


def _turns(annotation: Annotation, start_ms: int) -> tuple[Turn, ...]:
    return tuple(
        Turn(start_ms + max(0, round(segment.start * 1000)), start_ms + round(segment.end * 1000), str(speaker))
        for segment, _, speaker in annotation.itertracks(yield_label=True)
    )


def _renamed(turns: Sequence[Turn], names: dict[str, str]) -> tuple[Turn, ...]:
    renamed = (Turn(turn.start_ms, turn.end_ms, names[turn.speaker]) for turn in turns)
    return tuple(sorted(renamed, key=lambda turn: (turn.start_ms, turn.end_ms, turn.speaker)))


def _part(hook: Hook, begin: float, share: float) -> Hook:
    return lambda done: hook(min(1.0, begin + share * done))


def _steps(hook: Hook) -> Callable[..., None]:
    """Upstream's hook: segmentation and embeddings take about half of the time each."""
    begins = {"segmentation": 0.0, "embeddings": 0.5}

    def tell(step: str, _artefact: object, total: int = 0, completed: int = 0, **_: object) -> None:
        if step in begins and total:
            hook(begins[step] + 0.5 * min(1.0, completed / total))

    return tell
