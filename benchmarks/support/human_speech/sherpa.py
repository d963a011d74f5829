"""Writes a Whisper in the format of sherpa-onnx, with weights of 8 bits. Needs `onnx` and onnxruntime.

The format is that of upstream's `scripts/whisper/export-onnx.py`: an encoder, which also projects the keys and values
of the decoder's cross-attentions and has the dimensions and the special tokens in its metadata; a decoder with a cache;
and the tokens of text in base64. The cache grows by what is decoded; upstream's has its full length from the start,
which takes longer.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from benchmarks.support.human_speech.ggml import text_tokens
from tasks.models.whisper.transformers_folder import convert_folder

if TYPE_CHECKING:
    from transformers import WhisperForConditionalGeneration

ENCODER, DECODER, TOKENS = "encoder.onnx", "decoder.onnx", "tokens.txt"
OPSET = 17
CACHE = ("n_layer_self_k_cache", "n_layer_self_v_cache")
CROSS = ("n_layer_cross_k", "n_layer_cross_v")


class Encoder(nn.Module):
    """Log-mel features `(1, n_mels, n_frames)` of up to 30 s to keys and values, each `(n_layers, 1, n_frames / 2,
    d_model)`."""

    def __init__(self, whisper: WhisperForConditionalGeneration) -> None:
        super().__init__()
        self.encoder, self.decoder = whisper.model.encoder, whisper.model.decoder

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        x = gelu(self.encoder.conv2(gelu(self.encoder.conv1(mel)))).transpose(1, 2)  # (1, n_frames / 2, d_model)
        x = x + self.encoder.embed_positions.weight[: x.shape[1]]
        for layer in self.encoder.layers:
            y = layer.self_attn_layer_norm(x)
            x = x + attend(layer.self_attn, y, layer.self_attn.k_proj(y), layer.self_attn.v_proj(y))
            x = x + feed_forward(layer, x)
        x = self.encoder.layer_norm(x)
        cross = [layer.encoder_attn for layer in self.decoder.layers]
        return torch.stack([one.k_proj(x) for one in cross]), torch.stack([one.v_proj(x) for one in cross])


class Decoder(nn.Module):
    """Tokens `(1, n_tokens)` after `offset` known ones to logits `(1, n_tokens, n_vocabulary)` and the grown cache."""

    def __init__(self, whisper: WhisperForConditionalGeneration) -> None:
        super().__init__()
        self.decoder, self.project = whisper.model.decoder, whisper.proj_out

    def forward(
        self, tokens: Tensor, keys: Tensor, values: Tensor, cross_keys: Tensor, cross_values: Tensor, offset: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        positions = offset + torch.arange(tokens.shape[1])  # (n_tokens,)
        is_past = torch.arange(offset[0] + tokens.shape[1]) <= positions[:, None]  # (n_tokens, offset + n_tokens)
        x = self.decoder.embed_tokens(tokens) + self.decoder.embed_positions.weight[positions]
        grown_keys, grown_values = [], []
        for index, layer in enumerate(self.decoder.layers):
            y = layer.self_attn_layer_norm(x)
            grown_keys.append(torch.cat([keys[index, :, : offset[0]], layer.self_attn.k_proj(y)], dim=1))
            grown_values.append(torch.cat([values[index, :, : offset[0]], layer.self_attn.v_proj(y)], dim=1))
            x = x + attend(layer.self_attn, y, grown_keys[-1], grown_values[-1], is_past)
            y = layer.encoder_attn_layer_norm(x)
            x = x + attend(layer.encoder_attn, y, cross_keys[index], cross_values[index])
            x = x + feed_forward(layer, x)
        return self.project(self.decoder.layer_norm(x)), torch.stack(grown_keys), torch.stack(grown_values)


def attend(attention: nn.Module, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attend from `(1, n, d_model)` to keys and values `(1, n_keys, d_model)`."""
    heads = (
        part.unflatten(2, (attention.num_heads, -1)).transpose(1, 2) for part in (attention.q_proj(x), keys, values)
    )
    return attention.out_proj(scaled_dot_product_attention(*heads, attn_mask=mask).transpose(1, 2).flatten(2))


