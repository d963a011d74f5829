"""Spoken digits of people whom the model was never trained on, all of it human speech below `AIRSCRIPT_SPEECH`.

The base model is fine-tuned in two parts by the loop of the train step: on sentences (`train_pack`, `words`), once for
all; then on digits, three times for each speaker of `digits/isolated`, who is left out. The three differ in what is
said, where and in which order; the mean of their weights is the model (Wortsman et al., "Model soups", 2022). A quarter
of the speakers of `digits/strings` is left out with each: every string is read by the one model that never heard its
speaker, also not in `train_pack`. The last weights count: nothing is chosen by what is scored.

Single digits are heard in sittings, ten of a speaker in random order with pauses, as a night hears programmes: features
are normalised over what is heard at once. Each sitting is heard at five paces, and of each digit that word of the ten
counts which is likeliest by CTC over its frames in all of them together. Beside it stand the same heard once, every
digit heard alone, and what the model writes when any letters may come.
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
    Sitting,
    Studio,
    load,
    of,
    scored_sittings,
)
from benchmarks.support.harness import BASE, Machine, processor_seconds, this_machine
from benchmarks.support.small_dataset import Said, write_dataset
from tasks import storage
from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract.arguments import PresetName
from tasks.dataset.manifest import Split
from tasks.progress import no_progress
from tasks.recognition.ctc import CtcEngine
from training.data.audio_augmentation import change_speed
from training.families.model_folder import save_acoustic_model
from training.finetuning.distribution import launch_group
from training.finetuning.recipe import load_preset
from training.finetuning.session import RunSettings, run_session, run_worker
from training.scoring.errors import ErrorCounts, total, word_errors
from training.scoring.normaliser import normalise

SEED = 0
SENTENCE_RECIPE = {"steps": 12000, "learning_rate": 2e-3, "batch_seconds": 24}
DIGIT_RECIPE = {"steps": 380, "learning_rate": 2e-3, "batch_seconds": 32}
TAKES = 3
PROCESSES = 2  # a thread each: the model's products are too small to be shared out
PACES = (0.86, 0.92, 1.0, 1.08, 1.16)  # at which a sitting is heard: shorter and longer vocal tracts
NO_ALIGNMENT = 40.0  # stands for an infinite cost, which a mean over paces could not hold


@dataclass(frozen=True)
class Fold:
    """What the model that never heard `left_out` reads."""

    left_out: str
    digits: int
    right: float
    """Share of the digits, the ten words being all that may be said."""
    right_once: float
    """The same, heard at its own pace only."""
    right_alone: float
    """The same, each heard once and by itself."""
    written: ErrorCounts
    """The sittings, written letter by letter."""
    strings: ErrorCounts
    read: dict[str, float]
    """WER by folder."""
    train_s: float
    """Processor seconds."""


@dataclass(frozen=True)
class Findings:
    """What is printed and, with `--json`, written."""

    machine: Machine
    folds: list[Fold]
    right: float
    right_once: float
    right_alone: float
    written_wer: float
    strings_wer: float
    read: dict[str, float]
    processor_s: float
    """Of training and scoring together."""


def fine_tuned(folder: Path, base: Path, spoken: Iterable[Said], recipe: dict[str, float]) -> Path:
    """The folder of `base`, trained on with the demo's preset and `recipe` over it."""
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
        trained = run_session(session, group, metrics=lambda step, figures: None, progress=no_progress, stop=Event())  # noqa: ARG005
    save_acoustic_model(trained.model.module, base, folder / "model")
    return folder / "model"


