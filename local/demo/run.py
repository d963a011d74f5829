"""`make demo`: the main job from raw audio to transcripts, watched, and told in figures at the end."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console

from local.airflow_api import AirflowApi
from local.board import Board
from local.checks import check
from local.demo.baseline import Baseline
from local.demo.chain import Chain, FinishedRun
from local.demo.channel import make_channel
from local.demo.display import ChainDisplay
from local.demo.night import Score, first_lines, score
from local.demo.night import rows as night_rows
from local.demo.report import dataset_lines, model_lines, night_table, parts_line, percent, show
from local.services import Services
from local.settings import Laptop, LaptopError

NIGHT = "nightly_transcription"
DAG_IDS = ("corpus_features", "finetune_acoustic_model", NIGHT)
PARSED_WITHIN_S = 120.0


class Demo:
    """One demo on one laptop. What was up before stays up; all else is stopped at the end, whatever the end."""

    def __init__(self, laptop: Laptop, console: Console) -> None:
        self._laptop, self._console = laptop, console
        self._services = Services(laptop)
        self._seconds: dict[str, float] = {}

    def run(self) -> int:
        """Returns 0, or 1 when a task failed."""
        for remark in check(self._laptop):
            self._say(f"note: {remark}")
        try:
            with self._part("channel"):
                if make_channel(self._laptop, self._console):
                    self._say("made the demo's channel: archive, inbox and known texts")
            with self._part("services"), Board(self._console) as board:
                self._services.up(board, started_by="demo")
            self._say(f"\nAirflow {self._laptop.airflow_url}   MLflow {self._laptop.mlflow_url}\n")
            finished = self._run_chain()
            self._report(finished)
            return 0
        finally:
            self._stop()

    def _run_chain(self) -> list[FinishedRun]:
        with ChainDisplay(self._console) as display:

            def tend() -> None:
                for name in self._services.revive():
                    display.say(f"{name} has died and is started again (log: {self._services.log(name)})")

            api = AirflowApi(self._laptop, tend)
            self._wait_for_dags(api)
            for dag_id in DAG_IDS:
                api.unpause(dag_id)
            finished = Chain(api, DAG_IDS, self._laptop.receipts, display, tend, self._conf_of).run()
        for item in finished:
            self._seconds[item.run.dag_id] = item.seconds
        return finished

    def _conf_of(self, dag_id: str, cause: FinishedRun) -> dict[str, Any]:
        """A night without any champion is transcribed by the base model, so that there is something to read."""
        promoted = cause.reports.of("promote-model")
        if dag_id != NIGHT or not promoted or promoted[0].labels.get("champion"):
            return {}
        self._say(f"no champion yet ({promoted[0].labels['reason']}): the base model transcribes the night")
        return {"model": self._laptop.places.base_model}

    def _wait_for_dags(self, api: AirflowApi) -> None:
        began = time.monotonic()
        while missing := set(DAG_IDS) - api.dag_ids():
            if faults := api.import_faults():
                told = "\n".join(f"{fault.filename}:\n{_last_lines(fault.stack_trace)}" for fault in faults)
                raise LaptopError(f"a DAG file cannot be imported.\n{told}")
            if time.monotonic() - began > PARSED_WITHIN_S:
                log = self._services.log("dag-processor")
                raise LaptopError(f"Airflow does not know {', '.join(sorted(missing))} yet. See {log}")
            time.sleep(0.5)

    def _report(self, finished: list[FinishedRun]) -> None:
        corpus, model, night = (item.reports for item in finished)
        (assembled,) = corpus.of("assemble-dataset")
        baseline = Baseline(self._laptop, self._services.environment)
        with self._part("base model for comparison"), self._console.status("the base model on the same data"):
            test_wer = baseline.test_wer(assembled.labels["manifest"])
            base_version = baseline.transcribe_inbox()
            before = self._score(baseline.transcripts, base_version)
        places, version = self._laptop.places, night.of("plan-night")[0].labels["model_version"]
        after, rows = self._score(places.transcripts, version), night_rows(places.transcripts, version)

        show(self._console, "Dataset", *dataset_lines(assembled))
        challenger = model.receipts[("evaluate_challenger", -1)]
        registered, promoted = (next(iter(model.of(step)), None) for step in ("register-model", "promote-model"))
        show(self._console, "Model", *model_lines(registered, promoted, challenger, test_wer))
        show(self._console, f"Night, transcribed by {version}", night_table(rows, after, places.transcripts))
        if before and after and before.wer is not None and after.wer is not None:
            change = f"{percent(before.wer)} with the base model, {percent(after.wer)} with {version}"
            show(self._console, f"WER on the inbox ({after.reference_words} words): {change}")
        if told := next((row for row in rows if first_lines(row)), None):
            show(self._console, f"{told.programme}.txt begins", *first_lines(told))
        show(self._console, "Took", parts_line(self._seconds))

    def _score(self, transcripts: str, version: str) -> Score | None:
        return score(transcripts, self._laptop.references, version, self._services.environment)

    def _stop(self) -> None:
        # What an earlier demo left behind when it was killed counts as started by this one.
        ours = tuple(name for name, record in self._services.records().items() if record.started_by == "demo")
        if not ours:
            return
        began = time.monotonic()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C would leave half of it running
        # The terminal may be gone: that is one of the reasons to stop.
        with contextlib.suppress(OSError):
            self._say("stopping what the demo started")
        stopped = self._services.down(ours)
        with contextlib.suppress(OSError):
            self._say(f"stopped {', '.join(stopped)} ({time.monotonic() - began:.0f} s)")

    @contextlib.contextmanager
    def _part(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._seconds[name] = time.monotonic() - began

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False)


def _last_lines(trace: str) -> str:
    return "\n".join(f"  {line}" for line in trace.strip().splitlines()[-4:])
