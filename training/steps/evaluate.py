"""`evaluate`: score a model on one split of a dataset with the engine that production uses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.contract.arguments import Evaluate
from tasks.dataset.manifest import load_manifest
from tasks.models import ModelReference, fetch, resolve_or_fall_back
from tasks.step import StepContext, StepOutput

if TYPE_CHECKING:
    from tasks.recognition import Engine
    from training.evaluation.measure import ScoredSplit
    from training.evaluation.records import Evaluation, OutOfDomain, ScoredUtterance

VERSION = 4


def inputs(arguments: Evaluate) -> dict[str, str]:
    _, version = load_manifest(arguments.dataset)
    guard = {"out_of_domain": load_manifest(arguments.out_of_domain)[1]} if arguments.out_of_domain else {}
    return {"dataset": version, "model": _resolve(arguments)[0].digest, **guard}


def _resolve(arguments: Evaluate) -> tuple[ModelReference, bool]:
    return resolve_or_fall_back(arguments.model, arguments.fallback)


def run(arguments: Evaluate, context: StepContext) -> StepOutput:
    from tasks.recognition import load_engine
    from training.evaluation.measure import transcribe_split
    from training.evaluation.records import EVALUATION, UTTERANCES
    from training.finetuning.hardware import use_all_cores

    use_all_cores()
    manifest, _ = load_manifest(arguments.dataset)
    reference, fell_back = _resolve(arguments)
    context.confirm("model", reference.digest)
    folder = fetch(reference, context.scratch)
    engine = load_engine(folder)
    scored = transcribe_split(engine, manifest, arguments.split, arguments.dataset, context.progress)
    out_of_domain = _score_out_of_domain(engine, arguments.out_of_domain, context) if arguments.out_of_domain else None
    evaluation = _evaluation(arguments, reference, folder, engine, scored, out_of_domain)
    context.publish(EVALUATION, evaluation.model_dump_json(indent=1).encode() + b"\n")
    context.publish(UTTERANCES, _to_jsonl(scored.utterances))
    warnings = (f"{arguments.model} does not exist yet: scored {reference.version} instead",) if fell_back else ()
    return _output(evaluation, scored, fell_back, warnings)


def _score_out_of_domain(engine: Engine, dataset: str, context: StepContext) -> OutOfDomain:
    """Transcribe the test split of another dataset, and publish its scored utterances."""
    from tasks.transcripts.error_counts import total
    from training.evaluation.measure import transcribe_split
    from training.evaluation.records import OUT_OF_DOMAIN, OutOfDomain

    manifest, version = load_manifest(dataset)
    scored = transcribe_split(engine, manifest, "test", dataset, context.progress)
    context.publish(OUT_OF_DOMAIN, _to_jsonl(scored.utterances))
    return OutOfDomain(
        dataset_name=manifest.name,
        dataset_version=version,
        utterances=len(scored.utterances),
        words=total(u.words for u in scored.utterances),
    )


def _evaluation(
    arguments: Evaluate,
    reference: ModelReference,
    folder: Path,
    engine: Engine,
    scored: ScoredSplit,
    out_of_domain: OutOfDomain | None,
) -> Evaluation:
    from tasks.models.content import content_digest
    from tasks.transcripts.error_counts import total
    from tasks.transcripts.normaliser import NORMALISER
    from training.evaluation.acoustics import summarise_boundary_errors
    from training.evaluation.measure import rate_intervals
    from training.evaluation.nonspeech import find_hallucinations
    from training.evaluation.records import Evaluation
    from training.evaluation.resampling import choose_unit
    from training.evaluation.slices import score_slices

    manifest, version = load_manifest(arguments.dataset)
    utterances = scored.utterances
    wer, cer = rate_intervals(utterances)
    return Evaluation(
        model_version=reference.version,
        model_digest=content_digest(folder),
        engine=engine.name,
        dataset_name=manifest.name,
        dataset_version=version,
        split=arguments.split,
        normaliser=NORMALISER,
        utterances=len(utterances),
        hours=scored.audio_s / 3600,
        words=total(u.words for u in utterances),
        characters=total(u.characters for u in utterances),
        resampling_unit=choose_unit([u.programme_id for u in utterances]),
        wer=wer,
        cer=cer,
        slices=score_slices(utterances),
        invented=find_hallucinations(engine),
        word_times=summarise_boundary_errors([u.edges for u in utterances if u.edges]),
        out_of_domain=out_of_domain,
    )


def _to_jsonl(utterances: list[ScoredUtterance]) -> bytes:
    return "".join(u.model_dump_json() + "\n" for u in utterances).encode()


def _output(evaluation: Evaluation, scored: ScoredSplit, fell_back: bool, warnings: tuple[str, ...]) -> StepOutput:
    from training.finetuning.hardware import describe_hardware

    times, guard = evaluation.word_times, evaluation.out_of_domain
    return StepOutput(
        counts={
            "utterances": evaluation.utterances,
            "reference_words": evaluation.words.length,
            "substitutions": evaluation.words.substitutions,
            "deletions": evaluation.words.deletions,
            "insertions": evaluation.words.insertions,
        },
        metrics={
            "wer": evaluation.wer.value,
            "wer_low": evaluation.wer.low,
            "wer_high": evaluation.wer.high,
            "cer": evaluation.cer.value,
            "rtfx": scored.rtfx,
            "invented_words_per_minute": evaluation.hallucinated_words_per_minute,
            "hours": evaluation.hours,
            **({"word_time_error_ms": times.median_ms} if times else {}),
            **({"out_of_domain_wer": guard.words.rate} if guard else {}),
        },
        labels={
            "model": evaluation.model_version,
            "fell_back": "yes" if fell_back else "no",
            "dataset_version": evaluation.dataset_version,
            "normaliser": evaluation.normaliser,
            "resampled": evaluation.resampling_unit,
            "hardware": describe_hardware(),
        },
        warnings=warnings,
    )
