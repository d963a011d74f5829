"""Spoken digits of people whom the model was never trained on, all of it human speech below `AIRSCRIPT_SPEECH`.

The base model is fine-tuned in two parts by the loop of the train step: on sentences (`train_pack`, `words`), once for
all; then on digits, once for each speaker of `digits/isolated`, who is left out. A quarter of the speakers of
`digits/strings` is left out with each: every string is read by the one model that never heard its speaker, also not
in `train_pack`. The last weights count: nothing is chosen by what is scored.

A digit is the likeliest of the ten words, by CTC; beside it stands what the model writes when any letters may come.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Event

import numpy as np
import soxr
import torch
from torch.nn.functional import ctc_loss

from benchmarks.measure import BASE, Machine, processor_seconds, this_machine
from tasks import storage
from tasks.contract.arguments import PresetName
from tasks.corpus import flac
from tasks.corpus.dataset import LOCATIONS, DatasetManifest, Shard
from tasks.corpus.records import SAMPLE_RATE_HZ, Split
from tasks.corpus.schema import RowWriter, dataset_schema
from tasks.corpus.summary import Summary, Tally
from tasks.features.config import parakeet
from tasks.features.logmel import LogMel
from tasks.media.decode import load_audio
from tasks.progress import no_progress
from tasks.recognition.ctc import CtcEngine
from training.data.nonspeech import random_nonspeech
from training.data.sound_augmentation import played, with_noise
from training.families.acoustic import save_acoustic_model
from training.human_speech import Recording
from training.peers import Peers
from training.recipe import load_preset
from training.scoring.errors import ErrorCounts, total, word_errors
from training.scoring.normaliser import normalise
from training.session import Session, train

FEATURES = "parakeet-80-20ms"
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
ISOLATED, STRINGS, WORDS = "digits/isolated/", "digits/strings/", "words/"
SENTENCES = ("train_pack/", WORDS)
READ = ("sentences/an4/", "sentences/second_language/")

SEED = 0
TELEPHONE_HZ = 8_000  # single digits were recorded at this rate, all else at twice that
TELEPHONE_SHARE = 0.5  # of what else is trained on is cut to their band
# Single digits are cut so closely (down to 0.14 s) that the model's frames are too few for their letters.
SILENCE_S = 0.12  # before and after
FLOOR_DB = (25.0, 60.0)  # below the digit, under the silence as well: true silence is nothing that a microphone gives
SCORED_FLOOR_DB = 45.0
# Other sounds behind: the recordings of four people differ in more than their voices.
NOISE_SHARE, SNR_DB = 0.6, (3.0, 30.0)
FASTEST = 1.3  # and 1 / 1.3: with pace and pitch go the formants, three voices become many
COPIES = {ISOLATED: 8, WORDS: 8, STRINGS: 6}
SENTENCE_RECIPE = {"steps": 900, "learning_rate": 2e-3}
DIGIT_RECIPE = {"steps": 700, "learning_rate": 2e-3, "batch_seconds": 10}


@dataclass(frozen=True)
class Spoken:
    """A recording in memory: `samples` is `(n_samples,)` float32 at 16 kHz."""

    path: str
    speaker: str
    text: str
    samples: np.ndarray


@dataclass(frozen=True)
class Fold:
    """What the model that never heard `left_out` reads."""

    left_out: str
    digits: int
    right: float
    """Share of the digits, the ten words being all that may be said."""
    right_open: float
    """Share of the digits written letter by letter as they should."""
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
    right_open: float
    strings_wer: float
    read: dict[str, float]
    processor_s: float
    """Of training and scoring together."""


def load(speech: Path) -> list[Spoken]:
    """All that is trained on or scored."""
    lines = (speech / "manifest.jsonl").read_text("utf-8").splitlines()
    wanted = (*SENTENCES, ISOLATED, STRINGS, *READ)
    return [
        Spoken(r.path, str(r.speaker), normalise(str(r.text)), load_audio(speech / r.path))
        for r in map(Recording.model_validate_json, lines)
        if r.is_plain and r.path.startswith(wanted)
    ]


def of(spoken: Iterable[Spoken], *folders: str) -> list[Spoken]:
    return [s for s in spoken if s.path.startswith(folders)]


def telephone(samples: np.ndarray) -> np.ndarray:
    """`(n_samples,)` with the band of 8 kHz, still at 16 kHz."""
    cut = soxr.resample(samples, SAMPLE_RATE_HZ, TELEPHONE_HZ)
    return np.asarray(soxr.resample(cut, TELEPHONE_HZ, SAMPLE_RATE_HZ), np.float32)


def other_voice(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same word from a shorter or a longer vocal tract, `(n_samples * factor,)`."""
    return played(samples, float(np.exp(rng.uniform(-1, 1) * np.log(FASTEST))), SAMPLE_RATE_HZ)


