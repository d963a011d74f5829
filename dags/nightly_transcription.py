"""# Nightly transcription

Transcribes what is new in the inbox with the champion, and publishes the transcripts in nine formats.

**Starts** every night at 01:00 UTC, when a new champion is promoted, or by hand. **Reads** the media below the form's
*inbox* and, beside `news.mp4`, expected words and names in `news.vocabulary.txt`, one a line. **Writes** nine formats
for each programme (`.txt`, `.srt`, `.vtt`, `.ttml`, `.stl`, `.json`, …) and, last, `manifest.json`, below
*transcripts*. A folder without a manifest is incomplete. `.stl` is left out if EBU STL lacks more than 3 % of the
characters (it has no Chinese, for example). The run's tab *Report* shows the night.

**Steps.** `plan_night` finds new pairs of programme and model version and makes batches of equal work. For each batch:
`prepare_media` → `recognise` and, in parallel, `diarize` → `publish`. `report_night` lists the outcome of every
programme. All batches of a night use the model version and the diarizer that `plan_night` resolved.

**What is normal.** Nothing new: the batches are skipped, `report_night` says so, the run is green. A file without audio
is quarantined with a reason: the run is green, and `report_night` warns in its log (and in its XCom `warnings`). A new
champion makes new transcripts beside the old ones.

**Alerts**, one a run, not one a file: a night that failed, left programmes untranscribed or lost their speakers, or is
not finished by 06:00 UTC (five hours after it was queued). They are logged, and posted to `AIRSCRIPT_ALERT_URL`.

**When it fails.**
- `plan_night` rejected its input: there is no champion yet (run `import_model` or `finetune_acoustic_model`, or name a
  model in the form), or the model lacks a file, which the log names.
  `report_night` is then red too: it has no plan to report on.
- `diarize` is red, or its log warns of failed programmes: they are published without speakers and with a warning. Clear
  it with downstream to publish transcripts with speakers beside them.
- A batch is red: the others continue and are published, and `report_night` counts what is missing. Clear the red task.
- A file is in quarantine by mistake: delete its record below `_quarantine/`, and the next night tries it again.
- To transcribe a programme again, delete its folder below *transcripts* and its line in the ledger,
  `_ledger/*/arrivals/<programme>-*.json`. Deleting or moving the transcripts alone has no effect: the ledger decides.
- `night_complete` is red while all batches are green: see `report_night`.

**To resume**, clear the failed task (with downstream), or start the DAG again: published programmes are not repeated.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable

from dags.common.alerts import deadline, night_ended
from dags.common.assets import CHAMPION
from dags.common.step import step
from dags.common.transcription import form, transcribe

# A new installation's first night is the next one: there may be no champion yet. With `run_immediately=False`, Airflow
# 3.3 still runs what is late by up to a tenth of the interval, so a night at once between 01:00 and 03:24.
EVERY_NIGHT = CronTriggerTimetable("0 1 * * *", timezone="UTC", run_immediately=timedelta())

with DAG(
    dag_id="nightly_transcription",
    dag_display_name="Media → transcripts",
    description="Transcribe what is new in the inbox",
    doc_md=__doc__,
    schedule=AssetOrTimeSchedule(timetable=EVERY_NIGHT, assets=[CHAMPION]),
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "speech-platform"},
    on_success_callback=night_ended,
    on_failure_callback=night_ended,
    deadline=deadline(timedelta(hours=5), needed_by="06:00 UTC, or five hours after its start"),
    tags=["airscript", "transcription"],
    params=form(inbox="URI prefix of arrived media"),
):
    plan = step(
        "plan-night",
        inbox="{{ params.inbox }}",
        transcripts="{{ params.transcripts }}",
        model="{{ params.model }}",
        diarizer="{{ params.diarizer }}",
        language="{{ params.language }}",
        cues="{{ params.cues }}",
        batches="{{ params.batches }}",
    )
    transcribe(plan, name="{{ (dag_run.logical_date or dag_run.run_after) | ds }}")
