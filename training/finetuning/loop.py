"""The training loop, written by hand because a resumed run must equal an uninterrupted one bit for bit.

For that, learning rate, dropout, data order and augmentation are pure functions of the step, and everything else that
a step depends on is in the checkpoint. No random number generator or data loader has state of its own.
"""

from __future__ import annotations

import contextlib
import math
import resource
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from threading import Event
from typing import Any

import numpy as np
import structlog
import torch

from tasks.contract import Preempted
from tasks.progress import ProgressHook
from training.data.loader import BatchLoader
from training.data.order import Position
from training.families.acoustic import AcousticModel, PaddedBatch
from training.finetuning.checkpoints import CheckpointManifest, Checkpoints
from training.finetuning.distribution import ProcessGroup
from training.finetuning.divergence import LossMonitor
from training.finetuning.hardware import gpu_utilisation, uses_bfloat16
from training.finetuning.recipe import Recipe
from training.finetuning.schedule import learning_rate
from training.finetuning.validation import ValidationSample

log = structlog.get_logger()

BETAS = (0.9, 0.98)
MAX_GRADIENT_NORM = 1.0
NOTHING_TO_SAVE = "stopped on request: no step since the last checkpoint, if there is one"
CHECKPOINT_EVERY_S = 60.0
CHECKPOINT_TIME_SHARE = 0.05  # saving takes at most this share of the time: large models are saved less often

LogMetrics = Callable[[int, dict[str, float]], None]
HoldStop = Callable[[], contextlib.AbstractContextManager[Any]]


class NextAction(StrEnum):
    """Rank 0's decision after a step, broadcast to all ranks."""

    CONTINUE = "continue"
    STOP = "stop"
    """Asked to stop: save and raise Preempted."""
    FINISH = "finish"
    """Last step reached, or early stopping."""


@dataclass
class RunState:
    """The state of a run besides tensors: plain values, saved with every checkpoint."""

    step: int = 0
    position: Position = field(default_factory=Position)
    losses: list[float] = field(default_factory=list)
    """Loss of each step; NaN where the step was skipped."""
    wers: list[tuple[int, float]] = field(default_factory=list)
    """Step and validation WER of each validation; step 0 is the base model."""
    best: str = ""
    """URI of the best weights."""
    best_wer: float = math.inf
    best_step: int = 0
    audio_s: float = 0.0
    train_s: float = 0.0
    waited_s: float = 0.0
    """Seconds that training waited for data, over all attempts."""
    health: LossMonitor = field(default_factory=LossMonitor)

    def is_stale(self, patience: int) -> bool:
        """Early stopping: whether the last `patience` validations brought no improvement; 0 never stops early."""
        return 0 < patience <= sum(step > self.best_step for step, _ in self.wers)

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> RunState:
        position, health = Position(**plain.pop("position")), LossMonitor(**plain.pop("health"))
        return cls(position=position, health=health, **plain)


