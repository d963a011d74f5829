"""Run one DAG in this process by `dag.test()`, and print the states of its tasks as JSON."""

import json
import os
import sys

from airflow.dag_processing.dagbag import DagBag

if __name__ == "__main__":
    dag_id, form = sys.argv[1], json.loads(sys.argv[2])
    dag = DagBag(dag_folder=os.environ["AIRFLOW__CORE__DAGS_FOLDER"]).dags[dag_id]
    # Airflow 3.3.2's dag.test() looks up a deadline's definition as if it were an id. miss_deadline.py tests deadlines.
    dag.deadline = None
    run = dag.test(run_conf=form)
    tasks = {
        task.task_id
        if task.map_index < 0
        else f"{task.task_id} {task.rendered_map_index or task.map_index}": task.state
        for task in run.get_task_instances()
    }
    print("\n" + json.dumps({"run": run.state, "tasks": tasks}))
