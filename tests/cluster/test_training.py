"""Training resumes from its checkpoint after its pod was preempted, and gives the same model."""

from __future__ import annotations

import hashlib
from typing import Any

from dags.common.receipts import task_receipt_uri
from tasks.contract import ProgressReport, progress_uri
from tests.cluster.installation import BUCKET, JOBS, Platform, Watcher, kubectl
from tests.cluster.test_faults import running

STEPS = 60


def steps_done(platform: Platform, run: Any) -> float:
    """The training steps completed, by the progress report."""
    key = progress_uri(task_receipt_uri(f"s3://{BUCKET}", "train", run.dag_id, run.dag_run_id, "train")).removeprefix(
        f"s3://{BUCKET}/"
    )
    if key not in platform.keys(key):
        return 0
    report = ProgressReport.model_validate_json(platform.read(key))
    return report.completed if report.stage == "train" else 0


def trained(platform: Platform, run: Any, watcher: Watcher, preempt_at: int = 0) -> str:
    """Follow a run until training has ended, then stop it; returns the digest of the model's weights."""
    preempted: list[str] = []

    def look(pods: list[dict[str, Any]]) -> None:
        state = platform.tries(run).get("train", (None, 0))[0]
        if state in ("success", "failed"):
            platform.stop(run)
        name = running(pods, "train")
        if preempt_at and name and not preempted and steps_done(platform, run) >= preempt_at:
            preempted.append(name)
            kubectl("delete", "pod", name, "-n", JOBS, "--wait=false")

    platform.follow(run, watcher, act=look)
    assert platform.tries(run)["train"][0] == "success", platform.describe(run)
    assert bool(preempted) == bool(preempt_at)
    weights = [key for key in platform.keys("work/train/") if key.endswith("model/model.safetensors")]
    assert len(weights) == 1, weights
    return hashlib.sha256(platform.read(weights[0])).hexdigest()


def test_training_with_a_preemption_gives_the_same_model(platform: Platform, dataset: str, watcher: Watcher) -> None:
    platform.api.unpause("finetune_acoustic_model")  # not earlier: the new dataset would have triggered it
    conf = {"dataset": dataset, "steps": STEPS, "promote": "no"}
    undisturbed = trained(platform, platform.api.trigger("finetune_acoustic_model", conf), Watcher())
    for key in platform.keys("work/train/"):
        platform.s3.delete_object(Bucket=BUCKET, Key=key)
    run = platform.api.trigger("finetune_acoustic_model", conf)
    assert trained(platform, run, watcher, preempt_at=STEPS // 2) == undisturbed
    assert watcher.steps().count("train") == 2
    assert platform.tries(run)["train"][1] == 2
