from __future__ import annotations

import pytest
import torch

from tasks.audio import SAMPLE_RATE_HZ
from tasks.diarization.networks import (
    FRAME_SAMPLES,
    LOCAL_FRAMES,
    N_WINDOW_FRAMES,
    WINDOW_S,
    EmbeddingNetwork,
    SegmentationNetwork,
)

N_WINDOW = int(WINDOW_S * SAMPLE_RATE_HZ)


@pytest.fixture(scope="module")
def networks() -> tuple[EmbeddingNetwork, SegmentationNetwork]:
    torch.manual_seed(5)
    embedding = EmbeddingNetwork(channels=8, dimension=6).eval()
    return embedding, SegmentationNetwork(embedding=embedding, hidden=8, layers=1).eval()


@pytest.fixture(scope="module")
def waveforms() -> torch.Tensor:
    torch.manual_seed(6)
    return 0.1 * torch.randn(3, 1, N_WINDOW)


@torch.inference_mode()
def test_segmentation_has_a_distribution_for_every_frame(
    networks: tuple[EmbeddingNetwork, SegmentationNetwork], waveforms: torch.Tensor
) -> None:
    found = networks[1](waveforms)
    assert found.shape == (3, N_WINDOW_FRAMES, 7)
    assert torch.allclose(found.exp().sum(-1), torch.ones(3, N_WINDOW_FRAMES), atol=1e-5)
    frames = networks[1].receptive_field
    assert (frames.start, frames.duration, frames.step) == (0.0, FRAME_SAMPLES / 16_000, FRAME_SAMPLES / 16_000)
    assert networks[1].num_frames(N_WINDOW) == N_WINDOW_FRAMES


@torch.inference_mode()
def test_speakers_of_one_window_share_its_frames_and_nothing_else(
    networks: tuple[EmbeddingNetwork, SegmentationNetwork], waveforms: torch.Tensor
) -> None:
    """The pipeline asks for three speakers of each window in turn; one by one gives the same."""
    embedding, _ = networks
    torch.manual_seed(7)
    repeated = waveforms.repeat_interleave(3, dim=0)
    weights = (torch.rand(9, N_WINDOW_FRAMES) > 0.5).float()
    together = embedding(repeated, weights)
    alone = torch.cat([embedding(repeated[n : n + 1], weights[n : n + 1]) for n in range(9)])
    assert torch.allclose(together, alone, atol=1e-5)
    passes = []
    handle = embedding.first.register_forward_pre_hook(lambda _network, inputs: passes.append(len(inputs[0])))
    embedding(repeated, weights)
    handle.remove()
    assert passes == [3]


@torch.inference_mode()
def test_level_has_no_effect(networks: tuple[EmbeddingNetwork, SegmentationNetwork], waveforms: torch.Tensor) -> None:
    for network in networks:
        assert torch.allclose(network(waveforms), network(0.25 * waveforms), atol=2e-2)


@torch.inference_mode()
def test_frames_outside_the_weights_have_no_effect(
    networks: tuple[EmbeddingNetwork, SegmentationNetwork], waveforms: torch.Tensor
) -> None:
    """Apart from the few frames that are in the receptive field of those within the weights."""
    embedding, _ = networks
    mels = embedding.spectrum(waveforms[:1, 0])
    other = torch.cat([mels[..., :250], torch.randn(1, mels.shape[1], 250)], dim=-1)
    weights = torch.zeros(1, 500)
    weights[:, :230] = 1
    first, second = (embedding.pool(embedding.frames_of_mels(m), weights=weights) for m in (mels, other))
    assert torch.allclose(first, second, atol=1e-5)


@torch.inference_mode()
def test_a_local_embedding_is_that_of_its_second(
    networks: tuple[EmbeddingNetwork, SegmentationNetwork], waveforms: torch.Tensor
) -> None:
    embedding, _ = networks
    frames = embedding.frames(waveforms[:1, 0])
    local = embedding.local_embeddings(frames)
    assert local.shape == (1, 6, N_WINDOW_FRAMES)
    middle = 100
    second = frames[..., 2 * middle - LOCAL_FRAMES // 2 : 2 * middle + LOCAL_FRAMES // 2 + 1]
    mean, deviation = second.mean(-1), second.std(-1, correction=0)
    expected = embedding.projection(torch.cat([mean, deviation], dim=-1))
    assert torch.allclose(local[..., middle], torch.nn.functional.normalize(expected), atol=5e-3)


def test_too_short_for_an_embedding(networks: tuple[EmbeddingNetwork, SegmentationNetwork]) -> None:
    with pytest.raises(ValueError, match="too short"):
        networks[0](torch.zeros(1, 1, 4_000))


def test_weights_are_saved_once(networks: tuple[EmbeddingNetwork, SegmentationNetwork]) -> None:
    assert not any("embedding" in name for name in networks[1].state_dict())
