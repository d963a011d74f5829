"""`convert-model`: convert a Whisper to CTranslate2, which nights decode with, and accept it only if its WER agrees.

A CTC model needs no conversion, nor does an imported one that came in CTranslate2's format: the step's label `model`
names the one given.
"""

from __future__ import annotations

from tasks import storage
from tasks.contract import RESULT_NAME, InputRejected, Reason
from tasks.contract.arguments import ConvertModel
from tasks.dataset.manifest import load_manifest
from tasks.models.folder import CTRANSLATE2_FOLDER
from tasks.models.reference import MODEL_FOLDER
from tasks.step import StepContext, StepOutput, load_result
from training.families.family import ModelFamily

VERSION = 2


def inputs(arguments: ConvertModel) -> dict[str, str]:
    dataset = {"dataset": load_manifest(arguments.dataset)[1]} if arguments.dataset else {}
    return {"trained": load_result(arguments.trained).content_digest, **dataset}


def run(arguments: ConvertModel, context: StepContext) -> StepOutput:
    trained = load_result(arguments.trained)
    if trained.labels["family"] != ModelFamily.WHISPER:
        return _unconverted(arguments, "CTC needs no conversion")
    if f"{MODEL_FOLDER}{CTRANSLATE2_FOLDER}/model.bin" in trained.outputs:
        return _unconverted(arguments, "it came in CTranslate2's format")

    from tasks.models import fetch, resolve
    from training.finetuning.conversion import convert, measure_parity

    folder = convert(fetch(resolve(arguments.trained), context.scratch), arguments.quantization, context.scratch)
    dataset = arguments.dataset or trained.labels.get("dataset", "")
    parity = measure_parity(folder, dataset) if dataset else None
    if parity and parity.change > arguments.max_wer_change:
        raise InputRejected(
            f"the converted model has {100 * parity.converted.rate:.2f} % WER on {parity.utterances} utterances of the"
            f" {parity.split} split, the original {100 * parity.original.rate:.2f} %",
            reason=Reason.CONVERSION_DIFFERS,
            subject=arguments.trained,
            next_step=f"use a higher precision than --quantization={arguments.quantization}, or raise --max-wer-change",
        )
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        context.publish(f"model/{path.relative_to(folder).as_posix()}", path)
    labels = {"model": storage.join(context.prefix, RESULT_NAME), "converted": "yes"}
    if parity is None:
        return StepOutput(labels={**labels, "reason": "not compared with the original: no dataset was given"})
    return StepOutput(
        counts={"utterances": parity.utterances},
        metrics={
            "original_wer": parity.original.rate,
            "converted_wer": parity.converted.rate,
            "differing": parity.differing / parity.utterances,
        },
        labels={
            **labels,
            "reason": f"WER {100 * parity.converted.rate:.2f} % against {100 * parity.original.rate:.2f} %",
        },
    )


def _unconverted(arguments: ConvertModel, reason: str) -> StepOutput:
    return StepOutput(labels={"model": arguments.trained, "converted": "no", "reason": reason})
