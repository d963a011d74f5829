"""Fine-tuning on one device: our session beside transformers' Trainer, and SIGTERM to a checkpoint."""

from __future__ import annotations

import gc
import math
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from benchmarks.support import dummy_whisper
from benchmarks.support.gpu.plan import Figure, Plan
from benchmarks.support.small_dataset import SpokenUtterance, write_dataset
from tasks import storage
from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import Preempted
from tasks.contract.recipe import Precision, PresetName
from tasks.dataset.manifest import Split
from tasks.progress import ProgressHook, no_progress

MIN_TRAINING_RATIO = 1.3
MAX_WAITING_SHARE = 0.03
MAX_SAVING_S = 60.0  # of the two minutes between a Spot node's notice and its end
LEARNING_RATE = 1e-5
WINDOW_S = 29.0


@dataclass(frozen=True)
class Size:
    """A model, and how much it is trained."""

    whisper: dummy_whisper.Size
    windows: int
    """Utterances of nearly 30 s in the dataset."""
    batch: int
    """Windows of a step."""
    epochs: int

    @property
    def steps(self) -> int:
        return self.epochs * self.windows // self.batch


def sizes(plan: Plan) -> list[Size]:
    if plan.is_tiny:
        return [Size(dummy_whisper.TINY, windows=2, batch=1, epochs=1)]
    return [
        Size(dummy_whisper.SMALL, windows=128, batch=16, epochs=3),
        Size(dummy_whisper.LARGE_V3_TURBO, windows=128, batch=16, epochs=2),
    ]


def training(plan: Plan) -> Iterator[Figure]:
    """All weights in bfloat16 with checkpointed activations, the same windows in steps of the same size."""
    for size in sizes(plan):
        name, base = size.whisper.name, model_folder(plan, size)
        dataset = noise_dataset(plan, size)
        audio_s = size.windows * size.epochs * WINDOW_S
        state = Session(plan, base, dataset, size.batch, size.steps).run()
        ours_s, waiting = state.train_s, state.waited_s / state.train_s  # without loading, as for the peer
        yield Figure("training", f"{name}: ours", audio_s / ours_s, "x real time")
        yield Figure("training", f"{name}: waiting for data", waiting, "share", at_most=MAX_WAITING_SHARE)
        yield from peak(plan, f"{name}: ours")
        theirs_s = transformers_trainer(plan, base, dataset, size)
        yield Figure("training", f"{name}: transformers Trainer", audio_s / theirs_s, "x real time")
        yield from peak(plan, f"{name}: transformers Trainer")
        yield Figure("training", f"{name}: ratio", theirs_s / ours_s, "x", at_least=MIN_TRAINING_RATIO)


def stopping(plan: Plan) -> Iterator[Figure]:
    """SIGTERM in the middle of a training: how long until the checkpoint is written, and whether it is resumed."""
    size = sizes(plan)[-1]
    session = Session(plan, model_folder(plan, size), noise_dataset(plan, size), size.batch, steps=4)
    stopped_s = math.nan
    asked_at: list[float] = []

    def ask(stage: str, completed: float, total: float | None, unit: str = "", detail: str = "") -> None:  # noqa: ARG001
        if stage == "train" and completed == 2:
            asked_at.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        session.run(ask)
    except Preempted:
        stopped_s = time.perf_counter() - asked_at[0]
    yield Figure("stopping", f"{size.whisper.name}: SIGTERM to the end", stopped_s, "s", at_most=MAX_SAVING_S)
    resumed: list[float] = []
    session.run(lambda stage, completed, *_: resumed.append(completed) if stage == "train" else None)
    yield Figure("stopping", f"{size.whisper.name}: first step after it", min(resumed), "of 4", at_least=3)


def model_folder(plan: Plan, size: Size) -> Path:
    folder = plan.folder / size.whisper.name
    if not folder.exists():
        dummy_whisper.save(folder, size.whisper)
    return folder


def noise_dataset(plan: Plan, size: Size) -> str:
    """Windows of noise with texts of the words that the model knows; the URI of the manifest."""
    folder = plan.folder / f"dataset-{size.whisper.n_mels}-{size.windows}"
    if (folder / "manifest.json").exists():
        return storage.file_uri(folder / "manifest.json")
    rng = np.random.default_rng(0)
    words = [word[1:] for word in dummy_whisper.words()]

    def utterances() -> Iterator[SpokenUtterance]:
        for number in range(size.windows):
            noise = 0.1 * rng.standard_normal(int(WINDOW_S * SAMPLE_RATE_HZ)).astype(np.float32)
            yield SpokenUtterance(f"p{number}", " ".join(rng.choice(words, 70)), noise)

    return write_dataset(folder, {Split.TRAIN: utterances()}, features=f"whisper-{size.whisper.n_mels}")


