"""Bring a Whisper in any layout into CTranslate2's, with the tokenizer that the engine reads beside the weights."""

from __future__ import annotations

import json
from pathlib import Path

from tasks.contract import InputRejected, Reason
from tasks.models.conversion import convert_once
from tasks.models.whisper.ctranslate2_file import read_ctranslate2
from tasks.models.whisper.decoding_settings import generation_settings
from tasks.models.whisper.tokenizer import TOKENIZER, VOCABULARIES, load_tokenizer, read_vocabulary
from tasks.models.whisper.transformers_folder import complete_folder

WEIGHTS, CONFIG = "model.bin", "config.json"


def servable_folder(folder: Path) -> Path:
    """Return a folder with the Whisper in `folder` in CTranslate2's format: `folder` itself if it is one with a
    tokenizer and settings, else one written once on this host. Converted weights are stored as float16; the engine
    quantises further when it loads them.

    Raises:
        InputRejected: no Whisper, or something is missing that cannot be derived.
    """
    if not (folder / WEIGHTS).is_file():
        complete = complete_folder(folder)
        return convert_once("ctranslate2", complete, lambda target: convert(complete, target, "float16"))
    if all((folder / name).is_file() for name in (TOKENIZER, CONFIG)):
        return folder
    return convert_once("completed", folder, lambda target: _complete(folder, target))


def convert(folder: Path, target: Path, quantization: str) -> None:
    """Convert a complete folder in transformers' layout with upstream's converter."""
    from ctranslate2.converters import TransformersConverter

    TransformersConverter(str(folder), copy_files=[TOKENIZER]).convert(str(target), quantization=quantization)


def _complete(folder: Path, target: Path) -> None:
    """Link the files into a new folder, and write beside them the tokenizer, which upstream would download, and the
    settings, without which CTranslate2 4 does not decode."""
    tokenizer = load_tokenizer(folder, _vocabulary_size(folder))
    target.mkdir(parents=True)
    for path in folder.iterdir():
        if path.is_file():
            (target / path.name).symlink_to(path.absolute())
    if not (target / TOKENIZER).exists():
        tokenizer.save(str(target / TOKENIZER))
    if not (target / CONFIG).exists():
        settings = generation_settings(read_ctranslate2(folder), tokenizer)
        config = {
            "alignment_heads": settings["alignment_heads"],
            "lang_ids": sorted(settings.get("lang_to_id", {}).values()),
            "suppress_ids": settings["suppress_tokens"],
            "suppress_ids_begin": settings["begin_suppress_tokens"],
        }
        (target / CONFIG).write_text(json.dumps(config))


def _vocabulary_size(folder: Path) -> int:
    for name in VOCABULARIES:
        if (path := folder / name).is_file():
            return len(read_vocabulary(name, path.read_text("utf-8")))
    raise InputRejected(
        f"a Whisper of CTranslate2's without {' or '.join(VOCABULARIES)}",
        reason=Reason.MODEL_NOT_FOUND,
        subject=str(folder),
        next_step="copy all files of the model, or convert it again",
    )
