"""# A night's transcripts

Transcribes what is new in the inbox with the champion, and publishes transcripts for people and other systems.

**Starts** every night at 01:00 UTC, when a new champion was promoted, or by hand. **Reads** the media below the
form's *inbox*. **Writes** for each programme `.txt`, `.srt`, `.vtt`, `.json` and, last, `manifest.json` below
*transcripts*. A folder there without a manifest is not finished.

**Steps.** `plan_night` finds what is new (programme and model version) and cuts it into batches of equal work. For
each batch: `prepare_media` → `recognise` → `publish`. `report_night` says what became of every programme. All batches
of a night use the model version that `plan_night` found.

**What is normal.** Nothing new: the batches are skipped, `report_night` says so, the run is green. A file that is no
audio is quarantined with its reason: the run is green, and `report_night` warns in its log (and in its XCom
`warnings`). A new champion makes new transcripts beside the old.

**When it fails.**
- `plan_night` rejected its input: there is no champion yet. Run `finetune_acoustic_model`, or name a model in the form.
  `report_night` is red too then: it has no plan to report on.
- A batch is red: the others go on and are published, and `report_night` counts what is missing. Clear the red task.
- `night_complete` is red while all batches are green: see `report_night`.

**To resume**, clear the failed task (with downstream), or start the DAG again: what is published is not done again.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable, Param, XComArg, task_group

from dags.common.assets import CHAMPION
from dags.common.settings import settings
from dags.common.step import step

with DAG(
    dag_id="nightly_transcription",
    dag_display_name="Media → transcripts",
    description="Transcribe what is new in the inbox",
    doc_md=__doc__,
    schedule=AssetOrTimeSchedule(timetable=CronTriggerTimetable("0 1 * * *", timezone="UTC"), assets=[CHAMPION]),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "speech-platform"},
    tags=["airscript", "transcription"],
    params={
        "inbox": Param(
            settings().inbox,
            type="string",
            pattern="^(file:///|s3://).+",
            title="Inbox",
            description="URI prefix of arrived media",
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
        "batches": Param(
            4, type="integer", minimum=1, maximum=800, title="Batches", description="Cut the night into at most so many"
        ),
    },
):
    plan = step(
        "plan-night",
        inbox="{{ params.inbox }}",
        transcripts="{{ params.transcripts }}",
        model="{{ params.model }}",
        batches="{{ params.batches }}",
    )

    @task_group
    def batch(name: Any, uri: Any) -> Any:
        """One batch of programmes, from media to transcripts."""
        prepared = step("prepare-media", item=name, batch=uri)
        recognised = step("recognise", item=name, prepared=prepared.output, model=XComArg(plan, "model"))
        published = step(
            "publish",
            item=name,
            batch=uri,
            prepared=prepared.output,
            recognised=recognised.output,
            transcripts="{{ params.transcripts }}",
        )
        return published.output

    published = batch.expand_kwargs(plan.output)
    # It reports what there is, whatever became of the batches; the last task keeps a failed batch from looking well.
    report = step(
        "report-night",
        plan=XComArg(plan, "result"),
        published=published,
        transcripts="{{ params.transcripts }}",
        trigger_rule="all_done",
    )
    [published, report] >> EmptyOperator(task_id="night_complete", trigger_rule="none_failed")
