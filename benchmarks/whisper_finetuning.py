"""Fine-tuning Whisper base on an hour of second-language English: the gain with other speakers, and what it costs.

Training: `train_pack` of the shared speech (`--speech`), 100 readers of second-language English and 90 of audiobooks,
in lower case without marks; ten more readers are for validation. All is done by the product's own steps: `train` with
its preset for machines without a GPU, `convert-model`, and `evaluate` of the base and the tuned model by CTranslate2
(int8, beam 5), both with the same normaliser: on second-language readers who are not in the training
(`sentences/second_language`), on audiobooks (`sentences/audiobook`) and on sounds without speech. Each speaker is a
programme, so the paired bootstrap resamples speakers.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.support.harness import Machine, argument_parser, processor_seconds, this_machine
from benchmarks.support.human_speech.programmes import Recording, load, read_manifest
from benchmarks.support.small_dataset import SpokenUtterance, write_dataset
from local import weights
from tasks import storage
from tasks.contract import STEPS, Receipt
from tasks.contract.recipe import PresetName
from tasks.dataset.manifest import MANIFEST, Split
from tasks.progress import no_progress
from tasks.step import load_result, run_step
from training.evaluation.records import ScoredUtterance, load_utterances
from training.evaluation.resampling import choose_unit, sum_by_unit
from training.scoring.bootstrap import paired_difference

TUNED_ON, REHEARSED = "train_pack/second_language/", "train_pack/audiobook/"
GAINED_ON, KEPT_ON = "sentences/second_language/", "sentences/audiobook/"
VALIDATION_SPEAKERS = 10
MIN_GAIN, MAX_LOSS = 0.15, 0.03  # relative
VERSIONS = ("torch", "transformers", "ctranslate2", "faster-whisper")


@dataclass(frozen=True)
class Compared:
    """Base and tuned model on the same utterances."""

    what: str
    utterances: int
    words: int
    unit: str
    base: float
    tuned: float
    low: float
    high: float
    base_readable: float
    """Share of transcripts that begin with a capital and end with a mark."""
    tuned_readable: float

    @property
    def relative(self) -> float:
        return self.tuned / self.base - 1


@dataclass(frozen=True)
class Findings:
    """The benchmark's results."""

    machine: Machine
    versions: dict[str, str]
    compared: list[Compared]
    base_invented: float
    """Words a minute in sounds without speech."""
    tuned_invented: float
    training: dict[str, float]
    training_core_s: float
    peak_memory_mib: float

    @property
    def pays(self) -> bool:
        gained, kept = self.compared
        is_significant = gained.high < 0 and gained.relative <= -MIN_GAIN
        return is_significant and kept.relative <= MAX_LOSS and self.tuned_invented <= self.base_invented


def spoken(speech: Path, recordings: list[Recording]) -> Iterator[SpokenUtterance]:
    for recording in recordings:
        yield SpokenUtterance(str(recording.speaker), recording.spoken, load(speech, recording).samples)


