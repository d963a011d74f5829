"""Read a Whisper out of CTranslate2's `model.bin`.

The format is that of `ctranslate2.specs.model_spec.ModelSpec._serialize`, binary version 6: a header, then each
variable with its name, shape and type, then aliases of variables that are equal. Converting the result back gives the
same bytes.
"""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.contract import InputRejected, Reason
from tasks.models.whisper.weights import WhisperWeights

if TYPE_CHECKING:
    import torch
    from torch import Tensor

BINARY_VERSION = 6
_TYPES = ("float32", "int8", "int16", "int32", "float16", "bfloat16")  # by id, as `include/ctranslate2/types.h`
_NORM = {"gamma": "weight", "beta": "bias"}
_FEED_FORWARD = {"linear_0": "fc1", "linear_1": "fc2"}
_FUSED = {
    ("self_attention", 0): ("q_proj", "k_proj", "v_proj"),
    ("self_attention", 1): ("out_proj",),
    ("attention", 0): ("q_proj",),
    ("attention", 1): ("k_proj", "v_proj"),
    ("attention", 2): ("out_proj",),
}
"""The projections that a linear layer of an attention holds, stacked by rows; without encoder output or with it."""


def read_ctranslate2(folder: Path) -> WhisperWeights:
    """Read `model.bin` and `config.json`. Weights of 8 or 16 bits with scales become float16.

    Raises:
        InputRejected: CORRUPT: the file is truncated, of another version, or no Whisper.
    """
    path = folder / "model.bin"
    try:
        variables = dict(_read_variables(path))
        heads = {side: int(variables[f"{side}/num_heads"]) for side in ("encoder", "decoder")}
        tensors = dict(_rename(_dequantise(variables)))
    except (KeyError, ValueError, struct.error, IndexError) as error:
        raise _corrupt(path, f"{type(error).__name__}: {error}") from None
    config = _read_config(folder / "config.json")
    return WhisperWeights(
        tensors=tensors,
        encoder_heads=heads["encoder"],
        decoder_heads=heads["decoder"],
        alignment_heads=tuple((int(layer), int(head)) for layer, head in config.get("alignment_heads") or ()),
        suppressed=tuple(config.get("suppress_ids") or ()),
        suppressed_first=tuple(config.get("suppress_ids_begin") or ()),
    )


def _read_config(path: Path) -> dict[str, Any]:
    """CTranslate2's own settings; converters before 3.0 wrote none."""
    try:
        config: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise _corrupt(path, str(error)) from None
    return config


def _read_variables(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Yield names and tensors, which share the mapped file's memory."""
    import torch

    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)  # torch takes writable memory only
    position = 0

    def take(code: str) -> int:
        nonlocal position
        (value,) = struct.unpack_from(code, mapped, position)
        position += struct.calcsize(code)
        return int(value)

    def take_text() -> str:
        nonlocal position
        n_bytes = take("<H")  # with a final zero
        text = mapped[position : position + n_bytes - 1].decode()
        position += n_bytes
        return text

    if (version := take("<I")) != BINARY_VERSION:
        raise ValueError(f"binary version {version}, not {BINARY_VERSION}")
    if (name := take_text()) != "WhisperSpec":
        raise ValueError(f"a {name}, no Whisper")
    take("<I")  # the specification's revision
    for _ in range(take("<I")):
        name = take_text()
        shape = [take("<I") for _ in range(take("<B"))]
        kind: torch.dtype = getattr(torch, _TYPES[take("<B")])
        n_bytes = take("<I")
        if position + n_bytes > len(mapped):
            raise ValueError(f"ends within {name}: truncated")
        yield name, torch.frombuffer(mapped, dtype=kind, count=n_bytes // kind.itemsize, offset=position).reshape(shape)
        position += n_bytes


def _dequantise(variables: dict[str, Tensor]) -> dict[str, Tensor]:
    """Divide quantised weights by their scales (one for each row, or one for all)."""
    import torch

    whole = {}
    for name, value in variables.items():
        if name.endswith("_scale"):
            continue
        if (scale := variables.get(f"{name}_scale")) is not None:
            value = (value.float() / scale.float().reshape(-1, *[1] * (value.dim() - 1))).to(torch.float16)
        whole[name] = value
    return whole


def _rename(variables: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors by transformers' names."""
    for name, value in variables.items():
        side, *path, attribute = name.split("/")
        if not value.dim() or name == "decoder/projection/weight":
            continue  # settings, and the output layer, which equals the embeddings
        match path:
            case ["embeddings"]:
                yield f"model.{side}.embed_tokens.weight", value
            case ["position_encodings"]:
                yield f"model.{side}.embed_positions.weight", value
            case ["conv1" | "conv2" as layer]:
                yield f"model.{side}.{layer}.{attribute}", value
            case ["layer_norm"]:
                yield f"model.{side}.layer_norm.{_NORM[attribute]}", value
            case [layer, "ffn", "layer_norm"]:
                yield f"{_layer(side, layer)}.final_layer_norm.{_NORM[attribute]}", value
            case [layer, "ffn", linear]:
                yield f"{_layer(side, layer)}.{_FEED_FORWARD[linear]}.{attribute}", value
            case [layer, attention, "layer_norm"]:
                yield f"{_layer(side, layer)}.{_attention(attention)}_layer_norm.{_NORM[attribute]}", value
            case [layer, attention, linear]:
                projections = _FUSED[attention, int(linear.removeprefix("linear_"))]
                for projection, part in zip(projections, value.chunk(len(projections)), strict=True):
                    if (projection, attribute) != ("k_proj", "bias"):  # keys have no bias: here it is zeros
                        yield f"{_layer(side, layer)}.{_attention(attention)}.{projection}.{attribute}", part
            case _:
                raise ValueError(f"unknown variable {name}")


def _layer(side: str, layer: str) -> str:
    return f"model.{side}.layers.{int(layer.removeprefix('layer_'))}"


def _attention(name: str) -> str:
    return {"self_attention": "self_attn", "attention": "encoder_attn"}[name]


def _corrupt(path: Path, message: str) -> InputRejected:
    return InputRejected(
        f"no Whisper of CTranslate2's that can be read: {message}",
        reason=Reason.CORRUPT,
        subject=str(path),
        next_step="download it again, or convert it with ct2-transformers-converter of CTranslate2 4",
    )
