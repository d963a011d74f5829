"""Trains the base model for a given time: data-parallel workers, cosine decay over wall-clock time."""

from __future__ import annotations

import json
import math
import random
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from local.demo.base_model.alphabet import make_tokenizer
from local.demo.base_model.base_model_card import write_card
from local.demo.base_model.batches import collate, endless_batches, spec_augment
from local.demo.base_model.model import SUBSAMPLING, export, make_model
from local.demo.base_model.pool import Utterance, read_shard

if TYPE_CHECKING:
    from transformers import ParakeetForCTC, ParakeetTokenizer

WARMUP_STEPS = 100
FINAL_LR_SHARE = 0.01
SPEC_AUGMENT_FROM = 0.15  # share of the training time; alignments must form first
NONSPEECH_FROM = 0.15  # likewise: before blanks are learned, the loss of an empty text outweighs all others
AVERAGE_DECAY = 0.999  # decay of the weights' exponential moving average, which is validated and exported
RENDEZVOUS_NAME = "rendezvous"


@dataclass(frozen=True)
class Plan:
    """The parameters of a training run."""

    pool: Path
    run: Path
    weights: Path
    train_s: float
    n_workers: int
    batch_s: float
    peak_lr: float
    validate_every_s: float
    seed: int


@dataclass
class Progress:
    step: int = 0
    elapsed_s: float = 0.0
    audio_s: float = 0.0
    best_wer: float = math.inf


def learning_rate(step: int, share: float, peak: float) -> float:
    """Linear warm-up over steps, then a cosine over the elapsed share of the time."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))
    return peak * min(1.0, (step + 1) / WARMUP_STEPS) * max(cosine, FINAL_LR_SHARE)


def train(rank: int, plan: Plan) -> None:
    """Run one worker. Worker 0 keeps the time, validates, writes checkpoints and exports."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    torch.manual_seed(plan.seed)
    rendezvous = plan.run / RENDEZVOUS_NAME
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=plan.n_workers)
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.peak_lr, betas=(0.9, 0.98), fused=True)
    average = make_model()
    average.load_state_dict(model.state_dict())
    progress = Progress()
    checkpoint = plan.run / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average.load_state_dict(state["average"])
        progress = Progress(**state["progress"])
    dist.barrier()

    rng = random.Random(f"masks/{plan.seed}/{rank}/{progress.step}")
    batches = endless_batches(plan.pool, plan.batch_s, rank, plan.n_workers, plan.seed + progress.step)
    began = time.monotonic() - progress.elapsed_s
    validated_s = progress.elapsed_s
    loss_sum, loss_steps = 0.0, 0
    share = progress.elapsed_s / plan.train_s
    while share < 1.0:
        batch = next(batches)
        if share < NONSPEECH_FROM:
            batch = [u for u in batch if len(u.labels)] or batch
        features, mask, labels = collate(batch)  # (batch, n_frames, n_mels), (batch, n_frames), (batch, n_labels)
        if share > SPEC_AUGMENT_FROM:
            features = spec_augment(features, rng)
        model.train()
        loss = model(input_features=features, attention_mask=mask, labels=labels).loss
        loss.backward()
        elapsed_s = time.monotonic() - began
        audio_s = sum(u.duration_s for u in batch)
        clock_s, all_audio_s, loss_over_workers = _reduce(model, [elapsed_s * (rank == 0), audio_s, loss.item()])
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(progress.step, share, plan.peak_lr)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        progress.step += 1
        progress.audio_s += all_audio_s
        progress.elapsed_s = clock_s
        share = clock_s / plan.train_s  # equal in all workers, so that they leave the loop together
        if rank:
            continue
        _average_into(average, model, progress.step)
        loss_sum, loss_steps = loss_sum + loss_over_workers / plan.n_workers, loss_steps + 1
        if clock_s - validated_s >= plan.validate_every_s or share >= 1.0:
            _validate(plan, model, average, optimizer, progress, loss_sum / loss_steps)
            loss_sum, loss_steps = 0.0, 0
            progress.elapsed_s = validated_s = time.monotonic() - began
    dist.destroy_process_group()


def _reduce(model: torch.nn.Module, values: list[float]) -> list[float]:
    """Average all gradients over the workers, in place, and return the sums of `values`, in one all-reduce."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    message = torch.cat([g.flatten() for g in gradients] + [torch.tensor(values)])
    dist.all_reduce(message)
    n_workers = dist.get_world_size()
    sizes = [g.numel() for g in gradients]
    *parts, summed = message.split([*sizes, len(values)])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient) / n_workers)
    return [float(value) for value in summed]


@torch.no_grad()
def _average_into(average: torch.nn.Module, model: torch.nn.Module, step: int) -> None:
    weight = 1 - min(AVERAGE_DECAY, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), weight)
    for averaged, current in zip(average.buffers(), model.buffers(), strict=True):
        averaged.copy_(current)  # batch norm's running statistics are averages already


def _validate(
    plan: Plan,
    model: ParakeetForCTC,
    average: ParakeetForCTC,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    loss: float,
) -> None:
    """Log the WER on unseen voices and sentences to `progress.jsonl`, export the best model, write a checkpoint."""
    tokenizer = make_tokenizer()
    clean = word_error_rate(average, tokenizer, read_shard(plan.pool / "validation-clean.npz"))
    noisy = word_error_rate(average, tokenizer, read_shard(plan.pool / "validation-noisy.npz"))
    line: dict[str, Any] = {
        "step": progress.step,
        "elapsed_s": round(progress.elapsed_s),
        "audio_h": round(progress.audio_s / 3600, 2),
        "pool_shards": len(list(plan.pool.glob("train-*.npz"))),
        "lr": optimizer.param_groups[0]["lr"],
        "loss": round(loss, 4),
        "wer_clean": round(clean, 4),
        "wer_noisy": round(noisy, 4),
    }
    with (plan.run / "progress.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    if clean + noisy < progress.best_wer:
        progress.best_wer = clean + noisy
        export(average, plan.weights)
        write_card(plan.run, plan.weights)
    partial = plan.run / "checkpoint.part"
    torch.save(
        {
            "model": model.state_dict(),
            "average": average.state_dict(),
            "optimizer": optimizer.state_dict(),
            "progress": asdict(progress),
        },
        partial,
    )
    partial.rename(plan.run / "checkpoint.pt")


@torch.inference_mode()
def word_error_rate(model: ParakeetForCTC, tokenizer: ParakeetTokenizer, utterances: list[Utterance]) -> float:
    """WER of greedy decoding, ignoring punctuation."""
    import jiwer

    model.eval()
    references, hypotheses = [], []
    ordered = sorted(utterances, key=lambda u: len(u.features))
    for start in range(0, len(ordered), 16):
        batch = ordered[start : start + 16]
        features, mask, _ = collate(batch)
        best = model(input_features=features, attention_mask=mask).logits.argmax(-1)  # (batch, n_out_frames)
        for utterance, ids in zip(batch, best, strict=True):
            n_out_frames = -(-len(utterance.features) // SUBSAMPLING)
            hypotheses.append(_words(str(tokenizer.decode(ids[:n_out_frames].tolist()))))
            references.append(_words(str(tokenizer.decode(utterance.labels.tolist(), group_tokens=False))))
    return float(jiwer.wer(references, hypotheses))


def _words(text: str) -> str:
    return " ".join(text.translate(str.maketrans(".,?", "   ")).split())
