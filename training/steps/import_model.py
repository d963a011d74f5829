"""`import-model`: bring a model off the shelf into the layout of trained models, and check that it decodes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.contract import InputRejected, Misconfigured, Reason
from tasks.contract.arguments import ImportModel
from tasks.models import check, fetch, resolve
from tasks.models.folder import CTRANSLATE2_FOLDER, model_type, weights_name
from tasks.models.hub import needed_files
from tasks.models.reference import MODEL_FOLDER
from tasks.step import StepContext, StepOutput
from training.families.family import MODEL_TYPES, ModelFamily
from training.registry.licence import UNKNOWN, find_licence

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = 1


def inputs(arguments: ImportModel) -> dict[str, str]:
    reference = resolve(arguments.model)
    check(reference)
    return {"model": reference.digest}


def run(arguments: ImportModel, context: StepContext) -> StepOutput:
    from training.families.model_folder import trainable_folder

    reference = resolve(arguments.model)
    context.confirm("model", reference.digest)
    source = fetch(reference, context.scratch)
    context.progress("import", 1, 3, "parts", "fetched")
    folder = without_pickles(trainable_folder(source), context.scratch)
    family = MODEL_TYPES[model_type(folder)]
    context.progress("import", 2, 3, "parts", "in the layout of trained models")
    engine = require_recogniser(source, reference.uri)
    for name, path in files_to_publish(source, folder):
        context.publish(f"{MODEL_FOLDER}{name}", path)
    licence = arguments.licence or find_licence(source)
    warnings = () if licence != UNKNOWN else ("the licence is not known: state it with --licence",)
    return StepOutput(
        labels={
            "family": family,
            "features": features_of(folder, family),
            "base": reference.version,
            "base_uri": reference.uri,
            "engine": engine,
            "licence": licence,
        },
        warnings=warnings,
    )


def without_pickles(folder: Path, scratch: Path) -> Path:
    """Return a folder with the weights as safetensors: `folder` itself, or a copy of one with PyTorch's pickles."""
    weights = weights_name([path.name for path in folder.iterdir()]) or ""
    if not weights.startswith("pytorch_model"):
        return folder
    from training.families.model_folder import load_acoustic_model, save_acoustic_model

    save_acoustic_model(load_acoustic_model(folder, "cpu").module, folder, scratch / "safetensors")
    return scratch / "safetensors"


def require_recogniser(folder: Path, subject: str) -> str:
    """Load the model as nights do and decode a second of silence. Return the engine's name.

    Raises:
        InputRejected: CORRUPT: it does not load, or does not decode.
    """
    import numpy as np

    from tasks.audio import SAMPLE_RATE_HZ
    from tasks.recognition import load_engine

    try:
        engine = load_engine(folder)
        engine.recognise([np.zeros(SAMPLE_RATE_HZ, np.float32)])
    except (InputRejected, Misconfigured):
        raise
    except Exception as error:  # what transformers and CTranslate2 raise for weights that do not fit their settings
        raise InputRejected(
            f"does not decode: {type(error).__name__}: {str(error).splitlines()[0][:300] if str(error) else ''}",
            reason=Reason.CORRUPT,
            subject=subject,
            next_step="copy it again, or try it with the library that saved it",
        ) from error
    return engine.name


def files_to_publish(source: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield names and paths: the model in transformers' layout, and weights that came in CTranslate2's as they are."""
    for name in needed_files(sorted(path.name for path in folder.iterdir() if path.is_file())):
        yield name, folder / name
    converted = source / CTRANSLATE2_FOLDER if (source / CTRANSLATE2_FOLDER / "model.bin").is_file() else source
    if (converted / "model.bin").is_file():
        from tasks.models.whisper.ctranslate2_folder import servable_folder

        for path in sorted(servable_folder(converted).iterdir()):
            if path.is_file():
                yield f"{CTRANSLATE2_FOLDER}/{path.name}", path


def features_of(folder: Path, family: ModelFamily) -> str:
    """Return the name of the features that the model takes, for `corpus_features`; empty for features without one."""
    from tasks.corpus.feature_names import name_of
    from tasks.recognition.ctc import features_config as ctc_features
    from training.families.whisper import features_config as whisper_features

    return name_of(whisper_features(folder) if family is ModelFamily.WHISPER else ctc_features(folder))
