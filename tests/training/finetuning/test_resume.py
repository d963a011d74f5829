"""A run that is killed at any step resumes as if it had never been interrupted."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
import torch

from tasks import storage
from tasks.contract import Misconfigured, Preempted, Reason
from tasks.contract.recipe import PresetName
from tasks.dataset.manifest import load_manifest
from tasks.progress import no_progress
from training.data.loader import BatchDraw, BatchLoader
from training.data.order import EpochOrder, Position
from training.families.acoustic import PaddedBatch
from training.families.model_folder import load_acoustic_model
from training.finetuning import loop
from training.finetuning.batches import BatchMaker
from training.finetuning.checkpoints import Checkpoints
from training.finetuning.distribution import ProcessGroup
from training.finetuning.loop import RunState, Trainer, weights_of
from training.finetuning.recipe import load_preset
from training.finetuning.session import RunSettings, index_split, run_session
from training.finetuning.validation import take_sample

pytestmark = pytest.mark.timeout(900)  # its fixtures train a model: minutes where cores are shared


STEPS = 14
Metrics = Callable[[int, dict[str, float]], None]


class Killed(BaseException):
    """Like `kill -9` to storage: nothing is written afterwards."""


def attempt(
    dataset: str, base: Path, prefix: str, scratch: Path, name: str, metrics: Metrics, stop: Event, seed: int = 0
) -> Trainer:
    """One attempt at the same run, from loading the model to its end."""
    torch.set_num_threads(1)
    manifest, _ = load_manifest(dataset)
    model = load_acoustic_model(base, "cpu")
    for module in model.module.modules():  # randomness in the model must resume too
        if isinstance(getattr(module, "activation_dropout", None), float):
            module.activation_dropout = 0.1
    train_split, held_out = index_split(model, manifest.uris("train")), index_split(model, manifest.uris("validation"))
    sample = take_sample(model, held_out.reader, held_out.index, 8.0, 400)
    scratch.mkdir(exist_ok=True)
    recipe = load_preset(PresetName.DEMO).recipe.model_copy(update={"steps": STEPS, "validations": 3, "seed": seed})
    trainer = Trainer(
        model,
        recipe,
        sample,
        Checkpoints(prefix, name, scratch),
        log_metrics=metrics,
        progress=no_progress,
        stop=stop,
    )
    trainer.resume()
    order = EpochOrder(train_split.index, batch_frames=400, pool_frames=1600, seed=seed)
    loader = BatchLoader(
        train_split.reader, train_split.index, order, trainer.state.position, BatchMaker(model, recipe)
    )
    try:
        trainer.run(loader)
    finally:
        loader.close()
    return trainer


def ignore(step: int, metrics: dict[str, float]) -> None:
    pass


@pytest.fixture(scope="module")
def uninterrupted(dataset: str, base_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    folder = tmp_path_factory.mktemp("uninterrupted")
    prefix = storage.file_uri(folder / "checkpoints")
    return attempt(dataset, base_model, prefix, folder / "scratch", "one", ignore, Event())


def assert_same_course(found: Trainer, expected: Trainer) -> None:
    assert found.state.losses == pytest.approx(expected.state.losses, abs=1e-6)
    assert found.state.wers == expected.state.wers
    assert found.state.position == expected.state.position
    theirs = weights_of(expected.model.module)
    for name, tensor in weights_of(found.model.module).items():
        torch.testing.assert_close(tensor, theirs[name], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_steps(
    seed: int, dataset: str, base_model: Path, tmp_path: Path, uninterrupted: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    prefix = storage.file_uri(tmp_path / "checkpoints")
    deaths = 0
    while True:
        # Checkpoints at some steps only, so that an attempt usually dies some steps after the last one.
        monkeypatch.setattr(loop, "CHECKPOINT_EVERY_S", 0.0)
        monkeypatch.setattr(loop, "CHECKPOINT_TIME_SHARE", rng.choice([0.05, 1e9]))
        lives = rng.randint(2, 6)

        def metrics(step: int, figures: dict[str, float]) -> None:
            nonlocal lives
            lives -= "loss" in figures
            if lives < 0:
                raise Killed

        try:
            trainer = attempt(dataset, base_model, prefix, tmp_path / "scratch", f"a{deaths}", metrics, Event())
            break
        except Killed:
            deaths += 1
            assert deaths < 40
    assert deaths >= 2
    assert_same_course(trainer, uninterrupted)


def test_stopped_on_request(dataset: str, base_model: Path, tmp_path: Path, uninterrupted: Trainer) -> None:
    prefix, stop = storage.file_uri(tmp_path / "checkpoints"), Event()

    def metrics(step: int, figures: dict[str, float]) -> None:
        if step == 6 and "loss" in figures:
            stop.set()

    with pytest.raises(Preempted, match="after step 6 of 14"):
        attempt(dataset, base_model, prefix, tmp_path / "scratch", "first", metrics, stop)
    trainer = attempt(dataset, base_model, prefix, tmp_path / "scratch", "second", ignore, Event())
    assert_same_course(trainer, uninterrupted)


def test_a_finished_run_trains_no_more(
    dataset: str, base_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between its last step and the result: the next attempt only publishes."""
    prefix = storage.file_uri(tmp_path / "checkpoints")
    first = attempt(dataset, base_model, prefix, tmp_path / "scratch", "first", ignore, Event())

    def fail(self: Trainer, batch: PaddedBatch) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(Trainer, "take_step", fail)
    second = attempt(dataset, base_model, prefix, tmp_path / "scratch", "second", ignore, Event())
    assert_same_course(second, first)


