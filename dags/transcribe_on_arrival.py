"""# Transcripts of what has just arrived

Transcribes media as soon as Kafka tells that they are complete, by the same steps as the night.

**Starts** with each event of the topic `media.arrived`, where `AIRSCRIPT_KAFKA` and the connection
`AIRFLOW_CONN_AIRSCRIPT_KAFKA` are set; or by hand, and then it looks at the whole inbox. One run at a time: what
arrives meanwhile makes the next run's batch together. **Reads** the media that the events name, if they lie below the
form's *inbox*. **Writes** transcripts below *transcripts*, as `nightly_transcription` does.

**Steps.** `choose_arrived` takes the media of all events that started the run, each once. `plan_night` leaves out what
is transcribed already, and cuts the rest into batches. For each batch: `prepare_media` → `recognise` and, beside it,
`diarize` → `publish`. `report_night` says what became of every programme.

**What is normal.** An event that came twice, or late: the plan finds the programme's transcript there, the batches are
skipped, the run is green. A message that is no event: the triggerer's log says so, and it lies in `media.arrived.dead`.
An event that was lost: the night transcribes the programme.

**When it fails.**
- `plan_night` rejected its input: there is no champion yet. Run `finetune_acoustic_model`.
- A batch is red: clear the red task with downstream. The others are published.
- No run starts although media arrive: the triggerer's log names the broker's answer. The connection must say
  `enable.auto.commit` is false. Nothing is lost: events wait in the topic, and the night looks at the inbox itself.

**To resume**, clear the failed task (with downstream); or start the DAG by hand, or leave it to the night.
"""

from __future__ import annotations

from airflow.sdk import DAG

from dags.common.alerts import night_ended
from dags.common.assets import arrivals, choose_arrived
from dags.common.step import step
from dags.common.transcription import form, transcribe

with DAG(
    dag_id="transcribe_on_arrival",
    dag_display_name="Arrival → transcripts",
    description="Transcribe what Kafka says has arrived",
    doc_md=__doc__,
    schedule=[arrivals()],
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "speech-platform"},
    on_success_callback=night_ended,
    on_failure_callback=night_ended,
    tags=["airscript", "transcription"],
    params=form(inbox="URI prefix of arrived media; events that name others are passed over"),
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