class Session:
    """Our training, with its state below one folder: a second run goes on where the first stopped."""

    def __init__(self, plan: Plan, base: Path, dataset: str, batch: int, steps: int) -> None:
        from training.finetuning.recipe import load_preset
        from training.finetuning.session import RunSettings

        recipe = load_preset(PresetName.WHISPER_LARGE_V3_TURBO).recipe.model_copy(
            update={
                "steps": steps,
                "learning_rate": LEARNING_RATE,
                "batch_seconds": 30.0 * batch,
                "precision": Precision.BFLOAT16,
                "gradient_checkpointing": True,
                "written_form": False,
                "augment": False,
                "speed_share": 0.0,
                "noise_share": 0.0,
                "join_seconds": 0.0,
                "validations": 1,
            }
        )
        folder = plan.folder / f"session-{base.name}-{steps}"
        scratch = folder / "scratch"
        scratch.mkdir(parents=True)
        self._settings = RunSettings(dataset, base, recipe, storage.file_uri(folder / "checkpoints"), "gpu", scratch)

    def run(self, progress: ProgressHook = no_progress) -> Any:
        """Return the run's state. Raises Preempted if it was stopped."""
        from training.finetuning.distribution import ProcessGroup
        from training.finetuning.session import run_session

        stop = Event()
        before = signal.signal(signal.SIGTERM, lambda *_: stop.set())
        try:
            return run_session(
                self._settings,
                ProcessGroup(),
                log_metrics=lambda step, metrics: None,  # noqa: ARG005
                progress=progress,
                stop=stop,
            ).state
        finally:
            signal.signal(signal.SIGTERM, before)


def transformers_trainer(plan: Plan, base: Path, dataset: str, size: Size) -> float:
    """The seconds of transformers' Trainer on the same windows, as its recipe for Whisper sets it up."""
    import torch
    from transformers import Seq2SeqTrainer, Seq2SeqTrainingArguments, WhisperForConditionalGeneration

    from tasks.dataset.manifest import load_manifest
    from training.families.model_folder import load_acoustic_model
    from training.finetuning.session import index_split

    acoustic = load_acoustic_model(base, "cpu")
    split = index_split(acoustic, load_manifest(dataset)[0].uris("train"))
    rows = [row for group in range(len(split.reader.groups)) for row in split.reader.read(group)]
    end = int(WhisperForConditionalGeneration.from_pretrained(base).config.eos_token_id)
    examples = []
    for row in rows:
        tokens = torch.tensor([*acoustic.tokenizer.encode(row.text, add_special_tokens=False), end])
        examples.append({"input_features": torch.from_numpy(row.features.T.astype(np.float32)), "labels": tokens})

    def collate(batch: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        labels = [example["labels"] for example in batch]
        return {
            "input_features": torch.stack([example["input_features"] for example in batch]),
            "labels": torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=-100),
        }

    del acoustic
    model = WhisperForConditionalGeneration.from_pretrained(base, dtype=torch.float32)
    settings = Seq2SeqTrainingArguments(
        output_dir=str(plan.folder / "trainer"),
        per_device_train_batch_size=size.batch,
        num_train_epochs=size.epochs,
        learning_rate=LEARNING_RATE,
        bf16=True,
        gradient_checkpointing=True,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        optim="adamw_torch_fused",
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        use_cpu=not plan.is_cuda,
        dataloader_pin_memory=plan.is_cuda,
    )
    data: Any = examples
    trainer = Seq2SeqTrainer(model, settings, train_dataset=data, data_collator=collate)
    began = time.perf_counter()
    trainer.train()
    synchronise(plan)
    return time.perf_counter() - began


def synchronise(plan: Plan) -> None:
    import torch

    if plan.is_cuda:
        torch.cuda.synchronize()


def peak(plan: Plan, what: str) -> Iterator[Figure]:
    """The peak of the GPU's memory since the last call."""
    import torch

    if not plan.is_cuda:
        return
    gc.collect()
    yield Figure("training", f"{what}, peak memory", torch.cuda.max_memory_allocated() / 2**30, "GiB")
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
