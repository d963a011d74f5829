"""The loop from a night to people's corrections, to training, to the next night, on human speech.

Each reader of `train_pack` of the shared speech (`--speech`) is a programme of an inbox; the readers of
`sentences/second_language`, all others, are programmes that nobody corrects. All is done by the product's own steps:

- a night with Whisper base;
- a review of each programme, scripted from the known texts: words that are equal keep the machine's times, the others
  are typed, without times;
- a dataset of the reviews alone, fine-tuning, comparison on held-out reviewed programmes, registration, promotion;
- a night with the new model over the programmes that nobody corrected.

Error rates are against the known texts, by the normaliser of evaluations; the interval is a paired bootstrap over
readers.
"""

from __future__ import annotations

import json
import os
import tempfile
from argparse import Namespace
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.support.harness import Machine, argument_parser, processor_seconds, this_machine
from benchmarks.support.human_speech.programmes import Recording, load, read_manifest
from local import weights
from tasks import storage
from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import STEPS, Receipt
from tasks.contract.recipe import PresetName
from tasks.desk.index.building import places_of
from tasks.desk.programmes import Programme, load_programme
from tasks.desk.reviews import save_review
from tasks.progress import no_progress
from tasks.step import run_step
from tasks.transcripts.normaliser import normalise
from tasks.transcripts.reviews.draft import BasedOn, Draft, DraftSegment, DraftWord
from training.scoring.bootstrap import paired_difference
from training.scoring.errors import word_errors

CORRECTED, UNCORRECTED = ("train_pack/second_language/", "train_pack/audiobook/"), ("sentences/second_language/",)
PAUSE_S = 1.2  # between recordings
VERSIONS = ("torch", "transformers", "ctranslate2", "faster-whisper")


@dataclass(frozen=True)
class Findings:
    """The benchmark's results. Error rates are of the programmes that nobody corrected."""

    machine: Machine
    versions: dict[str, str]
    corrected: int
    reviewed_hours: float
    corrected_wer: float
    """Of the machine's words against the reviews, as the log of reviews has it."""
    decision: str
    reason: str
    promoted: str
    test_before: float
    """Of held-out reviewed programmes."""
    test_after: float
    uncorrected: int
    words: int
    before: float
    after: float
    low: float
    high: float
    core_minutes: dict[str, float]


def readers(speech: Path, prefixes: tuple[str, ...], limit: int | None) -> Iterator[tuple[str, list[Recording]]]:
    """Yield readers with their recordings, in the order of their names."""
    found: dict[str, list[Recording]] = defaultdict(list)
    for recording in read_manifest(speech):
        if recording.path.startswith(prefixes) and recording.spoken:
            found[str(recording.speaker)].append(recording)
    yield from islice(sorted(found.items()), limit)


def write_programme(path: Path, speech: Path, recordings: list[Recording]) -> None:
    pause = np.zeros(round(PAUSE_S * SAMPLE_RATE_HZ), np.float32)
    parts = [part for recording in recordings for part in (load(speech, recording).samples, pause)]
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.concatenate(parts), SAMPLE_RATE_HZ)


def corrected(programme: Programme, text: str) -> Draft:
    """The programme as a person leaves it who types what is said: equal words stay, with the machine's marks."""
    machine = [word for word in programme.machine.words if normalise(word.text)]
    heard, said = [normalise(word.text) for word in machine], normalise(text).split()
    words: list[DraftWord] = []
    for tag, first, end, said_first, said_end in SequenceMatcher(None, heard, said, autojunk=False).get_opcodes():
        if tag == "equal":
            words += [DraftWord(word.text, word.start_ms, word.end_ms) for word in machine[first:end]]
        else:
            words += [DraftWord(word, None, None) for word in said[said_first:said_end]]
    whole = DraftSegment(speaker=None, start_ms=0, end_ms=programme.machine.media.duration_ms, words=tuple(words))
    based_on = BasedOn(transcript_sha256=programme.machine_sha256)
    return Draft(based_on=based_on, finished=True, speakers=(), segments=(whole,))


