"""Create a run in Airflow's database, let its deadline pass, and print the callback's states as JSON."""

import asyncio
import json
import os
from pathlib import Path

from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.dagbundle import DagBundleModel
from airflow.models.deadline import Deadline
from airflow.models.serialized_dag import SerializedDagModel
from airflow.sdk import timezone
from airflow.triggers.callback import CallbackTrigger
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import select

DAG_ID = "nightly_transcription"


async def callback_states(path: str, kwargs: dict[str, object]) -> list[str]:
    """Run the callback as the triggerer does."""
    return [str(event.payload["state"]) async for event in CallbackTrigger(path, kwargs).run()]


if __name__ == "__main__":
    file = Path(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]) / f"{DAG_ID}.py"
    bag = DagBag(dag_folder=str(file))
    with create_session() as session:
        session.merge(DagBundleModel(name="dags-folder"))
    with create_session() as session:
        sync_bag_to_db(bag, "dags-folder", None, session=session)
    with create_session() as session:
        now = timezone.utcnow()
        run = SerializedDagModel.get(DAG_ID, session=session).dag.create_dagrun(
            run_id="late",
            logical_date=now,
            run_after=now,
            data_interval=None,
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.TEST,
            state=DagRunState.QUEUED,
            session=session,
        )
        session.flush()
        (deadline,) = session.scalars(select(Deadline).where(Deadline.dagrun_id == run.id))
        after_s = (deadline.deadline_time - run.queued_at).total_seconds()
        deadline.handle_miss(session)
        states = asyncio.run(callback_states(deadline.callback.data["path"], dict(deadline.callback.data["kwargs"])))
        session.rollback()
    print("\n" + json.dumps({"after_s": after_s, "states": states}))
