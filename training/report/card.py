"""The model card: where a model comes from, what it was measured to do, and what it is known not to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tasks.contract import StepResult
from tasks.dataset.manifest import DatasetManifest
from training.evaluation.records import Comparison, Evaluation, RateInterval
from training.finetuning.recipe import Recipe

WORST_SLICES = 5
MIN_SLICE_WORDS = 50


@dataclass(frozen=True)
class Sources:
    """What a version was made of."""

    name: str
    trained: StepResult
    recipe: Recipe
    converted: StepResult
    manifest: DatasetManifest


def model_card(sources: Sources, evaluation: Evaluation, evaluated: StepResult, comparison: Comparison) -> str:
    """Markdown, after M. Mitchell et al., "Model Cards for Model Reporting" (2019)."""
    trained, recipe, manifest = sources.trained, sources.recipe, sources.manifest
    adapters = f", adapters of rank {recipe.lora_rank}" if recipe.lora_rank else ""
    lines = [
        f"# {sources.name}: {trained.labels['family']}",
        "",
        f"Fine-tuned from `{trained.labels['base']}` by airscript {trained.code_version}:"
        f" {trained.counts['steps']} steps of {recipe.batch_seconds:g} s{adapters},"
        f" peak learning rate {recipe.learning_rate:g}, seed {recipe.seed}; the weights after step"
        f" {trained.labels['best_step']} were kept. {trained.metrics['trained_audio_hours']:.2f} hours of audio were"
        f" seen in {trained.metrics['train_seconds']:.0f} s on {trained.labels['hardware']}.",
        "",
        f"Weights are safetensors. Converted to CTranslate2: {sources.converted.labels['converted']}"
        f" ({sources.converted.labels['reason']}).",
        "",
        "## Data",
        "",
        f"Dataset `{manifest.name}`, version `{trained.labels['dataset_version']}`, language {manifest.language}.",
        "",
        "| split | programmes | utterances | hours |",
        "|---|---:|---:|---:|",
    ]
    for split, kept in manifest.kept.items():
        lines.append(f"| {split} | {manifest.programmes.get(split, 0)} | {kept.count} | {kept.hours:.2f} |")
    lines += ["", "Left out:", ""]
    left_out = [
        f"- {step}, {reason}: {tally.count} ({tally.hours:.2f} h)"
        for step, reasons in manifest.account.dropped.items()
        for reason, tally in reasons.items()
    ]
    left_out += [f"- train, {r.partition(':')[2]}: {n}" for r, n in trained.counts.items() if r.startswith("rejected:")]
    lines += left_out or ["- nothing"]
    lines += ["", "What the dataset was made with:", ""]
    lines += [
        f"- {step}: {', '.join(f'{name} {value}' for name, value in arguments.items())}"
        for step, arguments in manifest.configuration.items()
    ]
    lines.append(f"- captions held against: {', '.join(manifest.matched_by) or 'nothing'}")
    lines += [
        "",
        "## Figures",
        "",
        f"On the {evaluation.split} split ({evaluation.utterances} utterances, {evaluation.hours:.2f} h), normaliser"
        f" `{evaluation.normaliser}`, engine {evaluation.engine}; 95 % intervals by bootstrap over"
        f" {evaluation.resampled}s.",
        "",
        f"- WER {_rate(evaluation.wer)}: {evaluation.words.substitutions} substitutions,"
        f" {evaluation.words.deletions} deletions, {evaluation.words.insertions} insertions in"
        f" {evaluation.words.length} words",
        f"- CER {_rate(evaluation.cer)}",
        f"- {evaluation.invented_words_per_minute:.1f} words a minute heard in sounds without speech",
        f"- {evaluated.metrics['rtfx']:.0f} times real time on {evaluated.labels['hardware']}",
        *_measured(evaluation),
        f"- against {comparison.champion}: {'; '.join(comparison.reasons)}",
        "",
        "## Where it is weak",
        "",
    ]
    worst = sorted(
        (part for part in evaluation.slices if part.words.length >= MIN_SLICE_WORDS),
        key=lambda part: -part.words.rate,
    )[:WORST_SLICES]
    lines += [
        f"- {part.kind} {part.value}: WER {100 * part.words.rate:.1f} % of {part.words.length} words" for part in worst
    ]
    lines += [
        f"- hears {found.words} words in {found.seconds:g} s of {found.sound}"
        for found in evaluation.invented
        if found.words
    ]
    lines += [
        "",
        "## Use",
        "",
        "Transcribing broadcast speech in the dataset's language. It was measured on nothing else: other languages,"
        " domains and microphones need an evaluation of their own.",
        "",
    ]
    return "\n".join(lines)


def _measured(evaluation: Evaluation) -> Iterator[str]:
    if times := evaluation.word_times:
        yield (
            f"- words are {times.median_ms:.0f} ms off at the median, 9 of 10 within {times.p90_ms:.0f} ms"
            f" ({times.edges} beginnings and ends of speech)"
        )
    if other := evaluation.out_of_domain:
        yield f"- WER {100 * other.words.rate:.2f} % on {other.dataset_name}, which it was not fine-tuned on"


def _rate(rate: RateInterval) -> str:
    return f"{100 * rate.value:.2f} % ({100 * rate.low:.2f} to {100 * rate.high:.2f})"
