"""`make demo`: the whole path from raw audio to transcripts, with live progress and a summary."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from local import weights
from local.airflow_api import AirflowApi
from local.checks import check_prerequisites
from local.demo.chain import Chain, FinishedRun
from local.demo.channel_setup import ensure_channel
from local.demo.children import Children
from local.demo.display import ChainDisplay
from local.demo.night_results import NightScore, ProgrammeResult, programme_results, score_nights
from local.demo.other_model import OtherModel
from local.demo.summary import (
    dataset_lines,
    durations_line,
    example_lines,
    inbox_line,
    model_lines,
    night_table,
    show,
)
from local.services import Services
from local.settings import Installation, UserError
from local.status_table import StatusTable

NIGHT = "nightly_transcription"
DAG_IDS = ("corpus_features", "finetune_acoustic_model", NIGHT)
PARSE_TIMEOUT_S = 120.0


WHISPER = "whisper-base"


@dataclass(frozen=True)
class InboxScore:
    """One model's transcripts of the inbox."""

    model: str
    score: NightScore | None
    results: list[ProgrammeResult]


class Demo:
    """A demo run. Stops the services it started, however it ends; services that were running before stay up."""

    def __init__(self, installation: Installation, console: Console) -> None:
        self._installation, self._console = installation, console
        self._services = Services(installation)
        self._children = Children()
        self._background = ThreadPoolExecutor(max_workers=1)
        self._seconds: dict[str, float] = {}

    def run(self) -> int:
        """Run the demo; returns the exit code 0.

        Raises:
            UserError: a prerequisite is missing, or a service or task failed.
        """
        for warning in check_prerequisites(self._installation):
            self._print(f"note: {warning}")
        try:
            channel = self._background.submit(ensure_channel, self._installation, self._children)
            with self._timed("channel and services"):
                with StatusTable(self._console) as table:
                    self._services.up(table, started_by="demo")
                with self._console.status("synthesising the demo's channel: archive and inbox"):
                    is_new = channel.result()
            if is_new:
                self._print("synthesised the demo's channel: archive, inbox and reference texts")
            others = [(other, self._background.submit(other.transcribe_inbox)) for other in self._other_models()]
            self._print(f"\nAirflow {self._installation.airflow_url}   MLflow {self._installation.mlflow_url}\n")
            finished = self._run_chain()
            self._summarise(finished, others)
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

    def _other_models(self) -> list[OtherModel]:
        """Whisper as imported, if its weights are installed, and the base model of the training."""
        common = self._installation, self._services.environment, self._children
        base = OtherModel("the base model", self._installation.settings.base_model, "demo-baseline", *common)
        if (whisper := weights.folder(WHISPER)) is None:
            self._print(f"note: without {WHISPER} (`python -m local.weights` installs it)")
            return [base]
        return [OtherModel(WHISPER, str(whisper), f"demo-{WHISPER}", *common, is_imported=True), base]

    def _summarise(self, finished: list[FinishedRun], others: list[tuple[OtherModel, Future[str]]]) -> None:
        corpus, model, night = (item.reports for item in finished)
        (assembled,) = corpus.of("assemble-dataset")
        base, _ = others[-1]
        names = " and ".join(other.name for other, _ in others)
        with self._timed("other models"), self._console.status(f"{names} on the inbox"):
            other_scores = [self._inbox_score(o.name, o.transcripts, done.result()) for o, done in others]
            champion = model.receipts.get(("evaluate_champion", -1))
            is_base = champion is not None and champion.labels.get("fell_back") == "yes"
            manifest = assembled.labels["manifest"]
            before = champion.metrics["wer"] if champion and is_base else base.test_wer(manifest)
            transcripts = self._installation.settings.transcripts
            version = night.of("plan-night")[0].labels["model_version"]
            ours = self._inbox_score(version, transcripts, version)

        show(self._console, "Dataset", *dataset_lines(assembled))
        challenger = model.receipts[("evaluate_challenger", -1)]
        registered, promoted = (next(iter(model.of(step)), None) for step in ("register-model", "promote-model"))
        show(self._console, "Model", *model_lines(registered, promoted, challenger, before))
        scores = {each.model: each.score for each in [ours, *other_scores] if each.score}
        table = night_table(ours.results, transcripts, {n: s for n, s in scores.items() if n != base.name})
        show(self._console, f"Night, transcribed by {version}", table)
        if scores:
            show(self._console, inbox_line(scores))
        for title, lines in example_lines({each.model: each.results for each in [ours, *other_scores[:-1]]}):
            show(self._console, title, *lines)
        show(self._console, "Time", durations_line(self._seconds))

    def _inbox_score(self, model: str, transcripts: str, version: str) -> InboxScore:
        references, environment = self._installation.references, self._services.environment
        score = score_nights(transcripts, references, version, environment)
        return InboxScore(model, score, programme_results(transcripts, version))

    def _stop(self) -> None:
        self._children.stop()
        self._background.shutdown(wait=False, cancel_futures=True)
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
