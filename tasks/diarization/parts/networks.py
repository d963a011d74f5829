"""The networks that `config.yaml` names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from pyannote.audio import Model
from pyannote.audio.models.segmentation import PyanNet

from tasks.diarization.networks import powerset_specifications
from tasks.diarization.parts.campplus import CAMPPlus
from tasks.diarization.parts.config import EmbeddingKind, EmbeddingPart, SegmentationKind, SegmentationPart
from tasks.diarization.parts.embedding import MaskedEmbedding, Network

WINDOW_S = 10.0  # of segmentation-3.0
MAX_SPEAKERS, MAX_SIMULTANEOUS = 3, 2  # its powerset has 7 classes


def load_segmentation(folder: Path, part: SegmentationPart) -> Model | dict[str, str]:
    """Return the segmentation network, or where pyannote's pipeline finds it.

    Raises FileNotFoundError, or whatever PyTorch raises on an invalid file.
    """
    if part.kind is SegmentationKind.PYANNOTE:
        return _pyannote_folder(folder, part.path)
    weights = _tensors(folder / part.path)
    n_layers = len([name for name in weights if re.fullmatch(r"lstm\.weight_ih_l\d+", name)])
    n_linear = len([name for name in weights if re.fullmatch(r"linear\.\d+\.weight", name)])
    network = PyanNet(
        lstm={"hidden_size": weights["lstm.weight_hh_l0"].shape[1], "num_layers": n_layers},
        linear={"hidden_size": weights["classifier.weight"].shape[1], "num_layers": n_linear},
    )
    network.specifications = powerset_specifications(WINDOW_S, MAX_SPEAKERS, MAX_SIMULTANEOUS)
    network.build()
    network.load_state_dict(weights)
    return network.eval()


def load_embedding(folder: Path, part: EmbeddingPart) -> Model | dict[str, str]:
    """Return the embedding network, or where pyannote's pipeline finds it.

    Raises FileNotFoundError, or whatever PyTorch and ONNX Runtime raise on an invalid file.
    """
    path = folder / part.path
    match part.kind:
        case EmbeddingKind.PYANNOTE:
            return _pyannote_folder(folder, part.path)
        case EmbeddingKind.CAMPPLUS:
            network = CAMPPlus()
            network.load_state_dict(_tensors(path))
            return MaskedEmbedding(network.eval()).eval()
        case EmbeddingKind.TORCHSCRIPT:
            return MaskedEmbedding(torch.jit.load(path, map_location="cpu"), part.input).eval()
        case EmbeddingKind.ONNX:
            return MaskedEmbedding(onnx_network(path), part.input).eval()


def onnx_network(path: Path) -> Network:
    """A network that ONNX Runtime runs, on the CPU, in one thread: others share its cores."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda batch: torch.from_numpy(session.run(None, {name: batch.numpy(force=True)})[0]).to(batch.device)


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    """The state dictionary of a file, bare or under `state_dict`. Nothing but tensors is unpickled."""
    loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return loaded.get("state_dict", loaded)


def _pyannote_folder(folder: Path, path: str) -> dict[str, str]:
    if not (folder / path / "pytorch_model.bin").is_file():
        raise FileNotFoundError(2, "no such file", f"{path}/pytorch_model.bin")
    return {"checkpoint": str(folder), "subfolder": path}
