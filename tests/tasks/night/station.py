"""A television station for tests: an inbox, and the steps of a night in their order."""

from __future__ import annotations

from dataclasses import dataclass

from tasks import storage
from tasks.contract import STEPS, Outcome, Receipt
from tasks.progress import no_progress
from tasks.publishing.transcripts import MANIFEST_NAME, is_complete
from tasks.reporting.records import NightReport
from tasks.step import load_result, output_uri, run_step
from tasks.storage.records import read_one


@dataclass(frozen=True)
class Station:
    """A station's storage and its nights."""

    root: str

    def at(self, *parts: str) -> str:
        return storage.join(self.root, *parts)

    def deliver(self, name: str, data: bytes) -> None:
        storage.write(self.at("inbox", name), data)

    def step(self, name: str, **arguments: object) -> Receipt:
        definition = STEPS[name]
        return run_step(definition, definition.arguments(output=self.at("work", name), **arguments), no_progress)

    def plan(self, model: str, batches: int = 2) -> Receipt:
        inbox, transcripts = self.at("inbox"), self.at("transcripts")
        return self.step("plan-night", inbox=inbox, transcripts=transcripts, model=model, batches=batches, settle_s=0)

    def night(self, model: str, batches: int = 2) -> tuple[Receipt, NightReport]:
        """Plan, every batch and the report. Returns the plan and the report."""
        plan = self.plan(model, batches)
        transcripts = self.at("transcripts")
        published = []
        for item in plan.items:
            prepared = self.step("prepare-media", batch=item.uri).result
            found = {
                "recognised": self.step("recognise", prepared=prepared, model=plan.labels["model"]).result,
                "diarized": self.step("diarize", prepared=prepared, diarizer=plan.labels["diarizer"]).result,
            }
            arguments = {"batch": item.uri, "prepared": prepared, "transcripts": transcripts, **found}
            published.append(self.step("publish", **arguments).result)
        report = self.step("report-night", plan=plan.result, published=tuple(published), transcripts=transcripts)
        return plan, read_one(NightReport, output_uri(report.result, load_result(report.result), "report.json"))

    def transcript_sets(self) -> list[str]:
        """Folders of all visible transcripts. Asserts that each is complete."""
        uris = [o.uri for o in storage.list_objects(self.at("transcripts"))]
        manifests = [uri for uri in uris if uri.endswith(MANIFEST_NAME)]
        assert all(is_complete(uri) for uri in manifests)
        return [storage.parent(uri) for uri in manifests]


def outcomes(report: NightReport) -> dict[str, Outcome]:
    return {row.programme: row.outcome for row in report.rows}
