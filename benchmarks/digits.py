"""Recognition of spoken digits of unseen speakers, all of it human speech below `AIRSCRIPT_SPEECH`.

The base model is fine-tuned in two stages with the training loop of the train step: on sentences (`train_pack`,
`words`), once; then on digits, three times for each speaker of `digits/isolated`, who is left out. The three takes
differ in sampled utterances, augmentation and order; the mean of their weights is the model (Wortsman et al., "Model
soups", 2022). With each speaker a quarter of the speakers of `digits/strings` is left out: every string is recognised
by the one model that has not seen its speaker, not even in `train_pack`. The final weights are used, so that nothing is
selected on the test data.

Isolated digits are recognised in sittings, ten of a speaker in random order with pauses, because features are
normalised over the whole input, as in a night. Each sitting is decoded at five speeds, and for each digit the word of
the ten with the highest CTC likelihood over all five is chosen. For comparison: the original speed only, every digit
alone, and greedy decoding with an open vocabulary.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event

import numpy as np
import torch
from torch.nn.functional import ctc_loss

from benchmarks.support.digit_data import (
    DIGITS,
    ISOLATED,
    READ,
    SCORED_DIGITS,
    STRINGS,
    DigitAugmenter,
    Sitting,
    load,
    of,
    scored_sittings,
)
from benchmarks.support.harness import BASE, Machine, processor_seconds, this_machine
from benchmarks.support.small_dataset import SpokenUtterance, write_dataset
from tasks import storage
from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract.recipe import PresetName
from tasks.dataset.manifest import Split
from tasks.progress import no_progress
from tasks.recognition.ctc import CtcEngine
from tasks.transcripts.error_counts import ErrorCounts, total
from tasks.transcripts.normaliser import normalise
from training.data.audio_augmentation import change_speed
from training.families.model_folder import save_acoustic_model
from training.finetuning.distribution import launch_group
from training.finetuning.recipe import load_preset
from training.finetuning.session import RunSettings, run_session, run_worker
from training.scoring.errors import word_errors

SEED = 0
SENTENCE_RECIPE = {"steps": 12000, "learning_rate": 2e-3, "batch_seconds": 24}
DIGIT_RECIPE = {"steps": 380, "learning_rate": 2e-3, "batch_seconds": 32}
TAKES = 3
PROCESSES = 2  # with one thread each: the model's matrices are too small for several threads
SPEEDS = (0.86, 0.92, 1.0, 1.08, 1.16)  # at which a sitting is decoded: shorter and longer vocal tracts
MAX_COST = 40.0  # replaces an infinite cost, so that the mean over speeds stays finite


@dataclass(frozen=True)
class Fold:
    """The results of the model that was trained without `left_out`."""

    left_out: str
    digits: int
    right: float
    """Accuracy with a closed vocabulary of ten words."""
    right_once: float
    """The same, at the original speed only."""
    right_alone: float
    """The same, each digit decoded alone, at the original speed."""
    written: ErrorCounts
    """Word errors of the sittings with an open vocabulary."""
    strings: ErrorCounts
    read: dict[str, float]
    """WER by folder."""
    train_s: float
    """Processor seconds."""


@dataclass(frozen=True)
class Findings:
    """The benchmark's results."""

    machine: Machine
    folds: list[Fold]
    right: float
    right_once: float
    right_alone: float
    written_wer: float
    strings_wer: float
    read: dict[str, float]
    processor_s: float
    """Processor seconds of training and scoring."""


def fine_tuned(folder: Path, base: Path, spoken: Iterable[SpokenUtterance], recipe: dict[str, float]) -> Path:
    """Fine-tune `base` with the demo's preset and the changes of `recipe`; returns the model's folder."""
    dataset = write_dataset(folder / "dataset", {Split.TRAIN: spoken})
    scratch = folder / "scratch"
    scratch.mkdir()
    session = RunSettings(
        dataset=dataset,
        base=base,
        recipe=load_preset(PresetName.DEMO).recipe.model_copy(update=recipe),
        checkpoints=storage.file_uri(folder / "checkpoints"),
        attempt="first",
        scratch=scratch,
    )
    with launch_group(PROCESSES, run_worker, session) as group:
        trained = run_session(
            session,
            group,
            log_metrics=lambda step, metrics: None,  # noqa: ARG005
            progress=no_progress,
            stop=Event(),
        )
    save_acoustic_model(trained.model.module, base, folder / "model")
    return folder / "model"


