"""Writes a Whisper in the format of whisper.cpp, with weights of 8 bits (Q8_0).

The format is that of upstream's `models/convert-h5-to-ggml.py`: numbers in the machine's order, tensors by OpenAI's
names with their dimensions reversed.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from tasks.models.whisper.ctranslate2_file import read_ctranslate2

if TYPE_CHECKING:
    from tasks.models.whisper.weights import WhisperWeights

MAGIC = 0x67676D6C
FLOAT32, FLOAT16, Q8_0 = 0, 1, 8  # `enum ggml_type`
MOSTLY_Q8_0 = 2 * 1000 + 7  # version of the quantisation and `enum ggml_ftype`
BLOCK = 32  # weights that share a scale
N_FFT = 400
FULL_PRECISION = re.compile(r"positional_embedding|conv[12]\.bias")
RENAMED = (
    (r"^model\.", ""),
    (r"\.layers\.", ".blocks."),
    (r"\.self_attn_layer_norm\.", ".attn_ln."),
    (r"\.encoder_attn_layer_norm\.", ".cross_attn_ln."),
    (r"\.final_layer_norm\.", ".mlp_ln."),
    (r"^encoder\.layer_norm\.", "encoder.ln_post."),
    (r"^decoder\.layer_norm\.", "decoder.ln."),
    (r"\.self_attn\.", ".attn."),
    (r"\.encoder_attn\.", ".cross_attn."),
    (r"\.q_proj\.", ".query."),
    (r"\.k_proj\.", ".key."),
    (r"\.v_proj\.", ".value."),
    (r"\.out_proj\.", ".out."),
    (r"\.fc1\.", ".mlp.0."),
    (r"\.fc2\.", ".mlp.2."),
    (r"\.embed_positions\.weight$", ".positional_embedding"),
    (r"\.embed_tokens\.", ".token_embedding."),
)


def write_ggml(model: Path, target: Path) -> None:
    """Write the Whisper of a folder in CTranslate2's format to a file."""
    weights = read_ctranslate2(model)
    with target.open("wb") as sink:
        _write_header(weights, sink)
        _write_mel_filters(weights.n_mels, sink)
        _write_tokens(model, weights, sink)
        for name, tensor in weights.tensors.items():
            _write_tensor(openai_name(name), tensor.float().numpy(), sink)


def openai_name(name: str) -> str:
    """`model.decoder.layers.0.encoder_attn.q_proj.weight` -> `decoder.blocks.0.cross_attn.query.weight`."""
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def _write_header(weights: WhisperWeights, sink: BinaryIO) -> None:
    config = weights.configuration()
    sides = (
        (config["max_source_positions"], config["encoder_attention_heads"], config["encoder_layers"]),
        (config["max_target_positions"], config["decoder_attention_heads"], config["decoder_layers"]),
    )
    fields = [MAGIC, weights.n_tokens]
    for n_positions, n_heads, n_layers in sides:
        fields += [n_positions, config["d_model"], n_heads, n_layers]
    sink.write(struct.pack("12i", *fields, weights.n_mels, MOSTLY_Q8_0))


def _write_mel_filters(n_mels: int, sink: BinaryIO) -> None:
    from faster_whisper.feature_extractor import FeatureExtractor

    filters = FeatureExtractor.get_mel_filters(16_000, N_FFT, n_mels).astype(np.float32)  # (n_mels, n_fft / 2 + 1)
    sink.write(struct.pack("2i", *filters.shape) + filters.tobytes())


def _write_tokens(model: Path, weights: WhisperWeights, sink: BinaryIO) -> None:
    tokens = list(text_tokens(model, 50_257 if weights.is_multilingual else 50_256))
    sink.write(struct.pack("i", len(tokens)))
    for token in tokens:
        sink.write(struct.pack("i", len(token)) + token)


def text_tokens(model: Path, n_tokens: int) -> Iterator[bytes]:
    """The bytes of each token before the special ones, which whisper.cpp knows."""
    from tokenizers import Tokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    byte_of = {letter: byte for byte, letter in bytes_to_unicode().items()}
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    for index in range(n_tokens):
        token = tokenizer.id_to_token(index) or ""
        yield bytes(byte_of[letter] for letter in token if letter in byte_of)


def _write_tensor(name: str, tensor: np.ndarray, sink: BinaryIO) -> None:
    if name.endswith(("conv1.bias", "conv2.bias")):
        tensor = tensor[:, None]  # (n_channels, 1)
    if tensor.ndim < 2 or FULL_PRECISION.search(name):
        kind, data = FLOAT32, tensor.astype(np.float32).tobytes()
    elif tensor.ndim == 2:
        kind, data = Q8_0, quantise(tensor)
    else:
        kind, data = FLOAT16, tensor.astype(np.float16).tobytes()
    encoded = name.encode()
    sink.write(struct.pack(f"3i{tensor.ndim}i", tensor.ndim, len(encoded), kind, *reversed(tensor.shape)))
    sink.write(encoded + data)


def quantise(tensor: np.ndarray) -> bytes:
    """Q8_0: for every 32 weights of a row a scale of 16 bits, then the weights in 8 bits each."""
    blocks = tensor.reshape(-1, BLOCK)  # (n_blocks, 32)
    scales = np.abs(blocks).max(axis=1, keepdims=True) / 127
    inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales > 0)
    packed = np.empty(len(blocks), dtype=[("scale", "<f2"), ("weights", "i1", BLOCK)])
    packed["scale"], packed["weights"] = scales[:, 0], np.rint(blocks * inverse)
    return packed.tobytes()
