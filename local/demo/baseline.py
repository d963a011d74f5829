"""The base model on the same data and through the same steps, without Airflow: the figures *before* fine-tuning."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.services import tail
from local.settings import CHECKOUT, Installation, UserError, path_of
from tasks.contract import STEPS, Receipt, to_argv

RUN = "demo-baseline"


@dataclass(frozen=True)
class Baseline:
    """Runs steps as the local operator does, one after the other."""

    installation: Installation
    environment: Mapping[str, str]

    @property
    def transcripts(self) -> str:
        """A separate prefix, so that the champion's transcripts stay apart."""
        return f"{self.installation.settings.storage}/{RUN}"

    def transcribe_inbox(self) -> str:
        """Transcribe what the base model has not transcribed yet; returns the base model's version."""
        settings = self.installation.settings
        model = {"model": settings.base_model, "transcripts": self.transcripts}
        plan = self.step("plan-night", inbox=settings.inbox, batches=1, **model)
        published = []
        for item in plan.items:
            prepared = self.step("prepare-media", batch=item.uri).result
            recognised = self.step("recognise", prepared=prepared, model=plan.labels["model"]).result
            batch = {"batch": item.uri, "prepared": prepared, "recognised": recognised}
            published.append(self.step("publish", **batch, transcripts=self.transcripts).result)
        if published:
            self.step("report-night", plan=plan.result, published=tuple(published), transcripts=self.transcripts)
        return plan.labels["model_version"]

    def test_wer(self, dataset: str) -> float:
        """The base model's word error rate on the dataset's test split."""
        return self.step("evaluate", model=self.installation.settings.base_model, dataset=dataset).metrics["wer"]

    def step(self, name: str, **arguments: Any) -> Receipt:
        """Run a step.

        Raises:
            UserError: the step failed.
        """
        definition = STEPS[name]
        receipt = f"{self.installation.settings.storage}/runs/{RUN}/{name}.json"
        values = {**arguments, "output": f"{self.installation.settings.storage}/work/{name}", "receipt": receipt}
        command = [sys.executable, *definition.command(to_argv(definition.arguments.model_validate(values)))]
        log: Path = self.installation.logs / RUN / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as sink:
            done = subprocess.run(
                command, cwd=CHECKOUT, env=dict(self.environment), stdout=sink, stderr=subprocess.STDOUT, check=False
            )
        if done.returncode:
            raise UserError(f"{name} with the base model failed:\n{tail(log)}\nThe whole log: {log}")
        return Receipt.model_validate_json(path_of(receipt).read_bytes())
