"""`convert-model`: convert a Whisper to CTranslate2, which nights decode with, and accept it only if its WER agrees.

A CTC model needs no conversion: the step's label `model` names the trained one.
"""

from __future__ import annotations

from tasks import storage
from tasks.contract import RESULT_NAME, InputRejected, Reason
from tasks.contract.arguments import ConvertModel
from tasks.step import StepContext, StepOutput, load_result
from training.families.family import ModelFamily

VERSION = 2


def inputs(arguments: ConvertModel) -> dict[str, str]:
    return {"trained": load_result(arguments.trained).content_digest}


def run(arguments: ConvertModel, context: StepContext) -> StepOutput:
    trained = load_result(arguments.trained)
    if trained.labels["family"] != ModelFamily.WHISPER:
        return StepOutput(labels={"model": arguments.trained, "converted": "no", "reason": "CTC needs no conversion"})

    from tasks.models import fetch, resolve
    from training.finetuning.conversion import convert, measure_parity

    folder = convert(fetch(resolve(arguments.trained), context.scratch), arguments.quantization, context.scratch)
    parity = measure_parity(folder, trained.labels["dataset"])
    if parity.change > arguments.max_wer_change:
        raise InputRejected(
            f"the converted model has {100 * parity.converted.rate:.2f} % WER on {parity.utterances} utterances of the"
            f" {parity.split} split, the original {100 * parity.original.rate:.2f} %",
            reason=Reason.CONVERSION_DIFFERS,
            subject=arguments.trained,
            next_step=f"use a higher precision than --quantization={arguments.quantization}, or raise --max-wer-change",
        )
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        context.publish(f"model/{path.relative_to(folder).as_posix()}", path)
    return StepOutput(
        counts={"utterances": parity.utterances},
        metrics={
            "original_wer": parity.original.rate,
            "converted_wer": parity.converted.rate,
            "differing": parity.differing / parity.utterances,
        },
        labels={
            "model": storage.join(context.prefix, RESULT_NAME),
            "converted": "yes",
            "reason": f"WER {100 * parity.converted.rate:.2f} % against {100 * parity.original.rate:.2f} %",
        },
    )
