"""The page's material from the results of the steps before it."""

from __future__ import annotations

from tasks.dataset.manifest import DatasetManifest, read_batches
from tasks.step import load_result
from training.evaluation.records import Comparison, load_evaluation, load_utterances
from training.finetuning.records import load_curve
from training.report.page import RunMaterial, run_page, worst

REPORT = "report.html"


def build_report(name: str, trained: str, evaluation: str, comparison: Comparison, manifest: DatasetManifest) -> bytes:
    """The page about one run. `trained` and `evaluation` are URIs of results; the worst utterances get their audio."""
    train_result = load_result(trained)
    curve = load_curve(trained)
    evaluated = load_evaluation(evaluation)
    utterances = list(load_utterances(evaluation))
    run = RunMaterial(
        name=name,
        trained=train_result,
        losses=curve.losses,
        validation_wers=curve.validation_wers,
        evaluation=evaluated,
        evaluated=load_result(evaluation),
        utterances=utterances,
        comparison=comparison,
    )
    wanted = {utterance.utterance_id for utterance in worst(utterances)}
    return run_page(run, _audio(manifest, evaluated.split, wanted)).encode()


def _audio(manifest: DatasetManifest, split: str, wanted: set[str]) -> dict[str, bytes]:
    """FLAC bytes of the wanted utterances, by id."""
    found: dict[str, bytes] = {}
    for batch in read_batches(manifest, split, ["utterance_id", "audio"]):
        for row, utterance_id in enumerate(batch.column("utterance_id").to_pylist()):
            if utterance_id in wanted:
                found[utterance_id] = batch.column("audio")[row].as_py()
    return found
