"""What a night and an arrival have in common: the form, and batches of programmes from media to transcripts."""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Param, XComArg, task_group

from dags.common.links import ReportLink
from dags.common.settings import settings
from dags.common.step import step
from tasks.contract.arguments import AUTO_LANGUAGE, CueRules


def form(inbox: str) -> dict[str, Param]:
    """The fields that a person may change; `inbox` describes the first."""
    return {
        "inbox": Param(
            settings().inbox,
            type="string",
            pattern="^(file:///|s3://).+",
            title="Inbox",
            description=inbox,
        ),
        "transcripts": Param(
            settings().transcripts,
            type="string",
            pattern="^(file:///|s3://).+",
            title="Transcripts",
            description="URI prefix under which transcripts are published",
        ),
        "model": Param(
            "models:/acoustic-model@champion",
            type="string",
            minLength=1,
            title="Model",
            description="models:/name@alias, models:/name/version, a folder or an s3:// prefix",
        ),
        "diarizer": Param(
            settings().diarizer,
            type="string",
            minLength=1,
            examples=["embedded", "s3://models/speaker-diarization-community-1"],
            title="Diarizer",
            description="Who tells speakers apart: embedded, a folder, an s3:// prefix or a pyannote model's hub name",
        ),
        "language": Param(
            AUTO_LANGUAGE,
            type="string",
            pattern="^(auto|[a-z]{2,3}(-[A-Za-z0-9]{2,8})*)$",
            examples=["auto", "en", "de", "cy"],
            title="Language",
            description="Language that is spoken (BCP 47); auto: the one that is heard, en where the model cannot tell",
        ),
        "cues": Param(
            CueRules.BBC.value,
            type="string",
            enum=[rules.value for rules in CueRules],
            title="Subtitles",
            description="Whose rules subtitles keep: the BBC's lines of 37 characters, or streaming's of 42",
        ),
        "batches": Param(
            4, type="integer", minimum=1, maximum=800, title="Batches", description="Cut a run into at most so many"
        ),
    }


def transcribe(plan: Any, name: str) -> None:
    """Every batch of a plan, the report, and a last task that keeps a failed batch from looking well.

    The DAG's form has `transcripts` and `language`. `name` is what people call the run, a template that its retries
    fill in alike.
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
        # Publishing waits for the speakers, and does without them where telling them apart failed.
        diarized_or_not = EmptyOperator(task_id="diarized_or_not", trigger_rule="all_done")
        published = step(
            "publish",
            item=name,
            batch=uri,
            prepared=prepared.output,
            recognised=recognised.output,
            diarized="{{ ti.xcom_pull(task_ids='batch.diarize', map_indexes=ti.map_index) or '' }}",
            transcripts="{{ params.transcripts }}",
        )
        diarized >> diarized_or_not >> published
        return published.output

    published = batch.expand_kwargs(plan.output)
    # It reports what there is, whatever became of the batches.
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
    [published, report] >> EmptyOperator(task_id="night_complete", trigger_rule="none_failed")