def mean_of(models: Sequence[Path], folder: Path) -> Path:
    """`folder` with the mean of the models' weights. They are fine-tunings of one base."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(models[0], folder)
    weights = [load_file(model / "model.safetensors") for model in models]
    mean = {
        name: torch.stack([w[name].double() for w in weights]).mean(dim=0).to(value.dtype)
        for name, value in weights[0].items()
    }
    save_file(mean, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


class Reader:
    """A model that reads what it hears."""

    def __init__(self, model: Path) -> None:
        from transformers import AutoTokenizer

        self._engine = CtcEngine(model, "cpu")
        tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
        self._digits = [torch.tensor(tokenizer(word, add_special_tokens=False).input_ids) for word in DIGITS]

    def text(self, samples: np.ndarray) -> str:
        """Greedily, every letter open."""
        return normalise(self._engine.recognise([samples])[0].text)

    def digits(self, sitting: Sitting, paces: Sequence[float]) -> list[str]:
        """The likeliest of the ten words in each place."""
        costs = np.mean([self._costs(sitting, pace) for pace in paces], axis=0)
        return [DIGITS[place] for place in costs.argmin(axis=1)]

    def _costs(self, sitting: Sitting, pace: float) -> np.ndarray:
        """`(n_places, 10)` negative log likelihood of each word over all of its alignments.

        At most `NO_ALIGNMENT`: a fast digit can have fewer frames than a word has letters.
        """
        samples = sitting.samples if pace == 1 else change_speed(sitting.samples, pace, SAMPLE_RATE_HZ)
        (frames,) = self._engine.log_posteriors(self._engine.log_mel([samples]))
        heard = torch.from_numpy(frames)[:, None]  # (n_output_frames, 1, n_symbols)
        per_sample = len(frames) / len(sitting.samples)
        places = [heard[round(start * per_sample) : round(end * per_sample)] for start, end in sitting.places]
        costs = np.array([[self._cost(place, word) for word in self._digits] for place in places])
        return np.minimum(costs, NO_ALIGNMENT)

    def _cost(self, heard: torch.Tensor, word: torch.Tensor) -> float:
        lengths = torch.tensor([len(heard)]), torch.tensor([len(word)])
        return float(ctc_loss(heard, word[None], *lengths, blank=self._engine.blank, reduction="sum"))

    def right(self, sittings: Iterable[Sitting], paces: Sequence[float]) -> float:
        """Share of the recordings in which the digit was told."""
        return statistics.mean(
            told == recording.text
            for sitting in sittings
            for told, recording in zip(self.digits(sitting, paces), sitting.recordings, strict=True)
        )

    def errors(self, spoken: Iterable[Said | Sitting]) -> ErrorCounts:
        return total(word_errors(s.text, self.text(s.samples)) for s in spoken)


def run(speech: Path, folder: Path) -> Iterator[Fold]:
    """Train and score, one fold after the other."""
    spoken = load(speech)
    speakers = sorted({s.speaker for s in of(spoken, ISOLATED)})
    string_speakers = sorted({s.speaker for s in of(spoken, STRINGS)})
    common = fine_tuned(folder / "sentences", BASE, Studio(SEED).sentences(spoken), SENTENCE_RECIPE)
    for number, speaker in enumerate(speakers):
        began = processor_seconds()
        left_out = {speaker, *string_speakers[number :: len(speakers)]}
        takes = [
            fine_tuned(
                folder / speaker / f"take-{take}",
                common,
                Studio(SEED + 1 + take).digits(spoken, left_out),
                DIGIT_RECIPE | {"seed": SEED + take},
            )
            for take in range(TAKES)
        ]
        model = mean_of(takes, folder / speaker / "model")
        train_s = processor_seconds() - began
        reader, digits = Reader(model), [s for s in of(spoken, ISOLATED) if s.speaker == speaker]
        sittings, alone = (
            list(scored_sittings(digits, n, np.random.default_rng([SEED, 2]))) for n in (SCORED_DIGITS, 1)
        )
        yield Fold(
            left_out=speaker,
            digits=len(digits),
            right=reader.right(sittings, PACES),
            right_once=reader.right(sittings, [1.0]),
            right_alone=reader.right(alone, [1.0]),
            written=total(
                word_errors(" ".join(r.text for r in s.recordings), reader.text(s.samples)) for s in sittings
            ),
            strings=reader.errors([s for s in of(spoken, STRINGS) if s.speaker in left_out]),
            read={name: reader.errors(of(spoken, name)).rate for name in READ},
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
                f"{fold.left_out} left out: {100 * fold.right:.1f} % of {fold.digits} digits right,"
                f" {100 * fold.right_once:.1f} % heard once, {100 * fold.right_alone:.1f} % each alone;"
                f" {100 * fold.written.rate:.1f} % WER with open vocabulary; WER {wers(fold.read)};"
                f" {STRINGS[:-1]} {100 * fold.strings.rate:.1f} % of {fold.strings.length} words in voices left out",
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
        f"on average {100 * found.right:.1f} % right, {100 * found.right_once:.1f} % heard once,"
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