def test_the_model_draws_random_numbers(uninterrupted: Trainer) -> None:
    """Without randomness in the model, the tests above would not show that it resumes."""
    batch = uninterrupted.validation.batches[0]
    with torch.no_grad():
        assert uninterrupted.model.loss(batch) != uninterrupted.model.loss(batch)


def test_state_survives_being_saved() -> None:
    state = RunState(step=3, position=Position(1, 2), losses=[1.0, 0.5], wers=[(0, 0.9)], best="x", best_wer=0.9)
    state.health.update(2.0, 1.0)
    assert RunState.from_plain(state.to_plain()) == state


def test_early_stopping(dataset: str, base_model: Path, tmp_path: Path) -> None:
    """Patience counts validations since the best one, and survives a resume."""
    settings = RunSettings(
        dataset,
        base_model,
        load_preset(PresetName.DEMO).recipe.model_copy(
            update={"steps": 60, "validations": 20, "patience": 2, "learning_rate": 1e-9, "batch_seconds": 8.0}
        ),
        storage.file_uri(tmp_path / "checkpoints"),
        "one",
        tmp_path,
    )
    found = run_session(settings, ProcessGroup(), log_metrics=ignore, progress=no_progress, stop=Event())
    assert [step for step, _ in found.state.wers] == [0, 3, 6]
    assert (found.state.step, found.state.best_step) == (6, 0)
    again = run_session(settings, ProcessGroup(), log_metrics=ignore, progress=no_progress, stop=Event())
    assert again.state.step == 6


def test_out_of_memory_is_a_misconfiguration(
    dataset: str, base_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_memory(self: Trainer, batch: PaddedBatch) -> float:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Trainer, "take_step", fill_memory)
    recipe = load_preset(PresetName.DEMO).recipe
    settings = RunSettings(dataset, base_model, recipe, storage.file_uri(tmp_path / "checkpoints"), "one", tmp_path)
    with pytest.raises(Misconfigured, match="step 1: CUDA out of memory") as raised:
        run_session(settings, ProcessGroup(), log_metrics=ignore, progress=no_progress, stop=Event())
    assert raised.value.reason is Reason.MEMORY_LIMIT
    assert "batch_seconds" in raised.value.next_step


def test_patience_counts_from_the_best() -> None:
    state = RunState(wers=[(0, 0.9), (5, 0.5), (10, 0.6), (15, 0.55)], best_step=5)
    assert state.is_stale(2)
    assert not state.is_stale(3)
    assert not state.is_stale(0)


@pytest.fixture
def one_bad_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch of the seventh step has an infinite feature."""
    make = BatchMaker.__call__

    def poisoned(self: BatchMaker, draw: BatchDraw) -> PaddedBatch:
        batch = make(self, draw)
        if draw.position == Position(0, 6):
            batch.features[0, 0, 0] = math.inf
        return batch

    monkeypatch.setattr(BatchMaker, "__call__", poisoned)


@pytest.mark.usefixtures("one_bad_batch")
def test_a_skipped_step_leaves_no_trace_in_the_model(dataset: str, base_model: Path, tmp_path: Path) -> None:
    """Batch normalisation has updated its statistics before the loss is known."""
    trainer = attempt(dataset, base_model, storage.file_uri(tmp_path / "c"), tmp_path / "s", "a", ignore, Event())
    assert [step for step, loss in enumerate(trainer.state.losses) if math.isnan(loss)] == [6]
    assert not [name for name, tensor in weights_of(trainer.model.module).items() if not tensor.isfinite().all()]


@pytest.mark.usefixtures("one_bad_batch")
def test_a_stop_after_a_bad_step_saves_the_step_it_reports(dataset: str, base_model: Path, tmp_path: Path) -> None:
    prefix, stop = storage.file_uri(tmp_path / "checkpoints"), Event()

    def metrics(step: int, figures: dict[str, float]) -> None:
        if step == 7 and "learning_rate" in figures:
            stop.set()

    with pytest.raises(Preempted, match="after step 8 of 14, checkpoint saved"):
        attempt(dataset, base_model, prefix, tmp_path / "scratch", "first", metrics, stop)
    found = Checkpoints(prefix, "second", tmp_path / "scratch").newest()
    assert found is not None
    assert found.step == 8
