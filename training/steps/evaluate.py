"""`evaluate`: score a model on one split of a dataset with the engine that production uses."""

from __future__ import annotations

from tasks.contract import InputRejected, Reason
from tasks.contract.arguments import Evaluate
from tasks.dataset.manifest import load_manifest
from tasks.models import ModelReference, fetch, resolve
from tasks.step import StepContext, StepOutput

VERSION = 4


def inputs(arguments: Evaluate) -> dict[str, str]:
    _, version = load_manifest(arguments.dataset)
    guard = {"out_of_domain": load_manifest(arguments.out_of_domain)[1]} if arguments.out_of_domain else {}
    return {"dataset": version, "model": resolve_or_fall_back(arguments)[0].digest, **guard}


def resolve_or_fall_back(arguments: Evaluate) -> tuple[ModelReference, bool]:
    """The model to score, and whether it is the fallback: before the first promotion there is no champion."""
    try:
        return resolve(arguments.model), False
    except InputRejected as error:
        if error.reason is not Reason.MODEL_NOT_FOUND or not arguments.fallback:
            raise
        return resolve(arguments.fallback), True


def run(arguments: Evaluate, context: StepContext) -> StepOutput:
    from tasks.recognition import load_engine
    from training.evaluation.measure import listen, rate_intervals
    from training.evaluation.nonspeech import find_invented_words
    from training.evaluation.records import EVALUATION, OUT_OF_DOMAIN, UTTERANCES, Evaluation, OutOfDomain
    from training.evaluation.slices import cut_slices
    from training.evaluation.sound import word_times
    from training.evaluation.units import choose_unit
    from training.finetuning.hardware import hardware, use_all_cores
    from training.registry.content import content_digest
    from training.scoring.errors import total
    from training.scoring.normaliser import NORMALISER

    use_all_cores()
    manifest, version = load_manifest(arguments.dataset)
    reference, fell_back = resolve_or_fall_back(arguments)
    context.confirm("model", reference.digest)
    folder = fetch(reference, context.scratch)
    engine = load_engine(folder)
    heard = listen(engine, manifest, arguments.split, arguments.dataset, context.progress)
    wer, cer = rate_intervals(heard.utterances)
    guard = None
    if arguments.out_of_domain:
        other, other_version = load_manifest(arguments.out_of_domain)
        elsewhere = listen(engine, other, "test", arguments.out_of_domain, context.progress)
        guard = OutOfDomain(
            dataset_name=other.name,
            dataset_version=other_version,
            utterances=len(elsewhere.utterances),
            words=total(u.words for u in elsewhere.utterances),
        )
        context.publish(OUT_OF_DOMAIN, "".join(u.model_dump_json() + "\n" for u in elsewhere.utterances).encode())
    times = word_times([u.edges for u in heard.utterances if u.edges])
    evaluation = Evaluation(
        model_version=reference.version,
        model_digest=content_digest(folder),
        engine=engine.name,
        dataset_name=manifest.name,
        dataset_version=version,
        split=arguments.split,
        normaliser=NORMALISER,
        utterances=len(heard.utterances),
        hours=heard.audio_s / 3600,
        words=total(u.words for u in heard.utterances),
        characters=total(u.characters for u in heard.utterances),
        resampled=choose_unit([u.programme_id for u in heard.utterances]),
        wer=wer,
        cer=cer,
        slices=cut_slices(heard.utterances),
        invented=find_invented_words(engine),
        word_times=times,
        out_of_domain=guard,
    )
    context.publish(EVALUATION, evaluation.model_dump_json(indent=1).encode() + b"\n")
    context.publish(UTTERANCES, "".join(u.model_dump_json() + "\n" for u in heard.utterances).encode())
    return StepOutput(
        counts={
            "utterances": evaluation.utterances,
            "reference_words": evaluation.words.length,
            "substitutions": evaluation.words.substitutions,
            "deletions": evaluation.words.deletions,
            "insertions": evaluation.words.insertions,
        },
        metrics={
            "wer": wer.value,
            "wer_low": wer.low,
            "wer_high": wer.high,
            "cer": cer.value,
            "rtfx": heard.rtfx,
            "invented_words_per_minute": evaluation.invented_words_per_minute,
            "hours": evaluation.hours,
            **({"word_time_error_ms": times.median_ms} if times else {}),
            **({"out_of_domain_wer": guard.words.rate} if guard else {}),
        },
        labels={
            "model": reference.version,
            "fell_back": "yes" if fell_back else "no",
            "dataset_version": version,
            "normaliser": NORMALISER,
            "resampled": evaluation.resampled,
            "hardware": hardware(),
        },
        warnings=(f"{arguments.model} does not exist yet: scored {reference.version} instead",) if fell_back else (),
    )
