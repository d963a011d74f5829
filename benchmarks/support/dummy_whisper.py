"""A Whisper of any size with random weights that emits the same fixed text for every window.

Benchmarks run offline, without a trained Whisper. One with purely random weights emits tokens up to the limit, unlike a
trained one, and how many depends on the caller. Here the embedding of each decoder position is that of the token to be
emitted there, so every window gets the same words with high confidence, then the end token. Encoding and decoding cost
the same as with trained weights.
"""

from __future__ import annotations

import itertools
import string
from dataclasses import dataclass
from pathlib import Path

N_WORDS = 75  # in a window of 30 s; people speak 60 to 90
PROMPT = 4  # <|startoftranscript|>, language, task, <|notimestamps|>
LOGIT_SCALE = 40.0


@dataclass(frozen=True)
class Size:
    """A Whisper's dimensions (Radford et al., 2022, table 1)."""

    name: str
    width: int
    layers: int
    """Of the encoder; of the decoder as many, unless `decoder_layers` says otherwise."""
    heads: int
    decoder_layers: int = 0
    n_mels: int = 80


TINY = Size("tiny", 32, 1, 2)  # of no published model: for tests of what is measured
BASE = Size("base", 512, 6, 8)
SMALL = Size("small", 768, 12, 12)
LARGE_V3_TURBO = Size("large-v3-turbo", 1280, 32, 20, decoder_layers=4, n_mels=128)


def save(folder: Path, size: Size) -> None:
    """Write the model, its tokenizer and its feature extractor in transformers' format."""
    import torch
    from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    ids = _save_tokenizer(folder)
    end = ids["<|endoftext|>"]
    decoder_layers = size.decoder_layers or size.layers
    config = WhisperConfig(
        vocab_size=51_866,
        d_model=size.width,
        encoder_layers=size.layers,
        decoder_layers=decoder_layers,
        num_mel_bins=size.n_mels,
        encoder_attention_heads=size.heads,
        decoder_attention_heads=size.heads,
        encoder_ffn_dim=4 * size.width,
        decoder_ffn_dim=4 * size.width,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=ids["<|startoftranscript|>"],
    )
    torch.manual_seed(0)
    model = WhisperForConditionalGeneration(config)
    with torch.no_grad():
        decoder = model.model.decoder
        tokens = torch.randn(config.vocab_size, size.width) / size.width**0.5
        decoder.embed_tokens.weight.copy_(tokens)
        # The token at position p comes from the logits at p - 1.
        text = [ids[word] for word in words()[:N_WORDS]] + [end] * (config.max_target_positions - N_WORDS)
        positions = tokens[torch.tensor([end] * (PROMPT - 1) + text)[: config.max_target_positions]]  # (n, width)
        decoder.embed_positions.weight.copy_(LOGIT_SCALE * positions)
    model.generation_config = GenerationConfig(
        suppress_tokens=[],
        begin_suppress_tokens=[],
        alignment_heads=[[decoder_layers - 1, head] for head in range(size.heads)],
        no_timestamps_token_id=ids["<|notimestamps|>"],
        decoder_start_token_id=ids["<|startoftranscript|>"],
        eos_token_id=end,
        lang_to_id={token: number for token, number in ids.items() if len(token) in (6, 7) and token[:2] == "<|"},
        is_multilingual=True,
    )
    model.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=size.n_mels).save_pretrained(folder)


def words() -> list[str]:
    """Words of three letters with a leading space, as byte-level BPE writes it."""
    letters = itertools.product(string.ascii_lowercase, "aeiou", string.ascii_lowercase)
    return ["Ġ" + "".join(word) for word in letters][::37]


def _save_tokenizer(folder: Path) -> dict[str, int]:
    """Save a tokenizer with the special tokens of large-v3 at their ids, but only the words that are emitted."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    known = sorted(pre_tokenizers.ByteLevel.alphabet()) + words()
    known += [f"Ġunused{number}" for number in range(50_256 - len(known))]
    known.append("")  # CTranslate2 recognises a multilingual model by this token
    tokenizer = Tokenizer(models.BPE(vocab={text: number for number, text in enumerate(known)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    languages = list(LANGUAGES)
    special = ["<|endoftext|>", "<|startoftranscript|>", *(f"<|{language}|>" for language in languages)]
    special += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>"]
    special += ["<|notimestamps|>"]
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    tokenizer.add_tokens([AddedToken(f"<|{index * 0.02:.2f}|>") for index in range(1501)])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    ids = tokenizer.get_vocab()
    return {token: ids[token] for token in (*special, *words())}
