"""What the base model makes of the same data, by the same steps, without Airflow: the figures *before*."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.services import tail
from local.settings import CHECKOUT, Laptop, LaptopError, path_of
from tasks.contract import STEPS, Receipt, to_argv

RUN = "demo-baseline"


@dataclass(frozen=True)
class Baseline:
    """Runs steps as an operator would, one after the other."""

    laptop: Laptop
    environment: Mapping[str, str]

    @property
    def transcripts(self) -> str:
        """A prefix of its own: published transcripts are the champion's."""
        return f"{self.laptop.places.storage}/{RUN}"

    def transcribe_inbox(self) -> str:
        """Transcribe with the base model what it has not transcribed yet; returns the base model's version."""
        places = self.laptop.places
        model = {"model": places.base_model, "transcripts": self.transcripts}
        plan = self.step("plan-night", inbox=places.inbox, batches=1, **model)
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
        return self.step("evaluate", model=self.laptop.places.base_model, dataset=dataset).metrics["wer"]

    def step(self, name: str, **arguments: Any) -> Receipt:
        """Run one step to its end.

        Raises:
            LaptopError: it failed.
        """
        definition = STEPS[name]
        receipt = f"{self.laptop.places.storage}/runs/{RUN}/{name}.json"
        given = {**arguments, "output": f"{self.laptop.places.storage}/work/{name}", "receipt": receipt}
        command = [sys.executable, *definition.command(to_argv(definition.arguments.model_validate(given)))]
        log: Path = self.laptop.logs / RUN / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as sink:
            done = subprocess.run(
                command, cwd=CHECKOUT, env=dict(self.environment), stdout=sink, stderr=subprocess.STDOUT, check=False
            )
        if done.returncode:
            raise LaptopError(f"{name} with the base model failed:\n{tail(log)}\nThe whole log: {log}")
        return Receipt.model_validate_json(path_of(receipt).read_bytes())
