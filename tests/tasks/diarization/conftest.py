"""Small diarizers as folders, and a synthetic talk whose turns are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import settings

from tasks.audio import SAMPLE_RATE_HZ
from tasks.transcripts.spans import Span, Turn

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")


@dataclass(frozen=True)
class Talk:
    """`(n_samples,)` float32, and who speaks when."""

    samples: np.ndarray
    turns: tuple[Turn, ...]

    @property
    def speech(self) -> list[Span]:
        return [Span(turn.start_ms, turn.end_ms) for turn in self.turns]

    def read(self, start_ms: int, end_ms: int) -> np.ndarray:
        return self.samples[start_ms * 16 : end_ms * 16]


@pytest.fixture(scope="session")
def talk() -> Talk:
    """A minute of two voices that no weights of ours have heard, by turns, with pauses."""
    import soxr

    from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, Voice, speak

    voices = {"anchor": Voice("en-us", "Michael", 45), "guest": Voice("en-us", "linda", 55)}
    lines = (
        "Good evening. Here is the news of the day, and a guest is with us.",
        "Thank you. It is good to be here, and I have brought the figures of the last year.",
        "Then let us begin with the bridge. Why did the council vote against it yesterday?",
        "Because it would have cost more than the harbour earns in ten years, they say.",
        "And what do the fishermen think of it? They have waited for a long time.",
        "They are divided. The younger ones want it, the older ones would rather keep the ferry.",
    )
    pieces, turns, at_ms = [np.zeros(8_000, np.float32)], [], 500
    for number, line in enumerate(lines):
        name = ("anchor", "guest")[number % 2]
        spoken = soxr.resample(speak(line, voices[name]), ESPEAK_RATE_HZ, SAMPLE_RATE_HZ)
        spoken = (0.1 / np.sqrt(np.mean(spoken**2)) * spoken)[: len(spoken) // 16 * 16]
        turns.append(Turn(at_ms, at_ms + len(spoken) // 16, name))
        pieces += [spoken, np.zeros(6_400, np.float32)]
        at_ms += len(spoken) // 16 + 400
    noise = np.random.default_rng(1).standard_normal(sum(map(len, pieces))) * 1e-3
    return Talk((np.concatenate(pieces) + noise).astype(np.float32), tuple(turns))


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An embedded diarizer that has learned nothing."""
    import torch

    from tasks.diarization.embedded import EmbeddedConfig, make_embedding, make_segmentation, save_embedded

    folder = tmp_path_factory.mktemp("random-weights")
    torch.manual_seed(3)
    config = EmbeddedConfig(channels=8, dimension=6, hidden=8, layers=1)
    embedding = make_embedding(config)
    save_embedded(embedding, make_segmentation(embedding, config), config, folder)
    return folder


@pytest.fixture(scope="session")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pyannote pipeline in upstream's layout: small networks of upstream's own, random weights, VBx and its PLDA."""
    import torch
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.embedding import XVectorSincNet
    from pyannote.audio.models.segmentation import PyanNet

    folder = tmp_path_factory.mktemp("mirror")
    torch.manual_seed(3)
    segmentation = PyanNet(sincnet={"stride": 10}, lstm={"hidden_size": 8, "num_layers": 1}, linear={"num_layers": 0})
    segmentation.specifications = Specifications(
        problem=Problem.MONO_LABEL_CLASSIFICATION,
        resolution=Resolution.FRAME,
        duration=5.0,
        classes=["1", "2", "3"],
        powerset_max_classes=2,
        permutation_invariant=True,
    )
    segmentation.build()
    embedding = XVectorSincNet(dimension=24)
    embedding.specifications = Specifications(problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=5.0)
    save_checkpoint(segmentation, folder / "segmentation")
    save_checkpoint(embedding, folder / "embedding")
    save_plda(folder / "plda", 24)
    parameters = {"segmentation": "$model/segmentation", "embedding": "$model/embedding", "plda": "$model/plda"}
    config = {
        "pipeline": {
            "name": "pyannote.audio.pipelines.SpeakerDiarization",
            "params": parameters | {"clustering": "VBxClustering", "segmentation_step": 0.5},
        },
        "params": {
            "segmentation": {"min_duration_off": 0.0},
            "clustering": {"threshold": 0.6, "Fa": 0.07, "Fb": 0.8},
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def save_checkpoint(network: Any, folder: Path) -> None:
    """As Lightning saves pyannote's models."""
    import torch

    folder.mkdir()
    checkpoint = {
        "state_dict": network.state_dict(),
        "hyper_parameters": dict(network.hparams),
        "pytorch-lightning_version": "2.5.0",
    }
    network.on_save_checkpoint(checkpoint)
    torch.save(checkpoint, folder / "pytorch_model.bin")


def save_plda(folder: Path, dimension: int) -> None:
    """The two files of VBx's PLDA that change nothing."""
    folder.mkdir()
    identity = np.eye(dimension)
    np.savez(
        folder / "xvec_transform.npz",
        mean1=np.zeros(dimension),
        mean2=np.zeros(dimension),
        lda=identity,
    )
    np.savez(folder / "plda.npz", mu=np.zeros(dimension), tr=identity, psi=np.ones(dimension))
