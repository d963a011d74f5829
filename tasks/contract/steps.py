"""The registry of steps: for each its argument model, the program that runs it, its module and its hardware."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tasks.contract import arguments as a


@dataclass(frozen=True)
class StepDefinition:
    """What both the DAG and the worker know about a step."""

    name: str
    program: Literal["tasks", "training"]
    arguments: type[a.StepArguments]
    module: str
    """The module with `VERSION`, `inputs` and `run`. Only the worker imports it."""
    gpu: bool = False
    """Whether the step can use a GPU. The pod's profile decides whether there is one."""
    fans_out: bool = False
    """Whether the result lists items that later tasks are mapped over."""

    def command(self, argv: list[str]) -> list[str]:
        """Return the interpreter's arguments: `-m tasks scan-corpus --media=…`."""
        return ["-m", self.program, self.name, *argv]


STEPS = {
    step.name: step
    for step in (
        StepDefinition("scan-corpus", "tasks", a.ScanCorpus, "tasks.corpus.steps.scan", fans_out=True),
        StepDefinition("prepare-corpus", "tasks", a.PrepareCorpus, "tasks.corpus.steps.prepare"),
        StepDefinition("match-captions", "tasks", a.MatchCaptions, "tasks.corpus.steps.match", gpu=True),
        StepDefinition("extract-features", "tasks", a.ExtractFeatures, "tasks.corpus.steps.extract", gpu=True),
        StepDefinition("assemble-dataset", "tasks", a.AssembleDataset, "tasks.corpus.steps.assemble"),
        StepDefinition("train", "training", a.Train, "training.steps.train", gpu=True),
        StepDefinition("import-model", "training", a.ImportModel, "training.steps.import_model"),
        StepDefinition("convert-model", "training", a.ConvertModel, "training.steps.convert", gpu=True),
        StepDefinition("evaluate", "training", a.Evaluate, "training.steps.evaluate", gpu=True),
        StepDefinition("compare-models", "training", a.CompareModels, "training.steps.compare"),
        StepDefinition("register-model", "training", a.RegisterModel, "training.steps.register"),
        StepDefinition("register-import", "training", a.RegisterImport, "training.steps.register_import"),
        StepDefinition("promote-model", "training", a.PromoteModel, "training.steps.promote"),
        StepDefinition("plan-night", "tasks", a.PlanNight, "tasks.night.steps.plan", fans_out=True),
        StepDefinition("prepare-media", "tasks", a.PrepareMedia, "tasks.night.steps.prepare"),
        StepDefinition("diarize", "tasks", a.Diarize, "tasks.night.steps.diarize", gpu=True),
        StepDefinition("recognise", "tasks", a.Recognise, "tasks.night.steps.recognise", gpu=True),
        StepDefinition("publish", "tasks", a.Publish, "tasks.night.steps.publish"),
        StepDefinition("report-night", "tasks", a.ReportNight, "tasks.night.steps.report"),
    )
}
