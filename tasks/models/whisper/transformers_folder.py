"""Bring a Whisper in any layout into transformers' layout, with every file that training and decoding read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.contract import InputRejected, Reason
from tasks.models.conversion import convert_once
from tasks.models.folder import CTRANSLATE2_FOLDER, WHISPER_TYPE, has_transformers_weights, model_type
from tasks.models.whisper.ctranslate2_file import read_ctranslate2
from tasks.models.whisper.decoding_settings import generation_settings
from tasks.models.whisper.openai_file import read_openai
from tasks.models.whisper.tokenizer import TOKENIZER, load_tokenizer
from tasks.models.whisper.weights import WhisperWeights

if TYPE_CHECKING:
    from transformers import WhisperConfig

CONFIG, GENERATION, EXTRACTOR = "config.json", "generation_config.json", "preprocessor_config.json"


def complete_folder(folder: Path) -> Path:
    """Return a folder in transformers' layout with the Whisper in `folder`: `folder` itself if nothing is missing,
    else one written once on this host.

    Raises:
        InputRejected: no Whisper, or something is missing that cannot be derived.
    """
    if not has_transformers_weights(folder):
        return convert_once("transformers", folder, lambda target: convert_folder(folder, target))
    if _missing(folder):
        return convert_once("completed", folder, lambda target: _complete(folder, target))
    return folder


def convert_folder(folder: Path, target: Path) -> None:
    """Write a Whisper of CTranslate2's or of OpenAI's into a new folder in transformers' layout, in the precision of
    its weights: safetensors, tokenizer, settings of generation and of the feature extractor.

    Raises:
        InputRejected: no such model, or no tokenizer.
    """
    weights = _read_weights(folder)
    tokenizer = load_tokenizer(folder, weights.n_tokens)
    generation = generation_settings(weights, tokenizer)
    try:
        config = _configuration(weights, generation)
    except KeyError as error:
        raise _not_whole(folder, [str(error.args[0])]) from None
    _require_all_tensors(weights, config, folder)
    target.mkdir(parents=True)
    _write_weights(weights, target)
    config.save_pretrained(target)
    _write_json(target / GENERATION, generation)
    _write_extractor(weights.n_mels, target)
    tokenizer.save(str(target / TOKENIZER))
    _write_tokenizer_settings(target)
    for card in ("README.md", "LICENSE", "LICENCE.md", "LICENSE.md"):
        if (folder / card).is_file():
            shutil.copyfile(folder / card, target / card)


def _read_weights(folder: Path) -> WhisperWeights:
    for place in (folder, folder / CTRANSLATE2_FOLDER):
        if (place / "model.bin").is_file():
            return read_ctranslate2(place)
    checkpoints = sorted(folder.glob("*.pt"))
    if len(checkpoints) != 1:
        found = f"{len(checkpoints)} checkpoints ({', '.join(p.name for p in checkpoints)})" if checkpoints else "none"
        raise InputRejected(
            f"no weights of a Whisper: looked for model.safetensors, model.bin and one .pt, found {found}",
            reason=Reason.MODEL_NOT_FOUND,
            subject=str(folder),
            next_step="give a folder with one model" if not checkpoints else "give the URI of one of the files",
        )
    return read_openai(checkpoints[0])


def _configuration(weights: WhisperWeights, generation: dict[str, Any]) -> WhisperConfig:
    from transformers import WhisperConfig

    dtype = str(weights.tensors["model.decoder.embed_tokens.weight"].dtype).removeprefix("torch.")
    special = ("bos_token_id", "decoder_start_token_id", "eos_token_id", "pad_token_id")
    return WhisperConfig(
        **weights.configuration(),
        **{name: generation[name] for name in special},
        architectures=["WhisperForConditionalGeneration"],
        dtype=dtype,
    )


def _require_all_tensors(weights: WhisperWeights, config: WhisperConfig, folder: Path) -> None:
    """Raise InputRejected unless the model has all tensors and no others: transformers would make missing ones up."""
    import torch
    from transformers import WhisperForConditionalGeneration

    with torch.device("meta"):
        expected = {name: tensor.shape for name, tensor in WhisperForConditionalGeneration(config).state_dict().items()}
    del expected["proj_out.weight"]  # tied to the embeddings
    found = {name: tensor.shape for name, tensor in weights.tensors.items()}
    if differing := sorted(name for name, _ in found.items() ^ expected.items()):
        raise _not_whole(folder, differing)


def _not_whole(folder: Path, tensors: Sequence[str]) -> InputRejected:
    return InputRejected(
        f"tensors that are missing, unknown or of another shape: {len(tensors)} ({', '.join(tensors[:3])})",
        reason=Reason.CORRUPT,
        subject=str(folder),
        next_step="give the weights of an unchanged Whisper",
    )


def _write_weights(weights: WhisperWeights, target: Path) -> None:
    from safetensors.torch import save_file

    tensors = {name: tensor.clone() for name, tensor in weights.tensors.items()}  # views of one tensor, each for itself
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})


def _write_extractor(n_mels: int, target: Path) -> None:
    from transformers import WhisperFeatureExtractor

    WhisperFeatureExtractor(feature_size=n_mels).save_pretrained(target)


def _write_tokenizer_settings(target: Path) -> None:
    end = "<|endoftext|>"
    settings = {"tokenizer_class": "WhisperTokenizer", "model_max_length": 1024, "errors": "replace"}
    _write_json(
        target / "tokenizer_config.json", settings | {f"{name}_token": end for name in ("bos", "eos", "unk", "pad")}
    )


def _missing(folder: Path) -> set[str]:
    """Files that transformers or the engine would look for in vain. transformers 5 saves the extractor's settings
    inside of `processor_config.json` only; before 4.26 there were no settings of generation."""
    missing = {name for name in (TOKENIZER, EXTRACTOR) if not (folder / name).is_file()}
    try:
        generation = json.loads((folder / GENERATION).read_bytes())
    except (OSError, ValueError):
        generation = {}
    return missing if "no_timestamps_token_id" in generation else missing | {GENERATION}


def _complete(folder: Path, target: Path) -> None:
    """Link a folder's files into a new one, and write those that are missing."""
    config = read_config(folder)
    missing = _missing(folder)
    target.mkdir(parents=True)
    for path in folder.iterdir():
        if path.is_file() and path.name not in missing:
            (target / path.name).symlink_to(path.absolute())
    tokenizer = load_tokenizer(folder, int(config["vocab_size"]))
    if TOKENIZER in missing:
        tokenizer.save(str(target / TOKENIZER))
    if EXTRACTOR in missing:
        _write_extractor(int(config["num_mel_bins"]), target)
    if GENERATION in missing:
        import torch

        # The settings depend on sizes only: tensors without data.
        shapes = {
            "model.decoder.embed_tokens.weight": (config["vocab_size"], 1),
            "model.decoder.embed_positions.weight": (config["max_target_positions"], 1),
            "model.encoder.conv1.weight": (1, config["num_mel_bins"], 3),
            f"model.decoder.layers.{config['decoder_layers'] - 1}": (1,),
        }
        weights = WhisperWeights(
            {name: torch.empty(shape, device="meta") for name, shape in shapes.items()},
            config["encoder_attention_heads"],
            config["decoder_attention_heads"],
        )
        _write_json(target / GENERATION, generation_settings(weights, tokenizer))


def read_config(folder: Path) -> dict[str, Any]:
    """Read `config.json` of a Whisper that transformers saved."""
    if (found := model_type(folder)) != WHISPER_TYPE:
        raise InputRejected(
            f"a {found}, no Whisper",
            reason=Reason.INVALID_ARGUMENT,
            subject=str(folder),
            next_step="give a Whisper",
        )
    config: dict[str, Any] = json.loads((folder / CONFIG).read_bytes())
    return config


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
