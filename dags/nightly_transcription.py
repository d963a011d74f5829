"""# A night's transcripts

Transcribes what is new in the inbox with the champion, and publishes transcripts for people and other systems.

**Starts** every night at 01:00 UTC, when a new champion was promoted, or by hand. **Reads** the media below the
form's *inbox*, and beside `news.mp4` the words and names to expect, one a line, in `news.vocabulary.txt`. **Writes**
for each programme nine formats (`.txt`, `.srt`, `.vtt`, `.ttml`, `.stl`, `.json`, …) and, last, `manifest.json` below
*transcripts*. A folder there without a manifest is not finished. EBU STL has no Chinese, for example: where it lacks
more than 3 % of the characters there is no `.stl`. The button *Report* of `report_night` shows the night.

**Steps.** `plan_night` finds what is new (programme and model version) and cuts it into batches of equal work. For
each batch: `prepare_media` → `recognise` and, beside it, `diarize` → `publish`. `report_night` says what became of
every programme. All batches of a night use the model version and the diarizer that `plan_night` found.

**What is normal.** Nothing new: the batches are skipped, `report_night` says so, the run is green. A file that is no
audio is quarantined with its reason: the run is green, and `report_night` warns in its log (and in its XCom
`warnings`). A new champion makes new transcripts beside the old.

**Alerts**, one a run and not one a file: a night that failed, left programmes behind or lost their speakers, and one
that is not through by 06:00 UTC (five hours after it was queued). They stand in the logs, and go where
`AIRSCRIPT_ALERT_URL` says.

**When it fails.**
- `plan_night` rejected its input: there is no champion yet. Run `finetune_acoustic_model`, or name a model in the form.
  `report_night` is red too then: it has no plan to report on.
- `diarize` is red, or warns in its log of programmes that failed: they are published all the same, without speakers and
  with a warning. Clear it with downstream, and transcripts with speakers are published beside them.
- A batch is red: the others go on and are published, and `report_night` counts what is missing. Clear the red task.
- A file is in quarantine and should not be: delete its record below `_quarantine/` and the next night tries it again.
- A programme is to be transcribed again: delete its folder below *transcripts* and its line in the ledger,
  `_ledger/*/arrivals/<programme>-*.json`, and the next night transcribes it. Transcripts that are deleted alone, or
  moved away, are not made again.
- `night_complete` is red while all batches are green: see `report_night`.

**To resume**, clear the failed task (with downstream), or start the DAG again: what is published is not done again.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, AssetOrTimeSchedule, CronTriggerTimetable

from dags.common.alerts import deadline, night_ended
from dags.common.assets import CHAMPION
from dags.common.step import step
from dags.common.transcription import form, transcribe

# A night that is new begins tomorrow: there may be no champion yet. Airflow 3.3 takes `False` for "up to a tenth of the
# time between two nights late", and would begin it at once between 01:00 and 03:24.
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
