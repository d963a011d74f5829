"""Other models on the demo's inbox, through the same steps, without Airflow: what the champion is compared with."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.demo.children import Children
from local.services import tail
from local.settings import Installation, UserError, path_of
from tasks.contract import STEPS, Receipt, to_argv

LOW_PRIORITY = ("nice", "-n", "10")  # beside the chain, which the user waits for


@dataclass(frozen=True)
class OtherModel:
    """A model that transcribes the inbox as a night does, step by step."""

    name: str
    """Of the model in the summary."""
    model: str
    run: str
    """Name of its folders of transcripts, receipts and logs, so that the champion's stay apart."""
    installation: Installation
    environment: Mapping[str, str]
    children: Children
    is_imported: bool = False
    """Whether it is registered in MLflow before, under its name, by the steps of the DAG `import_model`."""

    @property
    def transcripts(self) -> str:
        return f"{self.installation.settings.storage}/{self.run}"

    def transcribe_inbox(self) -> str:
        """Transcribe what the model has not transcribed yet; returns its version."""
        where = {"inbox": self.installation.settings.inbox, "transcripts": self.transcripts}
        model = self.register() if self.is_imported else self.model
        plan = self.step("plan-night", batches=1, model=model, **where)
        published = []
        for item in plan.items:
            prepared = self.step("prepare-media", batch=item.uri).result
            recognised = self.step("recognise", prepared=prepared, model=plan.labels["model"]).result
            batch = {"batch": item.uri, "prepared": prepared, "recognised": recognised}
            published.append(self.step("publish", **batch, transcripts=self.transcripts).result)
        if published:
            self.step("report-night", plan=plan.result, published=tuple(published), transcripts=self.transcripts)
        return plan.labels["model_version"]

    def register(self) -> str:
        """Import the model and register it in MLflow; returns the version's URI."""
        imported = self.step("import-model", model=self.model).result
        converted = self.step("convert-model", trained=imported).result
        return self.step("register-import", imported=imported, converted=converted, name=self.name).labels["model"]

    def test_wer(self, dataset: str) -> float:
        """The model's word error rate on the dataset's test split."""
        return self.step("evaluate", model=self.model, dataset=dataset).metrics["wer"]

    def step(self, name: str, /, **arguments: Any) -> Receipt:
        """Run a step.

        Raises:
            UserError: the step failed.
        """
        definition = STEPS[name]
        storage = self.installation.settings.storage
        receipt = f"{storage}/runs/{self.run}/{name}.json"
        values = {**arguments, "output": f"{storage}/work/{name}", "receipt": receipt}
        command = [sys.executable, *definition.command(to_argv(definition.arguments.model_validate(values)))]
        log = self.installation.logs / self.run / f"{name}.log"
        if not self.children.run([*LOW_PRIORITY, *command], log, self.environment):
            raise UserError(f"{name} with {self.name} failed:\n{tail(log)}\nThe whole log: {log}")
        return Receipt.model_validate_json(path_of(receipt).read_bytes())
