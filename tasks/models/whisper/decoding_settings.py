"""What a Whisper's decoding needs besides weights and tokenizer: transformers' `generation_config.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tasks.models.whisper.tokenizer import END, NO_TIMESTAMPS, START
from tasks.models.whisper.weights import WhisperWeights

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NO_SPEECH = ("<|nospeech|>", "<|nocaptions|>")  # the second name is transformers' before large-v3
# By (decoder layers, decoder heads, multilingual, mels), for models that CTranslate2's table lacks.
_ALIGNMENT_HEADS = {(4, 20, True, 128): ((2, 4), (2, 11), (3, 3), (3, 6), (3, 11), (3, 14))}  # large-v3-turbo
_PUBLISHED = {
    (4, 6, False, 80): "tiny.en",
    (4, 6, True, 80): "tiny",
    (6, 8, False, 80): "base.en",
    (6, 8, True, 80): "base",
    (12, 12, False, 80): "small.en",
    (12, 12, True, 80): "small",
    (24, 16, False, 80): "medium.en",
    (24, 16, True, 80): "medium",
    (32, 20, True, 80): "large-v2",  # and large-v1, whose heads are others: it is little used
    (32, 20, True, 128): "large-v3",
}


def generation_settings(weights: WhisperWeights, tokenizer: Tokenizer) -> dict[str, Any]:
    """Return the fields of `generation_config.json`, as transformers publishes them with Whisper."""
    ids: Mapping[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    end, start, no_timestamps = ids[END], ids[START], ids[NO_TIMESTAMPS]
    space = tokenizer.encode(" ", add_special_tokens=False).ids[0]
    settings: dict[str, Any] = {
        "alignment_heads": [list(pair) for pair in weights.alignment_heads or alignment_heads(weights)],
        "begin_suppress_tokens": list(weights.suppressed_first) or [space, end],
        "bos_token_id": end,
        "decoder_start_token_id": start,
        "eos_token_id": end,
        "is_multilingual": weights.is_multilingual,
        "max_initial_timestamp_index": 50,
        "max_length": len(weights.tensors["model.decoder.embed_positions.weight"]),
        "no_timestamps_token_id": no_timestamps,
        "pad_token_id": end,
        "prev_sot_token_id": ids["<|startofprev|>"],
        "return_timestamps": False,
        "suppress_tokens": list(weights.suppressed) or suppressed_tokens(tokenizer),
    }
    if weights.is_multilingual:
        by_id = {index: token for token, index in ids.items()}
        first_task = min(ids["<|translate|>"], ids["<|transcribe|>"])
        settings["lang_to_id"] = {by_id[index]: index for index in range(start + 1, first_task)}
        settings["task_to_id"] = {task: ids[f"<|{task}|>"] for task in ("transcribe", "translate")}
    return settings


def suppressed_tokens(tokenizer: Tokenizer) -> list[int]:
    """Tokens that are not speech (`non_speech_tokens` upstream), and special ones that a text never has."""
    from faster_whisper.tokenizer import Tokenizer as UpstreamTokenizer

    names = ("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", START, *NO_SPEECH)
    special = {index for name in names if (index := tokenizer.token_to_id(name)) is not None}
    return sorted({*UpstreamTokenizer(tokenizer, multilingual=False).non_speech_tokens, *special})


def alignment_heads(weights: WhisperWeights) -> tuple[tuple[int, int], ...]:
    """The cross-attention heads that follow the audio, of published models by their size; else the upper layers' all,
    as upstream does."""
    from ctranslate2.converters.transformers import _WHISPER_ALIGNMENT_HEADS

    layers, heads = weights.decoder_layers, weights.decoder_heads
    size = (layers, heads, weights.is_multilingual, weights.n_mels)
    if size in _PUBLISHED:
        return tuple((layer, head) for layer, head in _WHISPER_ALIGNMENT_HEADS[f"openai/whisper-{_PUBLISHED[size]}"])
    upper = tuple((layer, head) for layer in range(layers // 2, layers) for head in range(heads))
    return _ALIGNMENT_HEADS.get(size, upper)
