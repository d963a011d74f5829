"""`make demo`: the whole path from raw audio to transcripts, with live progress and a summary."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console

from local.airflow_api import AirflowApi
from local.checks import check_prerequisites
from local.demo.baseline import Baseline
from local.demo.chain import Chain, FinishedRun
from local.demo.channel_setup import ensure_channel
from local.demo.display import ChainDisplay
from local.demo.night_results import NightScore, first_lines, programme_results, score_nights
from local.demo.summary import dataset_lines, durations_line, model_lines, night_table, percent, show
from local.services import Services
from local.settings import Installation, UserError
from local.status_table import StatusTable

NIGHT = "nightly_transcription"
DAG_IDS = ("corpus_features", "finetune_acoustic_model", NIGHT)
PARSE_TIMEOUT_S = 120.0


class Demo:
    """A demo run. Stops the services it started, however it ends; services that were running before stay up."""

    def __init__(self, installation: Installation, console: Console) -> None:
        self._installation, self._console = installation, console
        self._services = Services(installation)
        self._seconds: dict[str, float] = {}

    def run(self) -> int:
        """Run the demo; returns the exit code 0.

        Raises:
            UserError: a prerequisite is missing, or a service or task failed.
        """
        for warning in check_prerequisites(self._installation):
            self._print(f"note: {warning}")
        try:
            with self._timed("channel"):
                if ensure_channel(self._installation, self._console):
                    self._print("synthesised the demo's channel: archive, inbox and reference texts")
            with self._timed("services"), StatusTable(self._console) as table:
                self._services.up(table, started_by="demo")
            self._print(f"\nAirflow {self._installation.airflow_url}   MLflow {self._installation.mlflow_url}\n")
            finished = self._run_chain()
            self._summarise(finished)
            return 0
        finally:
            self._stop()

    def _run_chain(self) -> list[FinishedRun]:
        with ChainDisplay(self._console) as display:

            def keep_alive() -> None:
                for name in self._services.restart_dead():
                    display.print(f"{name} died and was restarted (log: {self._services.log(name)})")

            api = AirflowApi(self._installation, keep_alive)
            self._wait_for_dags(api)
            for dag_id in DAG_IDS:
                api.unpause(dag_id)
            finished = Chain(api, DAG_IDS, self._installation.receipts, display, keep_alive, self._conf_of).run()
        for item in finished:
            self._seconds[item.run.dag_id] = item.seconds
        return finished

    def _conf_of(self, dag_id: str, cause: FinishedRun) -> dict[str, Any]:
        """Without a champion the night uses the base model, so that there are transcripts to look at."""
        promoted = cause.reports.of("promote-model")
        if dag_id != NIGHT or not promoted or promoted[0].labels.get("champion"):
            return {}
        self._print(f"no champion yet ({promoted[0].labels['reason']}): the base model transcribes the night")
        return {"model": self._installation.settings.base_model}

    def _wait_for_dags(self, api: AirflowApi) -> None:
        began = time.monotonic()
        while missing := set(DAG_IDS) - api.dag_ids():
            if errors := api.import_errors():
                listed = "\n".join(f"{error.filename}:\n{_last_lines(error.stack_trace)}" for error in errors)
                raise UserError(f"a DAG file cannot be imported.\n{listed}")
            if time.monotonic() - began > PARSE_TIMEOUT_S:
                log = self._services.log("dag-processor")
                raise UserError(f"Airflow has not parsed {', '.join(sorted(missing))} yet. See {log}")
            time.sleep(0.5)

    def _summarise(self, finished: list[FinishedRun]) -> None:
        corpus, model, night = (item.reports for item in finished)
        (assembled,) = corpus.of("assemble-dataset")
        baseline = Baseline(self._installation, self._services.environment)
        with self._timed("base model for comparison"), self._console.status("the base model on the same data"):
            test_wer = baseline.test_wer(assembled.labels["manifest"])
            base_version = baseline.transcribe_inbox()
            before = self._score(baseline.transcripts, base_version)
        transcripts = self._installation.settings.transcripts
        version = night.of("plan-night")[0].labels["model_version"]
        after, results = self._score(transcripts, version), programme_results(transcripts, version)

        show(self._console, "Dataset", *dataset_lines(assembled))
        challenger = model.receipts[("evaluate_challenger", -1)]
        registered, promoted = (next(iter(model.of(step)), None) for step in ("register-model", "promote-model"))
        show(self._console, "Model", *model_lines(registered, promoted, challenger, test_wer))
        show(self._console, f"Night, transcribed by {version}", night_table(results, after, transcripts))
        if before and after and before.wer is not None and after.wer is not None:
            change = f"{percent(before.wer)} with the base model, {percent(after.wer)} with {version}"
            show(self._console, f"WER on the inbox ({after.reference_words} words): {change}")
        if example := next((result for result in results if first_lines(result)), None):
            show(self._console, f"{example.programme}.txt begins", *first_lines(example))
        show(self._console, "Time", durations_line(self._seconds))

    def _score(self, transcripts: str, version: str) -> NightScore | None:
        return score_nights(transcripts, self._installation.references, version, self._services.environment)

    def _stop(self) -> None:
        # Includes the services of an earlier demo that was killed.
        ours = tuple(name for name, record in self._services.records().items() if record.started_by == "demo")
        if not ours:
            return
        began = time.monotonic()
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, signal.SIG_IGN)  # a second Ctrl-C must not leave services running
        # Printing fails if the terminal was closed, which is one of the reasons to stop.
        with contextlib.suppress(OSError):
            self._print("stopping the demo's services")
        stopped = self._services.down(ours)
        with contextlib.suppress(OSError):
            self._print(f"stopped {', '.join(stopped)} ({time.monotonic() - began:.0f} s)")

    @contextlib.contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._seconds[name] = time.monotonic() - began

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False)


def _last_lines(trace: str) -> str:
    return "\n".join(f"  {line}" for line in trace.strip().splitlines()[-4:])