def in_silence(
    samples: np.ndarray, silence_s: Sequence[float], floor_db: float, rng: np.random.Generator
) -> np.ndarray:
    """Silence before and after, and faint noise under the whole."""
    before, after = (round(s * SAMPLE_RATE_HZ) for s in silence_s)
    padded = np.pad(samples, (before, after))
    noise = rng.normal(size=len(padded)) * np.sqrt(np.mean(np.square(padded))) * 10 ** (-floor_db / 20)
    return (padded + noise).astype(np.float32)


def in_noise(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sometimes with other sounds behind, then in a telephone's band."""
    if rng.random() >= NOISE_SHARE:
        return samples
    return telephone(with_noise(samples, random_nonspeech(len(samples), rng), float(rng.uniform(*SNR_DB))))


def recorded(samples: np.ndarray, silence_s: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """As in another place; the noise of a recording cut closely ends where the word ends."""
    floor_db = float(rng.uniform(*FLOOR_DB))
    if rng.random() < 0.5:
        return in_silence(in_noise(samples, rng), silence_s, floor_db, rng)
    return in_noise(in_silence(samples, silence_s, floor_db, rng), rng)


def sentence_material(spoken: list[Spoken], rng: np.random.Generator) -> Iterator[Spoken]:
    """Sentences and words of everyone who says no string, some in a telephone's band."""
    string_speakers = {s.speaker for s in of(spoken, STRINGS)}
    for s in of(spoken, *SENTENCES):
        if s.speaker not in string_speakers:
            yield replace(s, samples=telephone(s.samples)) if rng.random() < TELEPHONE_SHARE else s


def digit_material(spoken: list[Spoken], left_out: set[str], rng: np.random.Generator) -> Iterator[Spoken]:
    """Digits in many voices and places, none of those left out; other words once."""
    for folder, copies in COPIES.items():
        for s in of(spoken, folder):
            if s.speaker in left_out:
                continue
            for _ in range(copies if s.text.split()[0] in DIGITS else 1):
                samples, silence_s = other_voice(s.samples, rng), [0.0, 0.0]
                if folder == ISOLATED:
                    silence_s = (rng.uniform(0.5, 1.5, 2) * SILENCE_S).tolist()
                elif rng.random() < TELEPHONE_SHARE:
                    samples = telephone(samples)
                yield replace(s, samples=recorded(samples, silence_s, rng))


def write_dataset(folder: Path, spoken: Iterable[Spoken]) -> str:
    """A dataset with a train split alone, in the corpus' layout; returns the URI of its manifest."""
    config = parakeet(hop_samples=320)
    logmel = LogMel(config)
    folder.mkdir(parents=True)
    path = folder / "train.parquet"
    n_samples, speakers, number = 0, set(), 0
    with RowWriter(path, dataset_schema(config.n_features, with_audio=False), max_rows=64, max_bytes=1 << 30) as writer:
        for number, s in enumerate(spoken, 1):
            n_samples += len(s.samples)
            speakers.add(s.speaker)
            writer.write(
                {
                    "utterance_id": f"{number:06d}",
                    "programme_id": s.speaker,
                    "speaker": s.speaker,
                    "text": s.text,
                    "duration_s": len(s.samples) / SAMPLE_RATE_HZ,
                    "sample_rate_hz": SAMPLE_RATE_HZ,
                    "input_features": logmel([s.samples])[0].numpy().astype(np.float16),
                    "features_config": FEATURES,
                    "sha256": flac.digest(flac.to_pcm(s.samples)),
                }
            )
    name, hours = "train/00000.parquet", n_samples / SAMPLE_RATE_HZ / 3600
    shard = Shard(
        name=name, sha256=storage.digest_file(path), bytes=path.stat().st_size, utterances=number, hours=hours
    )
    manifest = DatasetManifest(
        name=folder.name,
        language="en",
        sample_rate_hz=SAMPLE_RATE_HZ,
        normaliser="none",
        features=FEATURES,
        features_config=json.loads(config.to_json()),
        splits={Split.TRAIN: (shard,)},
        kept={Split.TRAIN: Tally(count=number, ms=n_samples * 1000 // SAMPLE_RATE_HZ)},
        programmes={Split.TRAIN: len(speakers)},
        account=Summary(dropped={}),
        configuration={},
    )
    storage.write(storage.file_uri(folder / LOCATIONS), json.dumps({name: storage.file_uri(path)}).encode())
    uri = storage.file_uri(folder / "manifest.json")
    storage.write(uri, manifest.model_dump_json().encode())
    return uri


def fine_tuned(folder: Path, base: Path, spoken: Iterable[Spoken], recipe: dict[str, float]) -> Path:
    """The folder of `base`, trained on with the demo's preset and `recipe` over it."""
    dataset = write_dataset(folder / "dataset", spoken)
    scratch = folder / "scratch"
    scratch.mkdir()
    session = Session(
        dataset=dataset,
        base=base,
        recipe=load_preset(PresetName.DEMO).recipe.model_copy(update=recipe),
        checkpoints=storage.file_uri(folder / "checkpoints"),
        attempt="first",
        scratch=scratch,
    )
    trained = train(session, Peers(), metrics=lambda step, figures: None, progress=no_progress, stop=Event())  # noqa: ARG005
    save_acoustic_model(trained.model.module, base, folder / "model")
    return folder / "model"


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

    def digit(self, samples: np.ndarray) -> str:
        """The likeliest of the ten words, over all of its alignments."""
        (frames,) = self._engine.log_posteriors(self._engine.log_mel([samples]))
        heard = torch.from_numpy(frames)[:, None]  # (n_output_frames, 1, n_symbols)
        costs = [
            float(
                ctc_loss(
                    heard,
                    word[None],
                    torch.tensor([len(frames)]),
                    torch.tensor([len(word)]),
                    blank=self._engine.blank,
                    reduction="sum",
                )
            )
            for word in self._digits
        ]
        return DIGITS[int(np.argmin(costs))]

    def errors(self, spoken: Sequence[Spoken]) -> ErrorCounts:
        return total(word_errors(s.text, self.text(s.samples)) for s in spoken)


def run(speech: Path, folder: Path) -> Iterator[Fold]:
    """Train and score, one fold after the other."""
    spoken = load(speech)
    speakers = sorted({s.speaker for s in of(spoken, ISOLATED)})
    string_speakers = sorted({s.speaker for s in of(spoken, STRINGS)})
    sentences = sentence_material(spoken, np.random.default_rng([SEED, 0]))
    common = fine_tuned(folder / "sentences", BASE, sentences, SENTENCE_RECIPE)
    for number, speaker in enumerate(speakers):
        began = processor_seconds()
        left_out = {speaker, *string_speakers[number :: len(speakers)]}
        material = digit_material(spoken, left_out, np.random.default_rng([SEED, 1]))
        model = fine_tuned(folder / speaker, common, material, DIGIT_RECIPE)
        train_s = processor_seconds() - began
        reader, rng = Reader(model), np.random.default_rng([SEED, 2])
        digits = [
            replace(s, samples=in_silence(s.samples, (SILENCE_S, SILENCE_S), SCORED_FLOOR_DB, rng))
            for s in of(spoken, ISOLATED)
            if s.speaker == speaker
        ]
        yield Fold(
            left_out=speaker,
            digits=len(digits),
            right=statistics.mean(reader.digit(s.samples) == s.text for s in digits),
            right_open=statistics.mean(reader.text(s.samples) == s.text for s in digits),
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
                f" {100 * fold.right_open:.1f} % with open vocabulary; WER {wers(fold.read)};"
                f" {STRINGS[:-1]} {100 * fold.strings.rate:.1f} % of {fold.strings.length} words in voices left out",
                flush=True,
            )
            folds.append(fold)
    found = Findings(
        machine=this_machine(),
        folds=folds,
        right=statistics.mean(fold.right for fold in folds),
        right_open=statistics.mean(fold.right_open for fold in folds),
        strings_wer=total(fold.strings for fold in folds).rate,
        read={name: statistics.mean(fold.read[name] for fold in folds) for name in READ},
        processor_s=processor_seconds(),
    )
    print(
        f"on average {100 * found.right:.1f} % right, {100 * found.right_open:.1f} % with open vocabulary;"
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
