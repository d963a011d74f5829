"""A night whose steps run in processes of their own, for tests that kill them. Steps are forked: libraries are loaded
once, so that a kill costs milliseconds.
"""

from __future__ import annotations

import os
import sys
import traceback
from dataclasses import dataclass

from tasks import storage
from tasks.contract import STEPS, Receipt
from tasks.progress import no_progress
from tasks.publishing.transcripts import MANIFEST_NAME, is_complete, read_published_transcript
from tasks.step import run_step

MAX_TRIES = 40


@dataclass(frozen=True)
class Night:
    """A night's storage and model."""

    root: str
    model: str
    batches: int = 2
    forks: bool = True
    """Whether each step runs in its own process. Not possible on S3: obstore's threads do not survive a fork."""

    def at(self, *parts: str) -> str:
        return storage.join(self.root, *parts)

    @property
    def transcripts(self) -> str:
        return self.at("transcripts")

    def run(self) -> Receipt:
        """Run all steps from the plan to the report, as a scheduler does. Returns the report's receipt."""
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
        """Run one step in its own process, and retry until it succeeds."""
        receipt = self.at("runs", f"{task}.json")
        definition = STEPS[name]
        filled = definition.arguments(output=self.at("work", name), receipt=receipt, **arguments)
        if not self.forks:
            return run_step(definition, filled, no_progress)
        for _ in range(MAX_TRIES):
            storage.delete(receipt)
            child = os.fork()
            if not child:
                exit_after(lambda: run_step(definition, filled, no_progress))
            if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
                return Receipt.model_validate_json(storage.read_bytes(receipt))
        raise RuntimeError(f"{name} did not succeed in {MAX_TRIES} tries")


def exit_after(call: object) -> None:
    """Make a call and end the forked process, which must not go on with its parent's work."""
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


def complete_manifests(night: Night) -> list[str]:
    """The manifests of all visible transcript sets. Asserts that each set is complete."""
    found = [o.uri for o in storage.list_objects(night.transcripts) if o.uri.endswith("/" + MANIFEST_NAME)]
    assert all(is_complete(uri) for uri in found)
    return found


def assert_one_complete_set_each(night: Night, n_programmes: int) -> None:
    """Assert that each bulletin of the inbox has one complete transcript set, and that there are no other files."""
    programmes = [read_published_transcript(uri)[0].programme for uri in complete_manifests(night)]
    assert sorted(programmes) == [f"bulletin-{n:02d}" for n in range(n_programmes)]
    folders = {
        storage.parent(found.uri)
        for found in storage.list_objects(night.transcripts)
        if "/bulletin-" in found.uri and "/_" not in found.uri
    }
    assert folders == {storage.parent(uri) for uri in complete_manifests(night)}, "no partial set is left"
