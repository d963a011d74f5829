"""The base model's architecture, and its export to a folder that transformers loads offline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from local.demo.base_model.alphabet import BLANK, BLANK_ID, SYMBOLS, make_tokenizer
from local.demo.base_model.pool import FEATURES

if TYPE_CHECKING:
    from transformers import ParakeetForCTC

SUBSAMPLING = 2  # 25 output frames a second; with 8 and a 10 ms hop there are fewer frames than characters


def make_model(hidden_size: int = 176, n_layers: int = 4) -> ParakeetForCTC:
    """A Parakeet CTC of 3.2 M parameters with random weights.

    32 channels in the subsampling convolutions: transformers' default of 256 is four to six times slower. No dropout:
    the pool's variety regularises enough.
    """
    from transformers import ParakeetCTCConfig, ParakeetEncoderConfig, ParakeetForCTC

    encoder = ParakeetEncoderConfig(
        hidden_size=hidden_size,
        num_hidden_layers=n_layers,
        num_attention_heads=4,
        intermediate_size=4 * hidden_size,
        subsampling_factor=SUBSAMPLING,
        subsampling_conv_channels=32,
        num_mel_bins=FEATURES.n_mels,
        dropout=0.0,
        layerdrop=0.0,
        activation_dropout=0.0,
        attention_dropout=0.0,
        scale_input=False,
    )
    config = ParakeetCTCConfig(vocab_size=len(SYMBOLS), pad_token_id=BLANK_ID, encoder_config=encoder)
    model = ParakeetForCTC(config)
    model.set_attn_implementation("sdpa")  # a third faster than eager on CPU
    return model


def export(model: ParakeetForCTC, folder: Path) -> None:
    """Save float16 weights, configuration, tokenizer and feature extractor for `from_pretrained(folder)`."""
    from transformers import ParakeetFeatureExtractor, ParakeetForCTC, ParakeetProcessor

    half = ParakeetForCTC(model.config)
    half.load_state_dict(model.state_dict())
    half.half().save_pretrained(folder)
    extractor = ParakeetFeatureExtractor(
        feature_size=FEATURES.n_mels,
        sampling_rate=FEATURES.sample_rate_hz,
        hop_length=FEATURES.hop_samples,
        n_fft=FEATURES.n_fft,
        win_length=FEATURES.win_samples,
        preemphasis=FEATURES.preemphasis,
    )
    processor = ParakeetProcessor(extractor, make_tokenizer(), blank_token=BLANK, decoder_type="ctc")
    processor.save_pretrained(folder)
    # Writes preprocessor_config.json, which the processor only includes in its own file.
    extractor.save_pretrained(folder)
