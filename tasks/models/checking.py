"""Checks a model by its files, before anything is spent on a run that could not load it. Reads no weights."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.contract import Misconfigured, Reason
from tasks.models.folder import CTC_TYPES, CTRANSLATE2_FOLDER, EXTRACTOR_SETTINGS, WHISPER_TYPE, weights_name
from tasks.models.listing import ModelFiles, is_own, list_files
from tasks.models.reference import CHECKPOINT, ModelReference
from tasks.models.whisper.tokenizer import VOCABULARIES, has_tokenizer

MIN_WEIGHTS_BYTES = 1024  # a Git LFS pointer, which a clone without LFS leaves, has 130


def check(reference: ModelReference) -> None:
    """Check that a model is complete, and one that an engine runs.

    Models that our own steps made or registered are not looked at: they were loaded before.

    Raises:
        InputRejected: a file is missing, empty or unreadable; the message names it.
        Misconfigured: no engine runs this kind of model.
    """
    files = None if is_own(reference) else list_files(reference)
    if files is None:
        return
    names = set(files.sizes)
    weights = weights_name(names)
    converted = [name for name in ("model.bin", f"{CTRANSLATE2_FOLDER}/model.bin") if name in names]
    if weights is None and converted:
        _check_ctranslate2(files, converted[0].removesuffix("model.bin"))
    elif weights is None and (checkpoints := [n for n in names if n.endswith(CHECKPOINT) and "/" not in n]):
        _check_checkpoints(files, checkpoints)
    elif weights is None:
        files.refuse(
            "no weights: looked for model.safetensors, pytorch_model.bin, CTranslate2's model.bin and OpenAI's .pt",
            "give a folder with one model, complete",
        )
    else:
        _check_transformers(files, weights)


def _check_ctranslate2(files: ModelFiles, prefix: str) -> None:
    names = {name.removeprefix(prefix) for name in files.sizes}
    _check_sizes(files, [f"{prefix}model.bin"])
    if not names & set(VOCABULARIES):
        files.refuse(f"no {' and no '.join(VOCABULARIES)}", "copy all files of the model, or convert it again")


def _check_checkpoints(files: ModelFiles, checkpoints: list[str]) -> None:
    if len(checkpoints) > 1:
        files.refuse(f"{len(checkpoints)} checkpoints: {', '.join(sorted(checkpoints))}", "give the URI of one of them")
    _check_sizes(files, checkpoints)
    if not has_tokenizer(files.sizes):
        files.refuse(
            "no tokenizer beside the checkpoint: OpenAI's package keeps it elsewhere",
            "put tokenizer.json of a Whisper of its size beside it, or whisper/assets/*.tiktoken of that package",
        )


def _check_transformers(files: ModelFiles, weights: str) -> None:
    model_type = files.read_json("config.json").get("model_type")
    if model_type != WHISPER_TYPE and model_type not in CTC_TYPES:
        raise unknown_type(model_type, files.subject)
    parts = [weights]
    if weights.endswith(".index.json"):
        parts = sorted(set(files.read_json(weights).get("weight_map", {}).values()))
        if missing := [name for name in parts if name not in files.sizes]:
            files.refuse(
                f"{len(missing)} of {len(parts)} parts of the weights are missing", "copy them", name=missing[0]
            )
    _check_sizes(files, parts)
    if model_type == WHISPER_TYPE:
        if not has_tokenizer(files.sizes):
            files.refuse("a Whisper without a tokenizer", "save its tokenizer beside the weights")
        return
    if not {"tokenizer.json", "vocab.json"} & set(files.sizes):
        files.refuse("no tokenizer.json and no vocab.json", "save the model's tokenizer beside the weights")
    if not set(EXTRACTOR_SETTINGS) & set(files.sizes):
        files.refuse(
            f"no {' and no '.join(EXTRACTOR_SETTINGS)}",
            "save the model's feature extractor or processor beside the weights",
        )


def unknown_type(model_type: object, subject: str) -> Misconfigured:
    """The error for a model that no engine runs."""
    return Misconfigured(
        f"no engine for model type {model_type!r}",
        reason=Reason.INVALID_ARGUMENT,
        subject=subject,
        next_step="give a Parakeet or wav2vec2-BERT CTC model, or a Whisper",
    )


def _check_sizes(files: ModelFiles, names: Iterable[str]) -> None:
    for name in names:
        size = files.sizes[name]
        if size is not None and size < MIN_WEIGHTS_BYTES:
            files.refuse(
                f"{size} bytes are no weights: perhaps a pointer of Git LFS",
                "fetch the file itself (git lfs pull), or copy the model again",
                name=name,
                reason=Reason.CORRUPT,
            )
