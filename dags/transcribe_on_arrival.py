"""# Transcription on arrival

Transcribes media as soon as a Kafka event reports them complete, with the same steps as `nightly_transcription`.

**Starts** with each event of the topic `media.arrived`, if `AIRSCRIPT_KAFKA` and the connection
`AIRFLOW_CONN_AIRSCRIPT_KAFKA` are set; or by hand, which scans the whole inbox. One run at a time: media that arrive
during a run are transcribed together by the next. **Reads** the media that the events name, if they are below the
form's *inbox*. **Writes** transcripts below *transcripts*, as `nightly_transcription` does.

**Steps.** `choose_arrived` collects the media of all events that started the run, without duplicates. `plan_night`
leaves out what is transcribed already and makes batches of the rest. For each batch: `prepare_media` → `recognise` and,
in parallel, `diarize` → `publish`. `report_night` lists the outcome of every programme.

**What is normal.** A duplicate or late event: the transcript exists already, the batches are skipped, the run is green.
A malformed message: the triggerer logs it and moves it to `media.arrived.dead`. A lost event: the next night
transcribes the programme.

**When it fails.**
- `plan_night` rejected its input: there is no champion yet. Run `import_model` or `finetune_acoustic_model`.
- A batch is red: clear the red task with downstream. The other batches are published.
- No run starts although media arrive: the triggerer's log has the broker's error. The connection must set
  `enable.auto.commit` to false. Nothing is lost: events stay in the topic, and the night scans the inbox itself.

**To resume**, clear the failed task (with downstream), start the DAG by hand, or leave it to the night.
"""

from __future__ import annotations

from airflow.sdk import DAG

from dags.common.alerts import night_ended
from dags.common.assets import arrivals_asset, choose_arrived
from dags.common.step import step
from dags.common.transcription import form, transcribe

with DAG(
    dag_id="transcribe_on_arrival",
    dag_display_name="Arrival → transcripts",
    description="Transcribe media when they arrive",
    doc_md=__doc__,
    schedule=[arrivals_asset()],
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "speech-platform"},
    on_success_callback=night_ended,
    on_failure_callback=night_ended,
    tags=["airscript", "transcription"],
    params=form(inbox="URI prefix of arrived media; events for media elsewhere are ignored"),
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
        arrived=choose_arrived(),
    )
    transcribe(plan, name="arrivals-{{ dag_run.run_after.strftime('%Y-%m-%dT%H%M%S') }}")
