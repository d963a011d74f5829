"""Run one DAG in this process by `dag.test()`, and print the states of its tasks as JSON, a line for each run.

The runs are given as a JSON list: the form of each, and its environment. One process, as Airflow's imports take longer
than a run.
"""

import json
import os
import sys
from typing import Any

from airflow.dag_processing.dagbag import DagBag

from dags.common.settings import settings


def run(dag_id: str, form: dict[str, Any], environment: dict[str, str]) -> dict[str, Any]:
    os.environ.update(environment)
    settings.cache_clear()
    dag = DagBag(dag_folder=os.environ["AIRFLOW__CORE__DAGS_FOLDER"]).dags[dag_id]
    # Airflow 3.3.2's dag.test() looks up a deadline's definition as if it were an id. miss_deadline.py tests deadlines.
    dag.deadline = None
    done = dag.test(run_conf=form)
    tasks = {
        task.task_id
        if task.map_index < 0
        else f"{task.task_id} {task.rendered_map_index or task.map_index}": task.state
        for task in done.get_task_instances()
    }
    return {"run": done.state, "tasks": tasks}


if __name__ == "__main__":
    for given in json.loads(sys.argv[2]):
        print("\n" + json.dumps(run(sys.argv[1], **given)))
