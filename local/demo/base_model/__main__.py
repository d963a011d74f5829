"""Trains the base model.

    python -m local.demo.base_model --pool DIR --run DIR --weights local/demo/base_model/weights

One process synthesises speech into the pool while data-parallel workers train on the shards that exist. The same
command resumes both: the pool after its last shard, training from its last checkpoint.
"""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path
from typing import Annotated

import typer

from local.demo.base_model.pool import fill, write_validation
from local.demo.base_model.trainer import RENDEZVOUS_NAME, Plan, train


def main(
    pool: Annotated[Path, typer.Option(help="folder of the synthetic utterances, about 22 MB a shard")],
    run: Annotated[Path, typer.Option(help="folder of the run's checkpoint and progress.jsonl")],
    weights: Annotated[Path, typer.Option(help="folder of the exported model")],
    minutes: Annotated[float, typer.Option(help="minutes of training, including those for filling the pool")] = 70.0,
    workers: Annotated[int, typer.Option(help="data-parallel processes, one thread each")] = 2,
    shards: Annotated[int, typer.Option(help="shards of 240 utterances, about 23 minutes of speech each")] = 80,
    batch_seconds: Annotated[float, typer.Option(help="seconds of speech in a worker's batch")] = 12.0,
    peak_lr: float = 3e-3,
    validate_every_minutes: float = 6.0,
    seed: int = 1,
) -> None:
    run.mkdir(parents=True, exist_ok=True)
    (run / RENDEZVOUS_NAME).unlink(missing_ok=True)
    write_validation(pool, seed)
    plan = Plan(
        pool=pool.resolve(),
        run=run.resolve(),
        weights=weights.resolve(),
        train_s=60 * minutes,
        n_workers=workers,
        batch_s=batch_seconds,
        peak_lr=peak_lr,
        validate_every_s=60 * validate_every_minutes,
        seed=seed,
    )
    (run / "plan.json").write_text(json.dumps({k: str(v) for k, v in vars(plan).items()}, indent=2) + "\n")
    spawn = multiprocessing.get_context("spawn")
    producer = spawn.Process(target=fill, args=(plan.pool, seed, shards), daemon=True)
    producer.start()
    others = [spawn.Process(target=train, args=(rank, plan), daemon=True) for rank in range(1, workers)]
    for other in others:
        other.start()
    train(0, plan)
    for other in others:
        other.join()
    producer.terminate()


if __name__ == "__main__":
    typer.run(main)
