"""A stand-in worker: its steps do no work, but use the real contract's argument vectors, keys, results and receipts.

It replaces the worker's interpreter (`AIRSCRIPT_WORKER_PYTHON`). A step reads the `result.json` of the steps before it,
so wrong wiring fails. The variable `STAND_IN` makes steps misbehave: `step=behaviour` pairs, see `misbehave`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import types
from typing import Any

from tasks import storage
from tasks.command import main
from tasks.contract import RESULT_NAME, STEPS, InputRejected, MappedItem, Misconfigured, Preempted, Reason
from tasks.contract.arguments import OPERATIONAL
from tasks.step import StepContext, StepOutput, load_result

BEHAVIOURS = dict(pair.split("=") for pair in os.environ.get("STAND_IN", "").split(",") if pair)
COMPARED = [
    *("difference_low", "difference_high", "challenger_wer", "champion_wer", "challenger_rtfx", "champion_rtfx"),
    *("challenger_invented_per_minute", "champion_invented_per_minute"),
]
N_ITEMS = int(os.environ.get("STAND_IN_ITEMS", "2"))


class StandIn(types.ModuleType):
    """The module of a step that publishes small objects."""

    VERSION = 1

    def __init__(self, step: str, module: str) -> None:
        super().__init__(module)
        self.step = step

    def inputs(self, arguments: Any) -> dict[str, str]:
        """The digests of all arguments that are results or items."""
        given = [getattr(arguments, name) for name in type(arguments).model_fields if name not in OPERATIONAL]
        uris = [uri for value in given for uri in (value if isinstance(value, tuple) else (value,))]
        results = {uri: load_result(uri).content_digest for uri in uris if str(uri).endswith(RESULT_NAME)}
        items = {uri: storage.digest(uri) for uri in uris if "/part-" in str(uri)}
        return results | items

    def run(self, arguments: Any, context: StepContext) -> StepOutput:
        misbehave(BEHAVIOURS.get(self.step, ""), arguments, context)
        names = [f"part-{number}" for number in range(N_ITEMS)] if STEPS[self.step].fans_out else ["whole"]
        for name in names:
            context.publish(f"{name}.json", f'"{self.step} {name}"'.encode())
        return StepOutput(
            items=tuple(MappedItem(name=name, path=context.path(f"{name}.json")) for name in names),
            counts={"things": len(names)},
            metrics=dict.fromkeys(COMPARED, 0.1),
            labels={
                "model": "models:/acoustic-model/1",
                "diarizer": "embedded",
                "manifest": f"{context.prefix}/dataset/manifest.json",
                "promoted": "no" if BEHAVIOURS.get(self.step) == "keep" else "yes",
                "decision": "promote",
                "reason": "it is better",
                "base_uri": "s3://speech/models/base",
                "features": "whisper-128",
            },
            warnings=("one file was quarantined",) if BEHAVIOURS.get(self.step) == "warn" else (),
        )


def misbehave(behaviour: str, arguments: Any, context: StepContext) -> None:
    """Fail in the way of `behaviour`."""
    match behaviour:
        case "reject":
            raise InputRejected("no audio in it", reason=Reason.EMPTY, subject="a.wav", next_step="send it again")
        case "reject_second" if "part-1" in str(arguments):
            raise InputRejected("no audio in it", reason=Reason.EMPTY, subject="b.wav")
        case "misconfigure":
            raise Misconfigured("no such model family", reason=Reason.INVALID_ARGUMENT)
        case "preempted":
            raise Preempted
        case "memory":
            raise MemoryError
        case "fault":
            raise RuntimeError("a bug")
        case "silent":  # exits with 0 without a receipt
            os._exit(0)
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "sleep":
            # With a child process, like a data loader.
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            print("asleep", flush=True)
            time.sleep(600)
        case "save":
            with context.graceful() as stop:
                print("asleep", flush=True)
                stop.wait(600)
                context.publish("checkpoint", b"saved")
                raise Preempted
        case "environment":
            print("names:", *sorted(os.environ), flush=True)


if __name__ == "__main__":
    _, program, *argv = sys.argv[1:]
    for definition in STEPS.values():
        sys.modules[definition.module] = StandIn(definition.name, definition.module)
    sys.exit(main(program, argv))
