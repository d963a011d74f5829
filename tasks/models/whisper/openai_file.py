"""Read a Whisper out of a checkpoint of OpenAI's package (`large-v3.pt`), without running what a pickle may contain."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import is_zipfile

from tasks.contract import InputRejected, Reason
from tasks.models.whisper.weights import WhisperWeights

if TYPE_CHECKING:
    from torch import Tensor

# In this order: `cross_attn_ln` contains `attn_ln`.
_NAMES = (
    (r"\bblocks\b", "layers"),
    (r"\bmlp\.0\b", "fc1"),
    (r"\bmlp\.2\b", "fc2"),
    (r"\bmlp_ln\b", "final_layer_norm"),
    (r"\bcross_attn\b", "encoder_attn"),
    (r"\bcross_attn_ln\b", "encoder_attn_layer_norm"),
    (r"\battn\b", "self_attn"),
    (r"\battn_ln\b", "self_attn_layer_norm"),
    (r"\bquery\b", "q_proj"),
    (r"\bkey\b", "k_proj"),
    (r"\bvalue\b", "v_proj"),
    (r"\bout\b", "out_proj"),
    (r"\btoken_embedding\b", "embed_tokens"),
    (r"\bpositional_embedding$", "embed_positions.weight"),
    (r"^(encoder\.ln_post|encoder\.ln)\b", "encoder.layer_norm"),
    (r"^decoder\.ln\b", "decoder.layer_norm"),
)
"""Names of modules in `whisper/model.py`, and transformers' names for them."""


def read_openai(path: Path) -> WhisperWeights:
    """Read a checkpoint: `{"dims": …, "model_state_dict": …}`.

    Raises:
        InputRejected: CORRUPT: no such checkpoint, or one that cannot be loaded as data alone.
    """
    import torch

    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))
        dims, state = checkpoint["dims"], checkpoint["model_state_dict"]
        heads = int(dims["n_audio_head"]), int(dims["n_text_head"])
    except Exception as error:  # torch raises what its readers raise: RuntimeError, UnpicklingError, KeyError, …
        raise InputRejected(
            f"no checkpoint of OpenAI's Whisper that loads as data alone: {str(error).splitlines()[0][:200]}",
            reason=Reason.CORRUPT,
            subject=str(path),
            next_step="download it again from OpenAI; a checkpoint of another program is to be saved as safetensors",
        ) from None
    tensors: dict[str, Tensor] = {}
    for name, tensor in state.items():
        for pattern, replacement in _NAMES:
            name = re.sub(pattern, replacement, name)
        tensors[f"model.{name}"] = tensor
    return WhisperWeights(tensors, *heads)