class Loop:
    """Runs the steps, with all files below one folder."""

    def __init__(self, folder: Path, options: Namespace) -> None:
        self._folder, self._options = folder.absolute(), options
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{self._folder}/mlflow.db"
        self._core_s: dict[str, float] = {}
        self._texts: dict[str, str] = {}

    def step(self, name: str, **arguments: Any) -> Receipt:
        definition = STEPS[name]
        return run_step(definition, definition.arguments(output=self._at("work", name), **arguments), no_progress)

    def _at(self, *parts: str) -> str:
        return storage.join(storage.file_uri(self._folder), *parts)

    def deliver(self, inbox: str, prefixes: tuple[str, ...], limit: int | None) -> None:
        for reader, recordings in readers(self._options.speech, prefixes, limit):
            name = reader.replace(":", "-")
            self._texts[name] = " ".join(recording.spoken for recording in recordings)
            path = self._folder / inbox / f"{name}.wav"
            if not path.exists():
                write_programme(path, self._options.speech, recordings)

    def night(self, inbox: str, transcripts: str, model: str) -> list[Programme]:
        """Transcribe an inbox without speakers. Return its programmes."""
        began, root = processor_seconds(), self._at(transcripts)
        plan = self.step(
            "plan-night", inbox=self._at(inbox), transcripts=root, model=model, language="en", batches=1, settle_s=0
        )
        for item in plan.items:
            prepared = self.step("prepare-media", batch=item.uri, workers=2).result
            recognised = self.step("recognise", prepared=prepared, model=plan.labels["model"], language="en").result
            self.step(
                "publish", batch=item.uri, prepared=prepared, recognised=recognised, diarized="", transcripts=root
            )
        self._core_s[f"night of {inbox} into {transcripts}"] = processor_seconds() - began
        return [load_programme(root, place.key) for place in places_of(root)]

    def run(self) -> Findings:
        options = self._options
        self.deliver("inbox", CORRECTED, options.programmes)
        self.deliver("others", UNCORRECTED, options.others)
        lines = []
        for programme in self.night("inbox", "transcripts", options.base):
            if programme.review is None:
                draft = corrected(programme, self._texts[programme.manifest.programme])
                lines.append(save_review(self._at("transcripts"), programme.key, draft, "script").line)
        assembled = self.build()
        registered, compared, promoted = self.finetune(assembled.labels["manifest"])
        before = self.night("others", "before", options.base)
        after = self.night("others", "after", registered.labels["model"])
        errors = [self.errors(programmes) for programmes in (after, before)]
        lengths = np.array([len(normalise(self._texts[name]).split()) for name in errors[0]])
        counts = [np.array([found[name] for name in errors[0]]) for found in errors]
        difference = paired_difference(*counts, lengths)
        return Findings(
            machine=this_machine(),
            versions={name: metadata.version(name) for name in VERSIONS},
            corrected=len(lines),
            reviewed_hours=assembled.metrics["hours_reviewed"],
            corrected_wer=sum(line.errors.errors for line in lines) / max(1, sum(line.errors.length for line in lines)),
            decision=compared.labels["decision"],
            reason=compared.labels["reason"],
            promoted=promoted.labels["promoted"],
            test_before=compared.metrics["champion_wer"],
            test_after=compared.metrics["challenger_wer"],
            uncorrected=len(lengths),
            words=int(lengths.sum()),
            before=float(counts[1].sum() / lengths.sum()),
            after=float(counts[0].sum() / lengths.sum()),
            low=difference.low,
            high=difference.high,
            core_minutes={name: round(seconds / 60, 1) for name, seconds in self._core_s.items()},
        )

    def build(self) -> Receipt:
        """Make a dataset of the reviews."""
        began = processor_seconds()
        (self._folder / "archive").mkdir(exist_ok=True)
        scan = self.step(
            "scan-corpus",
            media=self._at("archive"),
            reviews=self._at("transcripts"),
            shards=1,
            test_share=0.15,
            validation_share=0.05,
            base=self._options.base,
        )
        extracted = []
        for item in scan.items:
            prepared = self.step("prepare-corpus", shard=item.uri).result
            extracted.append(self.step("extract-features", prepared=prepared, features=scan.labels["features"]).result)
        assembled = self.step("assemble-dataset", scan=scan.result, extracted=tuple(extracted))
        self._core_s["dataset"] = processor_seconds() - began
        return assembled

    def finetune(self, dataset: str) -> tuple[Receipt, Receipt, Receipt]:
        """Train, compare on the held-out reviewed programmes, register and promote."""
        began = processor_seconds()
        base = self._options.base
        preset, recipe = PresetName.WHISPER_FROZEN_ENCODER, self._options.recipe
        trained = self.step("train", dataset=dataset, base=base, preset=preset, **recipe)
        converted = self.step("convert-model", trained=trained.result)
        challenger, champion = (
            self.step("evaluate", model=model, dataset=dataset) for model in (converted.labels["model"], base)
        )
        compared = self.step("compare-models", challenger=challenger.result, champion=champion.result, on_reviewed=True)
        registered = self.step(
            "register-model",
            trained=trained.result,
            converted=converted.result,
            evaluation=challenger.result,
            comparison=compared.result,
        )
        promoted = self.step("promote-model", registered=registered.result, comparison=compared.result)
        self._core_s["training to promotion"] = processor_seconds() - began
        return registered, compared, promoted

    def errors(self, programmes: list[Programme]) -> dict[str, int]:
        """Word errors of the machine's words against the known texts, by programme."""
        return {
            programme.manifest.programme: word_errors(
                normalise(self._texts[programme.manifest.programme]), normalise(programme.machine.text)
            ).errors
            for programme in programmes
        }


