"""A Whisper of random weights in any size, that says the same number of words in every window it hears.

No trained Whisper can be had offline. A random one emits tokens until the limit, which no trained one does, and how
many depends on who calls it. This one knows its text by heart: the embedding of each place in the text is that of the
token to be said there, so that every window gets the same words, confidently, and then the end. What it costs to hear
and to say them is what it costs with trained weights.
"""

from __future__ import annotations

import itertools
import string
from dataclasses import dataclass
from pathlib import Path

N_WORDS = 75  # in a window of 30 s: people say 60 to 90
PROMPT = 4  # <|startoftranscript|>, language, task, <|notimestamps|>
CERTAINTY = 40.0


@dataclass(frozen=True)
class Size:
    """A Whisper's dimensions (Radford et al., 2022, table 1)."""

    name: str
    width: int
    layers: int
    heads: int


SMALL = Size("small", 768, 12, 12)


def save(folder: Path, size: Size) -> None:
    """Write the model, its tokenizer and its feature extractor as transformers does."""
    import torch
    from transformers import GenerationConfig, WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

    ids = _save_tokenizer(folder)
    end = ids["<|endoftext|>"]
    config = WhisperConfig(
        vocab_size=51_866,
        d_model=size.width,
        encoder_layers=size.layers,
        decoder_layers=size.layers,
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
        # A token said at position p comes out of the logits at p - 1.
        said = [ids[word] for word in _words()[:N_WORDS]] + [end] * (config.max_target_positions - N_WORDS)
        places = tokens[torch.tensor([end] * (PROMPT - 1) + said)[: config.max_target_positions]]
        decoder.embed_positions.weight.copy_(CERTAINTY * places)
    model.generation_config = GenerationConfig(
        suppress_tokens=[],
        begin_suppress_tokens=[],
        alignment_heads=[[size.layers - 1, head] for head in range(size.heads)],
        no_timestamps_token_id=ids["<|notimestamps|>"],
        decoder_start_token_id=ids["<|startoftranscript|>"],
        eos_token_id=end,
        lang_to_id={token: number for token, number in ids.items() if len(token) in (6, 7) and token[:2] == "<|"},
        is_multilingual=True,
    )
    model.save_pretrained(folder)
    WhisperFeatureExtractor().save_pretrained(folder)


def _words() -> list[str]:
    """Words of three letters with the mark of a space before them, as a byte-level alphabet writes it."""
    letters = itertools.product(string.ascii_lowercase, "aeiou", string.ascii_lowercase)
    return ["Ġ" + "".join(word) for word in letters][::37]


def _save_tokenizer(folder: Path) -> dict[str, int]:
    """The special tokens of large-v3 in their places; of its words only as many as are said."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    known = sorted(pre_tokenizers.ByteLevel.alphabet()) + _words()
    known += [f"Ġunused{number}" for number in range(50_256 - len(known))]
    known.append("")  # by this token CTranslate2 tells a multilingual model
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
    return {token: ids[token] for token in (*special, *_words())}
