"""Where the processor time of a night's recognition goes, stage by stage, and how full Whisper's windows are.

Input: every audio file of `--inbox`. The steps of a night run in this process on one thread, so that the process's time
between entering and leaving a stage is the stage's own; what it calls is counted there. The reading of the next chunks
runs beside, and is counted where it happens to fall.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.support.harness import argument_parser, processor_seconds
from local import weights

Quantity = Callable[[tuple[Any, ...]], float]
"""What a call's arguments stand for, as in seconds of audio or windows."""


class Stages:
    """Processor seconds, calls and quantities of nested stages. Time in an inner stage is not counted in the outer."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.quantities: Counter[str] = Counter()
        self._open: list[str] = []
        self._since = time.process_time()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self._count()
        self._open.append(name)
        self.calls[name] += 1
        try:
            yield
        finally:
            self._count()
            self._open.pop()

    def _count(self) -> None:
        now = time.process_time()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def timed(self, owner: object, method: str, name: str, quantity: Quantity | None = None) -> Any:
        """Return a patch that counts each call of a method as a stage."""
        call = getattr(owner, method)

        @wraps(call)
        def counted(*arguments: Any, **options: Any) -> Any:
            if quantity:
                self.quantities[name] += quantity(arguments)
            with self.stage(name):
                return call(*arguments, **options)

        return mock.patch.object(owner, method, counted)


def patches(stages: Stages) -> Iterator[Any]:
    """Yield the patches that count the stages of recognition."""
    import ctranslate2
    from faster_whisper import WhisperModel

    from benchmarks.support import night_steps
    from tasks.night import fallback, passages
    from tasks.recognition import whisper, whisper_encoder

    network = ctranslate2.models.Whisper
    yield stages.timed(night_steps, "run_step", "other")
    yield stages.timed(whisper.WhisperEngine, "__init__", "load the model")
    yield stages.timed(whisper_encoder.WindowFeatures, "__call__", "features", lambda a: len(a[1]) / 16_000)
    yield stages.timed(WhisperModel, "encode", "encoder", lambda a: a[1].shape[-1] / 100)
    yield stages.timed(network, "generate", "beam search", lambda a: len(a[2]))
    yield stages.timed(network, "align", "word alignment", lambda a: len(a[3]))
    yield stages.timed(network, "detect_language", "language votes", lambda a: a[1].shape[0])
    yield stages.timed(WhisperModel, "add_word_timestamps", "words of the alignment")
    yield stages.timed(whisper, "has_speech", "voice activity of chunks", lambda a: len(a[0]) / 16_000)
    yield stages.timed(fallback, "hear", "chunks: other", lambda a: sum(c.span.duration_ms for c in a[1]) / 1000)
    yield stages.timed(passages, "vote", "programmes' languages: other")
    yield stages.timed(fallback, "fill_gaps", "gaps: other")


UNITS = {
    "features": "s of audio",
    "encoder": "s of windows",
    "beam search": "windows",
    "word alignment": "windows",
    "language votes": "windows",
    "voice activity of chunks": "s of audio",
    "chunks: other": "s of chunks",
}


def main() -> None:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--inbox", type=Path, required=True, help="folder of media")
    parser.add_argument("--model", default="whisper-base", help="name in local.weights, or a folder")
    options = parser.parse_args()
    model = weights.folder(options.model) if options.model in weights.CATALOGUE else Path(options.model)
    if model is None or not model.is_dir():
        parser.error(f"no model {options.model} (install it: python -m local.weights)")
    os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    from benchmarks.support import night_steps

    stages = Stages()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        with stages.stage("imports"):
            counted = list(patches(stages))
        for patch in counted:
            stack.enter_context(patch)
        night_steps.transcribe(options.inbox, Path(folder), model)
    print_stages(stages)


def print_stages(stages: Stages) -> None:
    from rich.console import Console
    from rich.table import Table

    total = sum(stages.seconds.values())
    table = Table("stage", "processor s", "%", "calls", "quantity", title="one thread", box=None)
    for name, seconds in stages.seconds.most_common():
        quantity = f"{stages.quantities[name]:,.0f} {UNITS[name]}" if name in UNITS else ""
        table.add_row(name, f"{seconds:.2f}", f"{100 * seconds / total:.1f}", str(stages.calls[name]), quantity)
    console = Console(width=100)
    console.print(table)
    encoded_s = stages.quantities["encoder"]
    console.print(f"{total:.1f} s in all, {processor_seconds():.1f} s with child processes and start")
    console.print(f"each second of a chunk is encoded {encoded_s / stages.quantities['chunks: other']:.2f} times")


if __name__ == "__main__":
    main()
