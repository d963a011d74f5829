"""The weights in whisper.cpp's format."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.support.human_speech.ggml import BLOCK, openai_name, quantise


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model.encoder.conv1.weight", "encoder.conv1.weight"),
        ("model.encoder.embed_positions.weight", "encoder.positional_embedding"),
        ("model.encoder.layers.3.self_attn.k_proj.weight", "encoder.blocks.3.attn.key.weight"),
        ("model.encoder.layers.3.self_attn_layer_norm.bias", "encoder.blocks.3.attn_ln.bias"),
        ("model.encoder.layer_norm.weight", "encoder.ln_post.weight"),
        ("model.decoder.embed_tokens.weight", "decoder.token_embedding.weight"),
        ("model.decoder.layers.0.encoder_attn.out_proj.bias", "decoder.blocks.0.cross_attn.out.bias"),
        ("model.decoder.layers.0.encoder_attn_layer_norm.weight", "decoder.blocks.0.cross_attn_ln.weight"),
        ("model.decoder.layers.0.final_layer_norm.weight", "decoder.blocks.0.mlp_ln.weight"),
        ("model.decoder.layers.0.fc1.weight", "decoder.blocks.0.mlp.0.weight"),
        ("model.decoder.layer_norm.bias", "decoder.ln.bias"),
    ],
)
def test_names_are_openais(name: str, expected: str) -> None:
    assert openai_name(name) == expected


def test_quantised_weights_are_close_and_zeros_stay() -> None:
    weights = np.random.default_rng(0).standard_normal((4, 2 * BLOCK)).astype(np.float32)
    weights[1] = 0
    packed = np.frombuffer(quantise(weights), dtype=[("scale", "<f2"), ("weights", "i1", BLOCK)])
    restored = (packed["scale"][:, None].astype(np.float32) * packed["weights"]).reshape(weights.shape)
    assert np.abs(restored - weights).max() < np.abs(weights).max() / 127
    assert not restored[1].any()
