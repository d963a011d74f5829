"""CAM++, the speaker embedding network of 3D-Speaker, for the weights that its authors publish.

A densely connected TDNN whose layers are masked by context, behind a small two-dimensional ResNet: H. Wang et al.,
"CAM++: A Fast and Efficient Network for Speaker Verification Using Context-Aware Masking", Interspeech 2023, with the
sizes of `speech_campplus_sv_zh_en_16k-common_advanced`. Modules are named as in the published state dictionary.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn

N_MELS = 80
DIMENSION = 192
GROWTH = 32  # channels that each layer of a dense block adds
BOTTLENECK = 4 * GROWTH
FRONT_CHANNELS = 32  # of the ResNet
FIRST_CHANNELS = 128  # of the TDNN
BLOCKS = ((12, 1), (24, 2), (16, 2))  # layers and dilation of each dense block
POOLED_FRAMES = 100  # frames of a mask's local context
MIN_FRAMES = 8  # fewer have no deviation after the strides


class CAMPPlus(nn.Module):
    """Features to embeddings, compared by cosine."""

    def __init__(self) -> None:
        super().__init__()
        self.head = FrontEnd()
        channels = FIRST_CHANNELS
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["tdnn"] = TDNN(FRONT_CHANNELS * N_MELS // 8, channels)
        for number, (n_layers, dilation) in enumerate(BLOCKS, start=1):
            layers[f"block{number}"] = DenseBlock(n_layers, channels, dilation)
            channels += n_layers * GROWTH
            layers[f"transit{number}"] = Transition(channels, channels // 2)
            channels //= 2
        layers["out_nonlinear"] = norm_relu(channels)
        layers["stats"] = Statistics()
        layers["dense"] = Projection(2 * channels, DIMENSION)
        self.xvector = nn.Sequential(layers)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Embeddings `(batch, DIMENSION)` of log-mels `(batch, n_frames, N_MELS)`, each with zero mean over time."""
        return self.xvector(self.head(features.transpose(1, 2)))


class FrontEnd(nn.Module):
    """A ResNet over time and frequency: `(batch, N_MELS, n_frames)` to `(batch, channels * N_MELS / 8, n_frames)`."""

    def __init__(self) -> None:
        super().__init__()
        channels = FRONT_CHANNELS
        self.conv1 = nn.Conv2d(1, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.layer1 = nn.Sequential(ResidualBlock(channels, 2), ResidualBlock(channels, 1))
        self.layer2 = nn.Sequential(ResidualBlock(channels, 2), ResidualBlock(channels, 1))
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=(2, 1), padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, mels: torch.Tensor) -> torch.Tensor:
        image = torch.relu(self.bn1(self.conv1(mels[:, None])))  # (batch, channels, N_MELS, n_frames)
        image = self.layer2(self.layer1(image))  # (batch, channels, N_MELS / 4, n_frames)
        return torch.relu(self.bn2(self.conv2(image))).flatten(1, 2)


class ResidualBlock(nn.Module):
    """Two convolutions with a shortcut; `stride` divides the frequencies."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, stride=(stride, 1), padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride > 1:
            shorter = nn.Conv2d(channels, channels, 1, stride=(stride, 1), bias=False)
            self.shortcut = nn.Sequential(shorter, nn.BatchNorm2d(channels))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        inner = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(image)))))
        return torch.relu(inner + self.shortcut(image))


def norm_relu(channels: int) -> nn.Sequential:
    return nn.Sequential(OrderedDict(batchnorm=nn.BatchNorm1d(channels), relu=nn.ReLU()))


class TDNN(nn.Module):
    """The first convolution over time; it halves the frame rate."""

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(n_inputs, n_outputs, 5, stride=2, padding=2, bias=False)
        self.nonlinear = norm_relu(n_outputs)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return self.nonlinear(self.linear(frames))


class DenseBlock(nn.ModuleDict):
    """Layers that each add `GROWTH` channels to all channels before them."""

    def __init__(self, n_layers: int, channels: int, dilation: int) -> None:
        super().__init__({f"tdnnd{n + 1}": DenseLayer(channels + n * GROWTH, dilation) for n in range(n_layers)})

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        for layer in self.values():
            frames = torch.cat([frames, layer(frames)], dim=1)
        return frames  # (batch, channels + n_layers * GROWTH, n_frames)


class DenseLayer(nn.Module):
    """`(batch, channels, n_frames)` to `(batch, GROWTH, n_frames)`."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.nonlinear1 = norm_relu(channels)
        self.linear1 = nn.Conv1d(channels, BOTTLENECK, 1, bias=False)
        self.nonlinear2 = norm_relu(BOTTLENECK)
        self.cam_layer = ContextMask(dilation)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return self.cam_layer(self.nonlinear2(self.linear1(self.nonlinear1(frames))))


class ContextMask(nn.Module):
    """A convolution whose outputs are masked by the mean of the utterance and of the second around them."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.linear_local = nn.Conv1d(BOTTLENECK, GROWTH, 3, padding=dilation, dilation=dilation, bias=False)
        self.linear1 = nn.Conv1d(BOTTLENECK, BOTTLENECK // 2, 1)
        self.linear2 = nn.Conv1d(BOTTLENECK // 2, GROWTH, 1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        n_frames = frames.shape[-1]
        local = nn.functional.avg_pool1d(frames, POOLED_FRAMES, POOLED_FRAMES, ceil_mode=True)
        # (batch, BOTTLENECK, n_frames / POOLED_FRAMES): the mask is the same for all frames of a piece
        mask = torch.sigmoid(self.linear2(torch.relu(self.linear1(frames.mean(dim=-1, keepdim=True) + local))))
        return self.linear_local(frames) * mask.repeat_interleave(POOLED_FRAMES, dim=-1)[..., :n_frames]


class Transition(nn.Module):
    """Reduces the channels between two blocks."""

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.nonlinear = norm_relu(n_inputs)
        self.linear = nn.Conv1d(n_inputs, n_outputs, 1, bias=False)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return self.linear(self.nonlinear(frames))


class Statistics(nn.Module):
    """Mean and deviation over time: `(batch, channels, n_frames)` to `(batch, 2 * channels)`."""

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return torch.cat([frames.mean(dim=-1), frames.std(dim=-1)], dim=-1)


class Projection(nn.Module):
    """Statistics to embeddings."""

    def __init__(self, n_inputs: int, dimension: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(n_inputs, dimension, 1, bias=False)
        self.nonlinear = nn.Sequential(OrderedDict(batchnorm=nn.BatchNorm1d(dimension, affine=False)))

    def forward(self, statistics: torch.Tensor) -> torch.Tensor:
        return self.nonlinear(self.linear(statistics[..., None])[..., 0])
