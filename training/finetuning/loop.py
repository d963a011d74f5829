"""The training loop: one step after the other, each the same whether the run was ever interrupted or not."""

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
from tasks.contract.arguments import Precision
from tasks.progress import ProgressHook
from training.data.loader import BatchLoader
from training.data.order import Position
from training.families import AcousticModel, Batch
from training.finetuning.checkpoints import CheckpointManifest, Checkpoints
from training.finetuning.distribution import Peers
from training.finetuning.divergence import LossHealth
from training.finetuning.hardware import gpu_busy
from training.finetuning.recipe import Recipe
from training.finetuning.schedule import learning_rate
from training.finetuning.validation import ValidationSample

log = structlog.get_logger()

BETAS = (0.9, 0.98)
MAX_GRADIENT_NORM = 1.0
CHECKPOINT_EVERY_S = 60.0
CHECKPOINT_TIME_SHARE = 0.05  # saving takes at most this share of the time: large models save more rarely

Metrics = Callable[[int, dict[str, float]], None]


class Verdict(StrEnum):
    """What rank 0 says after a step."""

    GO_ON = "go on"
    STOP = "stop"
    ENOUGH = "enough"


@dataclass
class RunState:
    """Where a run stands, besides tensors: plain values, saved with every checkpoint."""

    step: int = 0
    position: Position = field(default_factory=Position)
    losses: list[float] = field(default_factory=list)
    """One a step; NaN where the step was skipped."""
    wers: list[tuple[int, float]] = field(default_factory=list)
    """Steps and the sample's error rate after them; step 0 is the base model."""
    best: str = ""
    best_wer: float = math.inf
    best_step: int = 0
    audio_s: float = 0.0
    train_s: float = 0.0
    waited_s: float = 0.0
    health: LossHealth = field(default_factory=LossHealth)

    def is_stale(self, patience: int) -> bool:
        """Whether so many validations in a row, the last ones, were no better than the best."""
        return 0 < patience <= sum(step > self.best_step for step, _ in self.wers)

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> RunState:
        position, health = Position(**plain.pop("position")), LossHealth(**plain.pop("health"))
        return cls(position=position, health=health, **plain)