def main() -> None:
    parser = argument_parser((__doc__ or "").splitlines()[0])
    parser.add_argument("--speech", type=Path, default=os.environ.get("AIRSCRIPT_SPEECH"), help="the shared speech")
    parser.add_argument("--base", default="", help="base model; default: the installed Whisper base")
    parser.add_argument("--programmes", type=int, help="programmes to correct; default: all")
    parser.add_argument("--others", type=int, help="programmes that nobody corrects; default: all")
    parser.add_argument("--folder", type=Path, help="keep all files here: a run that was stopped resumes")
    parser.add_argument("--recipe", type=json.loads, default={}, help="changes to the preset: '{\"steps\": 50}'")
    options = parser.parse_args()
    if not options.speech:
        parser.error("review_loop needs human speech: --speech DIR, or AIRSCRIPT_SPEECH")
    options.base = options.base or str(weights.folder("whisper-base"))
    with tempfile.TemporaryDirectory() as temporary:
        found = Loop(options.folder or Path(temporary), options).run()
    print(
        f"{found.corrected} programmes corrected, {found.reviewed_hours:.2f} h reviewed;"
        f" the machine's WER against their reviews {found.corrected_wer:.1%}"
    )
    print(f"held-out reviewed programmes: {found.test_before:.1%} before, {found.test_after:.1%} after")
    print(f"{found.decision} ({found.reason}); promoted: {found.promoted}")
    print(
        f"programmes that nobody corrected: WER {found.before:.1%} before, {found.after:.1%} after;"
        f" difference {100 * found.low:.1f} to {100 * found.high:.1f} points (95 %, {found.uncorrected} readers,"
        f" {found.words} words)"
    )
    print(f"core minutes: {found.core_minutes}; {asdict(found.machine)}; {found.versions}")
    if options.json:
        options.json.write_text(json.dumps(asdict(found), indent=2) + "\n")


if __name__ == "__main__":
    main()