def average_weights(models: Sequence[Path], folder: Path) -> Path:
    """Write the mean of the weights of models fine-tuned from one base to `folder`, which is returned."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(models[0], folder)
    weights = [load_file(model / "model.safetensors") for model in models]
    mean = {
        name: torch.stack([w[name].double() for w in weights]).mean(dim=0).to(value.dtype)
        for name, value in weights[0].items()
    }
    save_file(mean, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


class DigitRecogniser:
    """Recognises with one model: closed vocabulary of digits, or greedily."""

    def __init__(self, model: Path) -> None:
        from transformers import AutoTokenizer

        self._engine = CtcEngine(model, "cpu")
        tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
        self._digits = [torch.tensor(tokenizer(word, add_special_tokens=False).input_ids) for word in DIGITS]

    def text(self, samples: np.ndarray) -> str:
        """Greedy decoding with an open vocabulary, normalised."""
        return normalise(self._engine.recognise([samples])[0].text)

    def digits(self, sitting: Sitting, speeds: Sequence[float]) -> list[str]:
        """The most likely of the ten words for each recording."""
        costs = np.mean([self._costs(sitting, speed) for speed in speeds], axis=0)  # (n_recordings, 10)
        return [DIGITS[index] for index in costs.argmin(axis=1)]

    def _costs(self, sitting: Sitting, speed: float) -> np.ndarray:
        """`(n_recordings, 10)` negative log-likelihood of each word over all of its alignments.

        At most `MAX_COST`: a fast digit can have fewer frames than a word has letters.
        """
        samples = sitting.samples if speed == 1 else change_speed(sitting.samples, speed, SAMPLE_RATE_HZ)
        (frames,) = self._engine.log_posteriors(self._engine.log_mel([samples]))
        posteriors = torch.from_numpy(frames)[:, None]  # (n_output_frames, 1, n_symbols)
        per_sample = len(frames) / len(sitting.samples)
        parts = [posteriors[round(start * per_sample) : round(end * per_sample)] for start, end in sitting.spans]
        costs = np.array([[self._cost(part, word) for word in self._digits] for part in parts])
        return np.minimum(costs, MAX_COST)

    def _cost(self, posteriors: torch.Tensor, word: torch.Tensor) -> float:
        lengths = torch.tensor([len(posteriors)]), torch.tensor([len(word)])
        return float(ctc_loss(posteriors, word[None], *lengths, blank=self._engine.blank, reduction="sum"))

    def accuracy(self, sittings: Iterable[Sitting], speeds: Sequence[float]) -> float:
        """Share of the recordings whose digit is recognised."""
        return statistics.mean(
            recognised == recording.text
            for sitting in sittings
            for recognised, recording in zip(self.digits(sitting, speeds), sitting.recordings, strict=True)
        )

    def errors(self, spoken: Iterable[SpokenUtterance | Sitting]) -> ErrorCounts:
        return total(word_errors(s.text, self.text(s.samples)) for s in spoken)


def run(speech: Path, folder: Path) -> Iterator[Fold]:
    """Train and score the folds one after the other."""
    spoken = load(speech)
    speakers = sorted({s.speaker for s in of(spoken, ISOLATED)})
    string_speakers = sorted({s.speaker for s in of(spoken, STRINGS)})
    common = fine_tuned(folder / "sentences", BASE, DigitAugmenter(SEED).sentences(spoken), SENTENCE_RECIPE)
    for number, speaker in enumerate(speakers):
        began = processor_seconds()
        left_out = {speaker, *string_speakers[number :: len(speakers)]}
        takes = [
            fine_tuned(
                folder / speaker / f"take-{take}",
                common,
                DigitAugmenter(SEED + 1 + take).digits(spoken, left_out),
                DIGIT_RECIPE | {"seed": SEED + take},
            )
            for take in range(TAKES)
        ]
        model = average_weights(takes, folder / speaker / "model")
        train_s = processor_seconds() - began
        recogniser, digits = DigitRecogniser(model), [s for s in of(spoken, ISOLATED) if s.speaker == speaker]
        sittings, alone = (
            list(scored_sittings(digits, n, np.random.default_rng([SEED, 2]))) for n in (SCORED_DIGITS, 1)
        )
        yield Fold(
            left_out=speaker,
            digits=len(digits),
            right=recogniser.accuracy(sittings, SPEEDS),
            right_once=recogniser.accuracy(sittings, [1.0]),
            right_alone=recogniser.accuracy(alone, [1.0]),
            written=total(
                word_errors(" ".join(r.text for r in s.recordings), recogniser.text(s.samples)) for s in sittings
            ),
            strings=recogniser.errors([s for s in of(spoken, STRINGS) if s.speaker in left_out]),
            read={name: recogniser.errors(of(spoken, name)).rate for name in READ},
            train_s=train_s,
        )
        shutil.rmtree(folder / speaker)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    speech = os.environ.get("AIRSCRIPT_SPEECH")
    if not speech:
        parser.error("set AIRSCRIPT_SPEECH to the folder of human speech: there is nothing to train on without it")
    folds = []
    with tempfile.TemporaryDirectory() as folder:
        for fold in run(Path(speech), Path(folder)):
            print(
                f"{fold.left_out} left out: {100 * fold.right:.1f} % of {fold.digits} digits correct,"
                f" {100 * fold.right_once:.1f} % at one speed, {100 * fold.right_alone:.1f} % each alone;"
                f" {100 * fold.written.rate:.1f} % WER with open vocabulary; WER {wers(fold.read)};"
                f" {STRINGS[:-1]} {100 * fold.strings.rate:.1f} % of {fold.strings.length} words of speakers left out",
                flush=True,
            )
            folds.append(fold)
    found = Findings(
        machine=this_machine(),
        folds=folds,
        right=statistics.mean(fold.right for fold in folds),
        right_once=statistics.mean(fold.right_once for fold in folds),
        right_alone=statistics.mean(fold.right_alone for fold in folds),
        written_wer=total(fold.written for fold in folds).rate,
        strings_wer=total(fold.strings for fold in folds).rate,
        read={name: statistics.mean(fold.read[name] for fold in folds) for name in READ},
        processor_s=processor_seconds(),
    )
    print(
        f"on average {100 * found.right:.1f} % correct, {100 * found.right_once:.1f} % at one speed,"
        f" {100 * found.right_alone:.1f} % each alone;"
        f" {100 * found.written_wer:.1f} % WER with open vocabulary;"
        f" WER {wers(found.read)}; {STRINGS[:-1]} {100 * found.strings_wer:.1f} %;"
        f" {found.processor_s / 60:.0f} processor minutes"
    )
    if options.json:
        figures = json.loads(json.dumps(asdict(found), default=ErrorCounts.model_dump))
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def wers(found: dict[str, float]) -> str:
    return ", ".join(f"{name[:-1]} {100 * wer:.1f} %" for name, wer in found.items())


if __name__ == "__main__":
    main()
