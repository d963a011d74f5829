"""A night run step by step in processes of their own, for tests that kill them. Steps are forked: nothing is loaded
twice, so that a kill costs milliseconds.
"""

from __future__ import annotations

import os
import sys
import traceback
from dataclasses import dataclass

from tasks import storage
from tasks.contract import STEPS, Receipt
from tasks.progress import no_progress
from tasks.publishing.transcripts import MANIFEST_NAME, is_complete, published_transcript
from tasks.step import run_step

MOST_TRIES = 40


@dataclass(frozen=True)
class Night:
    """Where a night's inbox, work and transcripts lie, and what transcribes it."""

    root: str
    model: str
    batches: int = 2
    forks: bool = True
    """Whether each step has a process of its own. On S3 it must not: obstore's threads do not survive a fork."""

    def at(self, *parts: str) -> str:
        return storage.join(self.root, *parts)

    @property
    def transcripts(self) -> str:
        return self.at("transcripts")

    def run(self) -> Receipt:
        """From the plan to the report: what a scheduler does. Returns the report's receipt."""
        plan = self._step(
            "plan-night",
            "plan",
            inbox=self.at("inbox"),
            transcripts=self.transcripts,
            model=self.model,
            diarizer=self.model,  # it is not run here
            batches=self.batches,
            settle_s=0,
        )
        published = []
        for number, item in enumerate(plan.items):
            prepared = self._step("prepare-media", f"prepare-{number}", batch=item.uri).result
            recognised = self._step(
                "recognise", f"recognise-{number}", prepared=prepared, model=plan.labels["model"]
            ).result
            published.append(
                self._step(
                    "publish",
                    f"publish-{number}",
                    batch=item.uri,
                    prepared=prepared,
                    recognised=recognised,
                    transcripts=self.transcripts,
                ).result
            )
        return self._step(
            "report-night", "report", plan=plan.result, published=tuple(published), transcripts=self.transcripts
        )

    def _step(self, name: str, task: str, **arguments: object) -> Receipt:
        """Run one step in a process of its own, again and again until it ends well."""
        receipt = self.at("runs", f"{task}.json")
        definition = STEPS[name]
        filled = definition.arguments(output=self.at("work", name), receipt=receipt, **arguments)
        if not self.forks:
            return run_step(definition, filled, no_progress)
        for _ in range(MOST_TRIES):
            storage.delete(receipt)
            child = os.fork()
            if not child:
                end_with(lambda: run_step(definition, filled, no_progress))
            if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
                return Receipt.model_validate_json(storage.read_bytes(receipt))
        raise RuntimeError(f"{name} did not end well in {MOST_TRIES} tries")


def end_with(call: object) -> None:
    """The rest of a forked process: it never returns to what its parent was doing."""
    code = 1
    try:
        call()  # type: ignore[operator]
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def manifests(night: Night) -> list[str]:
    """Of the transcript sets in sight. Every one of them is whole."""
    found = [o.uri for o in storage.list_objects(night.transcripts) if o.uri.endswith("/" + MANIFEST_NAME)]
    assert all(is_complete(uri) for uri in found)
    return found


def one_whole_set_each(night: Night, n_programmes: int) -> None:
    """Assert that each bulletin of the inbox has one transcript set, whole, and that nothing else lies beside them."""
    programmes = [published_transcript(uri)[0].programme for uri in manifests(night)]
    assert sorted(programmes) == [f"bulletin-{n:02d}" for n in range(n_programmes)]
    folders = {
        storage.parent(found.uri)
        for found in storage.list_objects(night.transcripts)
        if "/bulletin-" in found.uri and "/_" not in found.uri
    }
    assert folders == {storage.parent(uri) for uri in manifests(night)}, "nothing half-done is left"