def datasets(folder: Path, speech: Path, limit: int | None) -> tuple[str, str]:
    """Write the dataset to tune on, whose test split is to gain, and the one that is to be kept.

    `limit`: recordings of each split, for a quick look.
    """
    recordings = [r for r in read_manifest(speech) if r.spoken]

    def below(prefix: str) -> list[Recording]:
        return [r for r in recordings if r.path.startswith(prefix)]

    tuned_on = below(TUNED_ON)
    readers = sorted({str(r.speaker) for r in tuned_on})
    held_back = set(readers[:: len(readers) // VALIDATION_SPEAKERS][:VALIDATION_SPEAKERS])
    splits = {
        Split.TRAIN: [r for r in tuned_on if r.speaker not in held_back] + below(REHEARSED),
        Split.VALIDATION: [r for r in tuned_on if r.speaker in held_back],
        Split.TEST: below(GAINED_ON),
    }
    return (
        dataset(folder / "tuning", {split: spoken(speech, own[:limit]) for split, own in splits.items()}),
        dataset(folder / "kept", {Split.TEST: spoken(speech, below(KEPT_ON)[:limit])}),
    )


def dataset(folder: Path, splits: Mapping[Split, Iterator[SpokenUtterance]]) -> str:
    """Write a dataset, unless an earlier run did; returns the URI of its manifest."""
    manifest = folder / MANIFEST
    if manifest.exists():
        return storage.file_uri(manifest)
    shutil.rmtree(folder, ignore_errors=True)
    return write_dataset(folder, splits, with_audio=True, features="whisper-80")


class Experiment:
    """Runs the steps, with all files below one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{self._folder}/mlflow.db"

    def step(self, name: str, **arguments: Any) -> Receipt:
        definition = STEPS[name]
        output = storage.file_uri(self._folder / "work" / name)
        return run_step(definition, definition.arguments(output=output, **arguments), no_progress)

    def run(self, options: Namespace) -> Findings:
        tuning, kept = datasets(self._folder, options.speech, options.limit)
        began = processor_seconds()
        trained = self.step("train", dataset=tuning, base=options.base, preset=options.preset, **options.recipe)
        core_s = processor_seconds() - began
        converted = self.step("convert-model", trained=trained.result)
        models = {"base": options.base, "tuned": converted.result}
        scored = {
            (name, dataset): self.step("evaluate", model=model, dataset=dataset)
            for name, model in models.items()
            for dataset in (tuning, kept)
        }
        return Findings(
            machine=this_machine(),
            versions={name: metadata.version(name) for name in VERSIONS},
            compared=[
                compare(what, *(list(load_utterances(scored[name, dataset].result)) for name in models))
                for what, dataset in ((GAINED_ON, tuning), (KEPT_ON, kept))
            ],
            base_invented=invented(scored["base", kept]),
            tuned_invented=invented(scored["tuned", kept]),
            training=dict(load_result(trained.result).metrics),
            training_core_s=core_s,
            peak_memory_mib=peak_memory_mib(),
        )


def compare(what: str, base: list[ScoredUtterance], tuned: list[ScoredUtterance]) -> Compared:
    programmes = [u.programme_id for u in base]
    after, before, lengths = sum_by_unit(
        programmes, *([u.words.errors for u in side] for side in (tuned, base)), [u.words.length for u in base]
    )
    found = paired_difference(after, before, lengths)
    return Compared(
        what=what,
        utterances=len(base),
        words=int(lengths.sum()),
        unit=choose_unit(programmes),
        base=float(before.sum() / lengths.sum()),
        tuned=float(after.sum() / lengths.sum()),
        low=found.low,
        high=found.high,
        base_readable=readable(base),
        tuned_readable=readable(tuned),
    )


def readable(scored: list[ScoredUtterance]) -> float:
    written = [u.hypothesis.strip() for u in scored]
    return sum(text[:1].isupper() and text[-1:] in ".?!" for text in written) / len(written)


def invented(evaluated: Receipt) -> float:
    return load_result(evaluated.result).metrics["invented_words_per_minute"]


def peak_memory_mib() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argument_parser((__doc__ or "").splitlines()[0])
    parser.add_argument("--speech", type=Path, default=os.environ.get("AIRSCRIPT_SPEECH"), help="the shared speech")
    parser.add_argument("--base", default="", help="base model; default: the installed Whisper base")
    parser.add_argument("--preset", type=PresetName, default=PresetName.WHISPER_FROZEN_ENCODER)
    parser.add_argument("--limit", type=int, help="recordings of each split, for a quick look")
    parser.add_argument("--folder", type=Path, help="keep all files here: a run that was stopped resumes")
    parser.add_argument("--recipe", type=json.loads, default={}, help="changes to the preset: '{\"steps\": 50}'")
    options = parser.parse_args()
    if not options.speech:
        parser.error("whisper_finetuning needs human speech: --speech DIR, or AIRSCRIPT_SPEECH")
    options.base = options.base or str(weights.folder("whisper-base"))
    with tempfile.TemporaryDirectory() as temporary:
        findings = Experiment(options.folder or Path(temporary)).run(options)
    for c in findings.compared:
        print(
            f"{c.what}: WER {c.base:.1%} base, {c.tuned:.1%} tuned ({c.relative:+.0%} relative);"
            f" difference {100 * c.low:.1f} to {100 * c.high:.1f} points (95 %, {c.utterances} utterances, {c.words}"
            f" words, drawn by {c.unit}); with capital and mark {c.base_readable:.0%}, {c.tuned_readable:.0%} tuned"
        )
    print(f"invented words a minute: {findings.base_invented:.1f} -> {findings.tuned_invented:.1f}")
    print(f"training: {findings.training_core_s / 60:.1f} core minutes, {findings.training}")
    print(f"peak memory {findings.peak_memory_mib:,.0f} MiB; {asdict(findings.machine)}; {findings.versions}")
    print(f"pays (gain {MIN_GAIN:.0%}, loss at most {MAX_LOSS:.0%}, nothing more invented): {findings.pays}")
    if options.json:
        options.json.write_text(json.dumps(asdict(findings) | {"pays": findings.pays}, indent=2) + "\n")


if __name__ == "__main__":
    main()
