"""The form and the tasks that the nightly DAG and the DAG on arrival share."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Param, XComArg, task_group

from dags.common.forms import FormField, params_of
from dags.common.links import ReportLink
from dags.common.settings import settings
from dags.common.step import step
from tasks.contract.arguments import PlanNight

_URI = {"pattern": "^(file:///|s3://).+"}
_REFERENCE = {"minLength": 1}


def form(inbox: str) -> dict[str, Param]:
    """Return the parameters of a transcription run. `inbox`: the description of the inbox's field."""
    defaults = settings()
    return params_of(
        PlanNight,
        {
            "inbox": FormField("Inbox", inbox, defaults.inbox, _URI),
            "transcripts": FormField("Transcripts", default=defaults.transcripts, schema=_URI),
            "model": FormField(
                "Model",
                "models:/name@alias, models:/name/version, a folder, an s3:// prefix or a hub name",
                defaults.model,
                _REFERENCE,
            ),
            "diarizer": FormField(
                "Diarizer",
                "Diarization pipeline: embedded, a folder, an s3:// prefix or a pyannote model's hub name",
                defaults.diarizer,
                _REFERENCE | {"examples": ["embedded", "s3://models/speaker-diarization-community-1"]},
            ),
            "language": FormField("Language", schema={"examples": ["auto", "en", "de", "cy"]}),
            "cues": FormField("Subtitles", "Subtitle rules: the BBC's lines of 37 characters, or streaming's of 42"),
            "batches": FormField("Batches", "Maximum number of batches in a run"),
        },
    )


def transcribe(plan: Any, name: str) -> None:
    """Add the tasks of every batch of `plan`, the report, and a final task that fails the run if a batch failed.

    The DAG's form must have `transcripts` and `language`. `name` is the run's name in the report: a template that
    renders alike on every retry.
    """

    @task_group
    def batch(name: Any, uri: Any) -> Any:
        """One batch of programmes, from media to transcripts."""
        prepared = step("prepare-media", item=name, batch=uri)
        recognised = step(
            "recognise",
            item=name,
            prepared=prepared.output,
            model=XComArg(plan, "model"),
            language="{{ params.language }}",
        )
        diarized = step("diarize", item=name, prepared=prepared.output, diarizer=XComArg(plan, "diarizer"))
        # Publishing waits for diarization, but does not need it to succeed.
        diarized_or_not = EmptyOperator(task_id="diarized_or_not", trigger_rule="all_done")
        published = step(
            "publish",
            item=name,
            batch=uri,
            prepared=prepared.output,
            recognised=recognised.output,
            diarized="{{ ti.xcom_pull(task_ids='batch.diarize', map_indexes=ti.map_index) or 'failed' }}",
            transcripts="{{ params.transcripts }}",
        )
        diarized >> diarized_or_not >> published
        return published.output

    published = batch.expand_kwargs(plan.output)
    # all_done: failed batches are reported too.
    report = step(
        "report-night",
        plan=XComArg(plan, "result"),
        published=published,
        transcripts="{{ params.transcripts }}",
        night=name,
        cpu_hour_price=settings().cpu_hour_price,
        gpu_hour_price=settings().gpu_hour_price,
        trigger_rule="all_done",
    )
    report.operator_extra_links = (ReportLink(),)
    # The last tasks decide the run's state. Without this one, a run with failed batches would count as successful.
    [published, report] >> EmptyOperator(task_id="night_complete", trigger_rule="none_failed")
