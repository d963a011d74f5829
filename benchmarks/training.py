"""Training throughput in audio hours an hour: our loop, and transformers' `Trainer` as its recipes use it.

Both fine-tune the repository's base model for one epoch on the same dataset, with the same optimizer and on average as
many audio seconds a batch. Ours reads Parquet from disk and cuts length-bucketed batches from the shuffled shards; the
recipe has all data in memory, shuffles utterances, and pads each batch to its longest. Features are noise and texts
random letters, which does not affect the speed. Lengths are distributed like those of captions.
"""

from __future__ import annotations

import string
import tempfile
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import torch

from benchmarks.support.harness import BASE, Report, make_report, run, time_interleaved
from tasks import storage
from tasks.contract.recipe import PresetName
from tasks.dataset.schema import RowWriter, dataset_schema
from tasks.progress import no_progress
from training.data.loader import BatchLoader
from training.data.order import EpochOrder, Position
from training.data.shards import TrainingUtterance
from training.families.acoustic import AcousticModel, PaddedBatch
from training.families.model_folder import load_acoustic_model
from training.finetuning.batches import BatchMaker
from training.finetuning.checkpoints import Checkpoints
from training.finetuning.loop import Trainer
from training.finetuning.recipe import load_preset
from training.finetuning.session import POOL_SECONDS, IndexedSplit, index_split

UTTERANCES = 64
MEDIAN_S, SPREAD, MAX_S = 6.0, 0.55, 20.0  # SPREAD: standard deviation of the logarithm
BATCH_SECONDS = 60.0
CHARACTERS_PER_S = 9
REPEATS = 2
OURS, PEER = "airscript", "transformers Trainer"


def write_dataset(path: Path, model: AcousticModel) -> float:
    """Write a shard; returns its seconds of audio."""
    rng = np.random.default_rng(0)
    config = model.features
    durations = np.clip(np.exp(rng.normal(np.log(MEDIAN_S), SPREAD, UTTERANCES)), 1.0, MAX_S).round(2)
    letters = [*string.ascii_lowercase, *" " * 6]
    with RowWriter(path, dataset_schema(config.n_features, with_audio=False), max_rows=32, max_bytes=1 << 30) as writer:
        for number, duration_s in enumerate(durations.tolist()):
            n_frames = config.n_frames(round(duration_s * config.sample_rate_hz))
            text = "".join(rng.choice(letters, int(duration_s * CHARACTERS_PER_S)))
            writer.write(
                {
                    "utterance_id": f"{number:04d}",
                    "programme_id": "p",
                    "speaker": "s",
                    "text": " ".join(text.split()) or "a",
                    "duration_s": duration_s,
                    "sample_rate_hz": config.sample_rate_hz,
                    "input_features": rng.normal(size=(n_frames, config.n_features)).astype(np.float16),
                    "features_config": "noise",
                    "sha256": f"{number:04d}",
                }
            )
    return float(durations.sum())


class Ours:
    """One epoch with the training loop of the train step, without validation."""

    def __init__(self, model: AcousticModel, material: IndexedSplit, folder: Path) -> None:
        self._model, self._material, self._folder = model, material, folder
        rate_hz = model.features.frame_rate_hz
        self._order = EpochOrder(material.index, round(BATCH_SECONDS * rate_hz), round(POOL_SECONDS * rate_hz), seed=0)
        self.n_batches = sum(len(pool.batches) for pool in self._order.pools(0))
        preset = load_preset(PresetName.DEMO).recipe
        self._recipe = preset.model_copy(update={"steps": self.n_batches, "augment": False, "learning_rate": 1e-4})
        self.waiting_shares: list[float] = []

    def __call__(self) -> None:
        trainer = Trainer(
            self._model,
            self._recipe,
            None,
            Checkpoints(storage.file_uri(self._folder / "checkpoints"), "bench", self._folder),
            log_metrics=lambda step, metrics: None,  # noqa: ARG005
            progress=no_progress,
            stop=Event(),
        )
        maker = BatchMaker(self._model, self._recipe)
        reader, index = self._material.reader, self._material.index
        loader: BatchLoader[PaddedBatch] = BatchLoader(reader, index, self._order, Position(), maker)
        try:
            trainer.run(loader)
        finally:
            loader.close()
        self.waiting_shares.append(trainer.state.waited_s / trainer.state.train_s)


def recipe_epoch(rows: list[TrainingUtterance], batch_size: int, folder: Path) -> Callable[[], object]:
    """A function that trains one epoch by the plain recipe, on utterances in memory."""
    from transformers import AutoModelForCTC, AutoTokenizer, TrainingArguments
    from transformers import Trainer as TransformersTrainer

    model: Any = AutoModelForCTC.from_pretrained(BASE, dtype=torch.float32, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(BASE, local_files_only=True)
    blank = model.config.pad_token_id

    def collate(batch: list[TrainingUtterance]) -> dict[str, torch.Tensor]:
        features = [torch.from_numpy(row.features.astype(np.float32)) for row in batch]
        labels = [torch.tensor(tokenizer(row.text, add_special_tokens=False).input_ids) for row in batch]
        lengths = torch.tensor([len(f) for f in features])
        padded = torch.nn.utils.rnn.pad_sequence(features, batch_first=True)
        return {
            "input_features": padded,
            "attention_mask": torch.arange(padded.shape[1])[None, :] < lengths[:, None],
            "labels": torch.nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=blank),
        }

    settings = TrainingArguments(
        output_dir=str(folder / "trainer"),
        per_device_train_batch_size=batch_size,
        num_train_epochs=1,
        learning_rate=1e-4,
        optim="adamw_torch_fused",
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
    )
    data: Any = rows
    return lambda: TransformersTrainer(model, settings, train_dataset=data, data_collator=collate).train()


def measure() -> Report:
    model = load_acoustic_model(BASE, "cuda" if torch.cuda.is_available() else "cpu")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shard = folder / "train.parquet"
        audio_s = write_dataset(shard, model)
        material = index_split(model, [storage.file_uri(shard)])
        ours = Ours(model, material, folder)
        batch_size = max(1, round(UTTERANCES / ours.n_batches))
        rows_in_memory = [row for group in range(len(material.reader.groups)) for row in material.reader.read(group)]
        contenders = {OURS: ours, PEER: recipe_epoch(rows_in_memory, batch_size, folder)}
        rows = time_interleaved(contenders, PEER, audio_s, REPEATS)
    waiting = np.median(ours.waiting_shares[1:])
    return make_report(
        "training",
        f"Fine-tuning over {audio_s / 60:.0f} minutes in {UTTERANCES} utterances of {MEDIAN_S:g} s at the median",
        "audio hours an hour",
        PEER,
        ("torch", "transformers", "accelerate"),
        rows,
        [
            f"batches of at most {BATCH_SECONDS:g} s with padding, {ours.n_batches} in an epoch; the recipe takes"
            f" {batch_size} utterances at a time, as many as ours on average",
            f"{len(material.index)} of {UTTERANCES} utterances were used; {torch.get_num_threads()} threads",
            f"{OURS} waited for data {100 * waiting:.2f} % of the time",
        ],
    )


if __name__ == "__main__":
    run(__doc__.splitlines()[0], measure)