def feed_forward(layer: nn.Module, x: Tensor) -> Tensor:
    return layer.fc2(gelu(layer.fc1(layer.final_layer_norm(x))))


def write_onnx(model: Path, folder: Path) -> None:
    """Write the Whisper of a folder in CTranslate2's format to `encoder.onnx`, `decoder.onnx` and `tokens.txt`."""
    from transformers import WhisperForConditionalGeneration

    convert_folder(model, folder / "transformers")
    whisper = WhisperForConditionalGeneration.from_pretrained(folder / "transformers", dtype=torch.float32).eval()
    config = whisper.config
    mel = torch.zeros(1, config.num_mel_bins, 400)
    cross = torch.zeros(config.decoder_layers, 1, 200, config.d_model)
    cache = torch.zeros(config.decoder_layers, 1, config.max_target_positions, config.d_model)
    tokens = torch.full((1, 4), config.decoder_start_token_id)
    _export(
        Encoder(whisper),
        {"mel": (mel, {2: "n_frames"})},
        {name: {2: "n_positions"} for name in CROSS},
        folder / ENCODER,
        metadata(whisper),
    )
    _export(
        Decoder(whisper),
        {"tokens": (tokens, {1: "n_tokens"})}
        | {f"in_{name}": (cache, {2: "n_cached"}) for name in CACHE}
        | {name: (cross, {2: "n_positions"}) for name in CROSS}
        | {"offset": (torch.tensor([2]), {})},
        {"logits": {1: "n_tokens"}} | {f"out_{name}": {2: "n_grown"} for name in CACHE},
        folder / DECODER,
        {},
    )
    text = enumerate(text_tokens(model, config.eos_token_id))
    (folder / TOKENS).write_text("".join(f"{base64.b64encode(token).decode()} {index}\n" for index, token in text))


def metadata(whisper: WhisperForConditionalGeneration) -> dict[str, object]:
    """What sherpa-onnx reads in the encoder's metadata."""
    config, settings = whisper.config, whisper.generation_config
    start, last = settings.decoder_start_token_id, settings.no_timestamps_token_id
    translate, transcribe, no_speech = last - 5, last - 4, last - 1  # the order is the same in all models
    languages = settings.lang_to_id if settings.is_multilingual else {}
    return {
        "model_type": "whisper",
        "version": 1,
        "n_mels": config.num_mel_bins,
        "n_text_layer": config.decoder_layers,
        "n_text_ctx": config.max_target_positions,
        "n_text_state": config.d_model,
        "n_vocab": config.vocab_size,
        "is_multilingual": int(settings.is_multilingual),
        "sot": start,
        "sot_sequence": _joined([start, *list(languages.values())[:1], *([transcribe] if languages else [])]),
        "eot": settings.eos_token_id,
        "blank_id": settings.begin_suppress_tokens[0],
        "translate": translate,
        "transcribe": transcribe,
        "no_speech": no_speech,
        "no_timestamps": last,
        "all_language_tokens": _joined(languages.values()),
        "all_language_codes": _joined(token.strip("<|>") for token in languages),
    }


def _joined(values: Iterable[object]) -> str:
    return ",".join(map(str, values))


def _export(
    part: nn.Module,
    inputs: Mapping[str, tuple[Tensor, dict[int, str]]],
    outputs: Mapping[str, dict[int, str]],
    target: Path,
    properties: Mapping[str, object],
) -> None:
    """Write a part with its matrices in 8 bits. Inputs are an example and names of the dimensions that vary."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    whole = target.with_suffix(".whole")
    torch.onnx.export(
        part,
        tuple(example for example, _ in inputs.values()),
        whole,
        input_names=list(inputs),
        output_names=list(outputs),
        dynamic_axes={name: axes for name, (_, axes) in inputs.items()} | dict(outputs),
        opset_version=OPSET,
        dynamo=False,
    )
    quantize_dynamic(whole, target, op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8)
    saved = onnx.load(target)
    onnx.helper.set_model_props(saved, {name: str(value) for name, value in properties.items()})
    onnx.save(saved, target)
