"""A Whisper as others save it: writes one model in each of their layouts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

OPENAI_NAMES = {
    "layers": "blocks",
    "self_attn": "attn",
    "self_attn_layer_norm": "attn_ln",
    "encoder_attn": "cross_attn",
    "encoder_attn_layer_norm": "cross_attn_ln",
    "q_proj": "query",
    "k_proj": "key",
    "v_proj": "value",
    "out_proj": "out",
    "fc1": "mlp.0",
    "fc2": "mlp.2",
    "final_layer_norm": "mlp_ln",
    "embed_tokens": "token_embedding",
    "embed_positions.weight": "positional_embedding",
    "encoder.layer_norm": "encoder.ln_post",
    "decoder.layer_norm": "decoder.ln",
}
"""transformers' names of modules, and those of `whisper/model.py`."""


def copy(model: Path, folder: Path, *left_out: str) -> Path:
    return Path(shutil.copytree(model, folder, ignore=shutil.ignore_patterns(*left_out)))


def transformers_5(model: Path, folder: Path) -> Path:
    """`processor.save_pretrained`: the feature extractor's settings are in `processor_config.json` only."""
    copy(model, folder, "preprocessor_config.json", "tokenizer*")
    from transformers import WhisperProcessor

    WhisperProcessor.from_pretrained(model).save_pretrained(folder)
    assert not (folder / "preprocessor_config.json").exists()
    return folder


def transformers_4(model: Path, folder: Path) -> Path:
    """Of 2022: the slow tokenizer's files, weights as PyTorch's pickle, no settings of generation."""
    import torch
    from safetensors.torch import load_file

    copy(model, folder, "generation_config.json", "model.safetensors", "tokenizer.json")
    torch.save(load_file(model / "model.safetensors"), folder / "pytorch_model.bin")
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    added = {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    text = {token: index for token, index in tokenizer["model"]["vocab"].items() if token not in added}
    (folder / "vocab.json").write_text(json.dumps(text))
    (folder / "added_tokens.json").write_text(json.dumps(added))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, tokenizer["model"]["merges"]), ""]))
    return folder


def in_parts(model: Path, folder: Path) -> Path:
    """Weights in several files with an index, as models above 5 GB have them."""
    from transformers import WhisperForConditionalGeneration

    copy(model, folder, "model.safetensors", "generation_config.json")
    module = WhisperForConditionalGeneration.from_pretrained(model)
    module.save_pretrained(folder, max_shard_size="30MB")
    assert (folder / "model.safetensors.index.json").exists()
    return folder


def mlflow(model: Path, folder: Path) -> Path:
    """What `mlflow.transformers.save_model` writes of a pipeline, without the files of its environment."""
    (folder / "model").mkdir(parents=True)
    (folder / "components" / "tokenizer").mkdir(parents=True)
    (folder / "components" / "feature_extractor").mkdir()
    for path in model.iterdir():
        inner = "components/tokenizer" if path.name.startswith("tokenizer") else "model"
        inner = "components/feature_extractor" if path.name.startswith("preprocessor") else inner
        shutil.copyfile(path, folder / inner / path.name)
    flavor = {"components": ["feature_extractor", "tokenizer"], "model_binary": "model", "task": "…"}
    flavors = {"python_function": {"loader_module": "mlflow.transformers"}, "transformers": flavor}
    (folder / "MLmodel").write_text(json.dumps({"flavors": flavors}))  # JSON is YAML
    return folder


def openai(model: Path, folder: Path) -> Path:
    """OpenAI's checkpoint, with their package's vocabulary beside it."""
    import base64
    import re

    import torch
    from safetensors.torch import load_file

    from tasks.models.whisper.tokenizer import _LETTERS

    folder.mkdir()
    config = json.loads((model / "config.json").read_text())
    state = {}
    for name, tensor in load_file(model / "model.safetensors").items():
        name = name.removeprefix("model.")
        for ours, theirs in OPENAI_NAMES.items():
            name = re.sub(rf"(?<!\w){re.escape(ours)}(?!\w)", theirs, name)
        state[name] = tensor
    dims = {"n_audio_head": config["encoder_attention_heads"], "n_text_head": config["decoder_attention_heads"]}
    torch.save({"dims": dims, "model_state_dict": state}, folder / "tiny.en.pt")
    vocabulary = json.loads((model / "tokenizer.json").read_text())["model"]["vocab"]
    bytes_of = {letter: byte for byte, letter in enumerate(_LETTERS)}
    lines = [
        f"{base64.b64encode(bytes(bytes_of[letter] for letter in token)).decode()} {index}"
        for token, index in sorted(vocabulary.items(), key=lambda pair: pair[1])
        if token != "<|endoftext|>"
    ]
    (folder / "gpt2.tiktoken").write_text("\n".join(lines) + "\n")
    return folder


OF_TRANSFORMERS: dict[str, Callable[[Path, Path], Any]] = {
    "transformers 5": transformers_5,
    "transformers 4": transformers_4,
    "in parts": in_parts,
    "MLflow": mlflow,
    "OpenAI": openai,
}
"""Writers of each layout from a folder in transformers'."""