class Trainer:
    """Trains a model as the recipe says. Everything that a resumed run needs passes through `Checkpoints`.

    Every process of a run has one. They take the same steps; that of rank 0 decides, validates, reports and saves.
    """

    def __init__(
        self,
        model: AcousticModel,
        recipe: Recipe,
        sample: ValidationSample | None,
        checkpoints: Checkpoints,
        *,
        peers: Peers | None = None,
        metrics: Metrics,
        progress: ProgressHook,
        stop: Event,
    ) -> None:
        self._model, self._recipe, self._sample, self._checkpoints = model, recipe, sample, checkpoints
        self._metrics, self._progress, self._stop = metrics, progress, stop
        self._peers = peers or Peers()
        model.network = self._peers.network(model.module)
        self._parameters = [p for p in model.module.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(self._parameters, lr=recipe.learning_rate, betas=BETAS, fused=True)
        self._statistics = list(saved_buffers(model.module).values())
        self._before = [buffer.clone() for buffer in self._statistics]
        self._device = self._parameters[0].device
        self._last_saved, self._saving_s, self._waited_s = time.monotonic(), 0.0, 0.0
        self.state = RunState()

    def resume(self) -> bool:
        """Take over the newest complete checkpoint, if there is one."""
        found = self._peers.told(self._checkpoints.newest() if self._peers.leads else None)
        if found is not None:
            self._restore(found)
        return found is not None

    def run(self, loader: BatchLoader[Batch]) -> None:
        """Train to the end, and leave the best weights in the model.

        Raises:
            Preempted: asked to stop; a checkpoint was written.
            Misconfigured: DIVERGED.
        """
        state = self.state
        if state.step == 0 and not state.wers:
            self._validate()
        if self._peers.told(self._verdict()) is not Verdict.ENOUGH:
            self._steps(loader)
        if self._peers.leads and state.best and state.best_step != state.step:
            load_weights(self._model.module, self._checkpoints.best_weights(state.best))

    def _steps(self, loader: BatchLoader[Batch]) -> None:
        state, recipe = self.state, self._recipe
        for loaded in loader:
            began = time.monotonic()
            audio_s = self._step(loaded.batch)
            state.step += 1
            state.position = Position(loaded.position.epoch, loaded.position.batch + 1)
            state.audio_s += audio_s
            self._report(audio_s, time.monotonic() - began, loader.waited_s)
            if state.step == recipe.steps or state.step % recipe.validate_every == 0:
                self._validate()
            match self._peers.told(self._verdict()):
                case Verdict.ENOUGH:
                    self.save()
                    return
                case Verdict.STOP:
                    self.save()
                    raise Preempted(f"stopped on request after step {state.step} of {recipe.steps}, checkpoint saved")
            if time.monotonic() - self._last_saved > max(CHECKPOINT_EVERY_S, self._saving_s / CHECKPOINT_TIME_SHARE):
                self.save()

    def _verdict(self) -> Verdict:
        if self.state.step >= self._recipe.steps or self.state.is_stale(self._recipe.patience):
            return Verdict.ENOUGH
        # After a bad step nothing is saved: the next one, or the one after it, is good or ends the run.
        can_stop = self.state.step and not self.state.health.n_bad
        return Verdict.STOP if self._stop.is_set() and can_stop else Verdict.GO_ON

    def _step(self, batch: Batch) -> float:
        """One step on the batch of which this is a share. Returns the audio seconds of the whole."""
        state, peers = self.state, self._peers
        rate = learning_rate(state.step, self._recipe.steps, self._recipe.learning_rate)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        # Dropout is a function of the step as well: no generator's state needs saving.
        torch.manual_seed(_step_seed(self._recipe.seed, state.step, peers.share.rank))
        copy_into(self._before, self._statistics)
        weight, audio_s = peers.sum(batch.weight, batch.audio_s)
        with self._autocast():
            loss = self._model.loss(batch)
        loss = loss * (batch.weight / weight)  # its part in the mean over the whole batch
        (loss * peers.world).backward()  # DDP takes the mean over processes
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, MAX_GRADIENT_NORM)
        (value,) = peers.sum(float(loss.detach()))
        if state.health.follow(value, float(norm)):
            self._optimizer.step()
            state.losses.append(value)
        else:
            log.warning("step skipped: loss or gradient is not a number", step=state.step + 1)
            # The forward pass alone has moved batch normalisation's running statistics.
            copy_into(self._statistics, self._before)
            state.losses.append(math.nan)
        self._optimizer.zero_grad(set_to_none=True)
        return audio_s

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        """bfloat16 where it is fast; on a CPU it was slower than float32 (measured)."""
        precision = self._recipe.precision
        if precision is Precision.BFLOAT16 or (precision is Precision.AUTO and self._device.type == "cuda"):
            return torch.autocast(self._device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    def _report(self, audio_s: float, seconds: float, waited_s: float) -> None:
        state, steps = self.state, self._recipe.steps
        waited = waited_s - self._waited_s
        self._waited_s = waited_s
        state.waited_s += waited
        state.train_s += seconds + waited
        if not self._peers.leads:
            return
        speed = state.audio_s / max(state.train_s, 1e-9)
        figures = {
            "loss": state.losses[-1],
            "learning_rate": self._optimizer.param_groups[0]["lr"],
            "audio_hours_per_hour": audio_s / max(seconds + waited, 1e-9),
            "waiting_share": waited / max(seconds + waited, 1e-9),
            "memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2,  # Linux counts in KiB
        }
        if self._device.type == "cuda":
            figures["gpu_memory_gb"] = torch.cuda.max_memory_allocated(self._device) / 1024**3
            figures["gpu_busy_share"] = gpu_busy(self._device)
        self._metrics(state.step, {name: value for name, value in figures.items() if math.isfinite(value)})
        wer = f", WER {100 * state.wers[-1][1]:.1f} %" if state.wers else ""
        self._progress(
            "train", state.step, steps, "steps", f"loss {state.health.smoothed:.2f}{wer}, {speed:.0f}x real time"
        )

    def _validate(self) -> None:
        if self._sample is None or not self._peers.leads:
            return
        state = self.state
        wer = self._sample.score(self._model).rate
        state.wers.append((state.step, wer))
        self._metrics(state.step, {"validation_wer": wer})
        # Of equal scores the later one is kept, for its learning rate was lower; the base only gives way to better.
        if wer < state.best_wer or (wer == state.best_wer and state.best_step > 0):
            state.best_wer, state.best_step = wer, state.step
            state.best = self._checkpoints.save_best(state.step, weights_of(self._model.module))

    def save(self) -> None:
        """Write a checkpoint of this very moment, unless the last step was bad: what is kept is known to be good."""
        if self.state.health.n_bad or not self._peers.leads:
            return
        began = time.monotonic()
        self._checkpoints.save(
            self.state.step,
            weights_of(self._model.module),
            {"optimizer": self._optimizer.state_dict(), "run": self.state.to_plain()},
            self.state.best,
        )
        self._last_saved = time.monotonic()
        self._saving_s = self._last_saved - began

    def _restore(self, found: CheckpointManifest) -> None:
        load_weights(self._model.module, self._checkpoints.weights(found))
        saved = self._checkpoints.state(found)
        self._optimizer.load_state_dict(saved["optimizer"])
        self.state = RunState.from_plain(saved["run"])
        if self.state.best and self._peers.leads:
            self.state.best = self._checkpoints.adopt_best(self.state.best_step, self.state.best)


def _step_seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def weights_of(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """What training changes, by name: parameters that are trained (tied ones once), and saved buffers."""
    trained = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    return {**trained, **saved_buffers(module)}


def saved_buffers(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Buffers that belong to the model's state, by name: the running statistics of batch normalisation."""
    kept = module.state_dict(keep_vars=True).keys()
    return {name: buffer for name, buffer in module.named_buffers() if name in kept}


def copy_into(targets: Iterable[torch.Tensor], sources: Iterable[torch.Tensor]) -> None:
    for target, source in zip(targets, sources, strict=True):
        target.copy_(source)


def load_weights(module: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Put back what `weights_of` gave."""
    with torch.no_grad():
        for name, tensor in weights_of(module).items():
            tensor.copy_(weights[name])


def mean_of_last(losses: list[float], n: int) -> float:
    """The mean of the last `n` losses that are numbers."""
    found = [loss for loss in losses[-n:] if math.isfinite(loss)]
    return float(np.mean(found)) if found else math.nan
