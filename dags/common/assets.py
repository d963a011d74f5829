"""What one DAG makes and another waits for, and how the newest is found."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, task
from airflow.sdk.exceptions import AirflowFailException

from dags.common.failures import RETRY_DELAY

DATASET = Asset(name="dataset", group="airscript")
"""A speech dataset. Its events carry the facts of assemble-dataset: `manifest` (URI), `version`, hours, utterances."""

CHAMPION = Asset(name="champion", group="airscript")
"""The acoustic model that transcribes. An event means that the alias `champion` moved."""


@task(inlets=[DATASET], retries=3, retry_delay=RETRY_DELAY)
def choose_dataset(**context: Any) -> str:
    """The manifest to train on: the one in the form, else the one that started this run, else the newest there is."""
    if asked_for := context["params"]["dataset"]:
        return str(asked_for)
    events = context["triggering_asset_events"].get(DATASET) or context["inlet_events"][DATASET]
    if not len(events):
        raise AirflowFailException("there is no dataset yet: run corpus_features, or give a manifest's URI in the form")
    return str(events[-1].extra["manifest"])