class Trainer:
    """Trains a model by the recipe. All state that a resumed run needs passes through `Checkpoints`.

    Every rank has one and takes the same steps; rank 0 also decides, validates, reports and saves.
    """

    def __init__(
        self,
        model: AcousticModel,
        recipe: Recipe,
        validation: ValidationSample | None,
        checkpoints: Checkpoints,
        *,
        group: ProcessGroup | None = None,
        log_metrics: LogMetrics,
        progress: ProgressHook,
        stop: Event,
        unsaved: HoldStop = contextlib.nullcontext,
    ) -> None:
        """`unsaved` is entered while steps are not in a checkpoint: a request to stop then waits for `stop` to be
        looked at, after the step. At all other times it may raise Preempted at once."""
        self.model, self._recipe, self.validation, self._checkpoints = model, recipe, validation, checkpoints
        self._log_metrics, self._progress, self._stop, self._unsaved = log_metrics, progress, stop, unsaved
        self._group = group or ProcessGroup()
        # The module itself, or DistributedDataParallel around it: the forward pass goes through this.
        model.network = self._group.wrap(model.module)
        self._parameters = [p for p in model.module.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(self._parameters, lr=recipe.learning_rate, betas=BETAS, fused=True)
        self._buffers = list(persistent_buffers(model.module).values())
        self._buffers_before = [buffer.clone() for buffer in self._buffers]
        self._device = self._parameters[0].device
        self._is_bfloat16 = uses_bfloat16(recipe.precision, self._device)
        self._last_saved, self._saving_s = time.monotonic(), 0.0
        self._loader_wait_s = 0.0
        """The loader's total wait at the last step."""
        self.state = RunState()

    def resume(self) -> bool:
        """Restore the newest complete checkpoint. Return False if there is none."""
        newest = self._group.broadcast(self._checkpoints.newest() if self._group.is_rank_zero else None)
        if newest is not None:
            self._restore(newest)
        return newest is not None

    def run(self, loader: BatchLoader[PaddedBatch]) -> None:
        """Train to the end, then load the best weights into the model.

        Raises:
            Preempted: asked to stop; a checkpoint was written.
            Misconfigured: DIVERGED.
        """
        state = self.state
        if state.step == 0 and not state.wers:
            self._validate()
        if self._group.broadcast(self._stop.is_set()):
            raise Preempted(NOTHING_TO_SAVE)
        if self._group.broadcast(self._next_action()) is not NextAction.FINISH:
            self._train(loader)
        if self._group.is_rank_zero and state.best and state.best_step != state.step:
            load_weights(self.model.module, self._checkpoints.best_weights(state.best))

    def _train(self, loader: BatchLoader[PaddedBatch]) -> None:
        # A step may take minutes, where a Spot node leaves two: without steps to save it is not waited for.
        with contextlib.ExitStack() as unsaved:
            self._take_steps(loader, unsaved)

    def _take_steps(self, loader: BatchLoader[PaddedBatch], unsaved: contextlib.ExitStack) -> None:
        state, recipe = self.state, self._recipe
        is_saved = True
        for loaded in loader:
            began = time.monotonic()
            audio_s = self.take_step(loaded.batch)
            if is_saved:
                unsaved.enter_context(self._unsaved())
            is_saved = False
            state.step += 1
            state.position = Position(loaded.position.epoch, loaded.position.batch + 1)
            state.audio_s += audio_s
            self._report(audio_s, time.monotonic() - began, loader.waited_s)
            if state.step == recipe.steps or state.step % recipe.validate_every == 0:
                self._validate()
            match self._group.broadcast(self._next_action()):
                case NextAction.FINISH:
                    self.save()
                    return
                case NextAction.STOP:
                    self.save()
                    raise Preempted(f"stopped on request after step {state.step} of {recipe.steps}, checkpoint saved")
            if time.monotonic() - self._last_saved > max(CHECKPOINT_EVERY_S, self._saving_s / CHECKPOINT_TIME_SHARE):
                self.save()
                if not state.health.n_bad:
                    is_saved = True
                    unsaved.close()
                if self._group.world_size == 1 and is_saved and self._stop.is_set():  # requested while saving
                    raise Preempted(NOTHING_TO_SAVE)

    def _next_action(self) -> NextAction:
        if self.state.step >= self._recipe.steps or self.state.is_stale(self._recipe.patience):
            return NextAction.FINISH
        # After a skipped step nothing can be saved, so go on: `divergence.MAX_CONSECUTIVE_BAD_STEPS` bounds how long.
        can_stop = self.state.step and not self.state.health.n_bad
        return NextAction.STOP if self._stop.is_set() and can_stop else NextAction.CONTINUE

    def take_step(self, batch: PaddedBatch) -> float:
        """Take one step on this rank's share of a batch. Return the audio seconds of the whole batch."""
        state, group = self.state, self._group
        rate = learning_rate(state.step, self._recipe.steps, self._recipe.learning_rate)
        for parameters in self._optimizer.param_groups:
            parameters["lr"] = rate
        # Dropout becomes a function of the step as well: no state of a random number generator needs saving.
        torch.manual_seed(_step_seed(self._recipe.seed, state.step, group.share.rank))
        copy_into(self._buffers_before, self._buffers)
        n_items, audio_s = group.sum(batch.n_items, batch.audio_s)  # over all ranks
        with self._autocast():
            loss = self.model.loss(batch)
        loss = loss * (batch.n_items / n_items)  # this rank's share of the mean over the whole batch
        (loss * group.world_size).backward()  # DDP averages over ranks
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, MAX_GRADIENT_NORM)
        (value,) = group.sum(float(loss.detach()))
        if state.health.update(value, float(norm)):
            self._optimizer.step()
            state.losses.append(value)
        else:
            log.warning("step skipped: loss or gradient is not finite", step=state.step + 1)
            # The forward pass has already updated batch normalisation's running statistics.
            copy_into(self._buffers, self._buffers_before)
            state.losses.append(math.nan)
        self._optimizer.zero_grad(set_to_none=True)
        return audio_s

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The context of a forward pass in the recipe's precision."""
        if self._is_bfloat16:
            return torch.autocast(self._device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    def _report(self, audio_s: float, step_s: float, loader_wait_s: float) -> None:
        state, steps = self.state, self._recipe.steps
        step_wait_s = loader_wait_s - self._loader_wait_s
        self._loader_wait_s = loader_wait_s
        state.waited_s += step_wait_s
        state.train_s += step_s + step_wait_s
        if not self._group.is_rank_zero:
            return
        speed = state.audio_s / max(state.train_s, 1e-9)
        metrics = {
            "loss": state.losses[-1],
            "learning_rate": self._optimizer.param_groups[0]["lr"],
            "audio_hours_per_hour": audio_s / max(step_s + step_wait_s, 1e-9),
            "waiting_share": step_wait_s / max(step_s + step_wait_s, 1e-9),
            "memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2,  # KiB on Linux
        }
        if self._device.type == "cuda":
            metrics["gpu_memory_gb"] = torch.cuda.max_memory_allocated(self._device) / 1024**3
            metrics["gpu_busy_share"] = gpu_utilisation(self._device)
        self._log_metrics(state.step, {name: value for name, value in metrics.items() if math.isfinite(value)})
        wer = f", WER {100 * state.wers[-1][1]:.1f} %" if state.wers else ""
        self._progress(
            "train", state.step, steps, "steps", f"loss {state.health.smoothed:.2f}{wer}, {speed:.0f}x real time"
        )

    def _validate(self) -> None:
        if self.validation is None or not self._group.is_rank_zero:
            return
        state = self.state
        with self._autocast():
            wer = self.validation.score(self.model).rate
        state.wers.append((state.step, wer))
        self._log_metrics(state.step, {"validation_wer": wer})
        # Ties go to the later weights, whose learning rate was lower; the base weights give way only to a better score.
        if wer < state.best_wer or (wer == state.best_wer and state.best_step > 0):
            state.best_wer, state.best_step = wer, state.step
            state.best = self._checkpoints.save_best(state.step, weights_of(self.model.module))

    def save(self) -> None:
        """Write a checkpoint on rank 0, unless the last step was skipped: its loss or gradient was not finite."""
        if self.state.health.n_bad or not self._group.is_rank_zero:
            return
        began = time.monotonic()
        self._checkpoints.save(
            self.state.step,
            weights_of(self.model.module),
            {"optimizer": self._optimizer.state_dict(), "run": self.state.to_plain()},
            self.state.best,
        )
        self._last_saved = time.monotonic()
        self._saving_s = self._last_saved - began

    def _restore(self, checkpoint: CheckpointManifest) -> None:
        load_weights(self.model.module, self._checkpoints.weights(checkpoint))
        saved = self._checkpoints.state(checkpoint)
        self._optimizer.load_state_dict(saved["optimizer"])
        self.state = RunState.from_plain(saved["run"])
        if self.state.best and self._group.is_rank_zero:
            # The attempt that wrote these weights may still run and delete them.
            self.state.best = self._checkpoints.copy_best(self.state.best_step, self.state.best)


def _step_seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def weights_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return what training changes, by name: trained parameters (tied ones once) and persistent buffers."""
    trained = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    return {**trained, **persistent_buffers(module)}


def persistent_buffers(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the buffers in the model's state dict, by name: the running statistics of batch normalisation."""
    kept = module.state_dict(keep_vars=True).keys()
    return {name: buffer for name, buffer in module.named_buffers() if name in kept}


def copy_into(targets: Iterable[torch.Tensor], sources: Iterable[torch.Tensor]) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)


def load_weights(module: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Load what `weights_of` returned, in place."""
    with torch.no_grad():
        for name, tensor in weights_of(module).items():
            tensor.copy_(weights[name])


def mean_of_last(losses: list[float], n: int) -> float:
    """Return the mean of the finite losses among the last `n`; NaN if there are none."""
    finite = [loss for loss in losses[-n:] if math.isfinite(loss)]
    return float(np.mean(finite)) if finite else math.nan
