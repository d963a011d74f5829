"""What a training's report is made of: the results of the steps before it, and audio of the worst utterances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tasks.contract import StepResult
from tasks.dataset.manifest import DatasetManifest, read_batches
from tasks.step import load_result
from training.evaluation.records import Comparison, Evaluation, ScoredUtterance, load_evaluation, load_utterances
from training.finetuning.records import load_curve

N_WORST = 12


@dataclass(frozen=True)
class RunMaterial:
    """One run's results."""

    name: str
    trained: StepResult
    losses: Sequence[float | None]
    validation_wers: Sequence[tuple[int, float]]
    evaluation: Evaluation
    evaluated: StepResult
    utterances: Sequence[ScoredUtterance]
    comparison: Comparison
    audio: Mapping[str, bytes]
    """FLAC of the worst utterances, by id."""


def load_material(
    name: str, trained: str, evaluation: str, comparison: Comparison, manifest: DatasetManifest
) -> RunMaterial:
    """Load one run. `trained` and `evaluation` are URIs of results."""
    curve = load_curve(trained)
    evaluated = load_evaluation(evaluation)
    utterances = list(load_utterances(evaluation))
    return RunMaterial(
        name=name,
        trained=load_result(trained),
        losses=curve.losses,
        validation_wers=curve.validation_wers,
        evaluation=evaluated,
        evaluated=load_result(evaluation),
        utterances=utterances,
        comparison=comparison,
        audio=_audio(manifest, evaluated.split, {u.utterance_id for u in worst_utterances(utterances)}),
    )


def worst_utterances(utterances: Sequence[ScoredUtterance]) -> list[ScoredUtterance]:
    """The utterances with the most word errors; among equals the shorter, where more of it is wrong."""
    wrong = [u for u in utterances if u.words.errors]
    return sorted(wrong, key=lambda u: (-u.words.errors, u.words.length, u.utterance_id))[:N_WORST]


def _audio(manifest: DatasetManifest, split: str, wanted: set[str]) -> dict[str, bytes]:
    """FLAC bytes of the wanted utterances, by id."""
    found: dict[str, bytes] = {}
    for batch in read_batches(manifest, split, ["utterance_id", "audio"]):
        for row, utterance_id in enumerate(batch.column("utterance_id").to_pylist()):
            if utterance_id in wanted:
                found[utterance_id] = batch.column("audio")[row].as_py()
    return found
