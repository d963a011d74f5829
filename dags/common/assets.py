"""The assets that connect the DAGs, and the tasks that read their events."""

from __future__ import annotations

from typing import Any

from airflow.sdk import Asset, AssetWatcher, task
from airflow.sdk.exceptions import AirflowFailException

from dags.common.failures import RETRY_DELAY
from dags.common.settings import settings

DATASET = Asset(name="dataset", group="airscript")
"""A training dataset. Its events have assemble-dataset's results: `manifest` (URI), `version`, hours, utterances."""

CHAMPION = Asset(name="champion", group="airscript")
"""The acoustic model in production. An event means that the alias `champion` has moved."""


def _watchers() -> list[AssetWatcher]:
    # Import Kafka's client only in an installation with Kafka.
    if not settings().kafka:
        return []
    from dags.common.arrivals import DEAD_LETTERS, MediaArrivedTrigger

    return [AssetWatcher(name="media_arrived", trigger=MediaArrivedTrigger(dlq_topic=DEAD_LETTERS))]


def arrivals_asset() -> Asset:
    """Media in the inbox: each event of `media.arrived` is an event of this asset."""
    return Asset(name="arrivals", group="airscript", watchers=_watchers())


@task(retries=3, retry_delay=RETRY_DELAY)
def choose_arrived(**context: Any) -> list[str]:
    """Return the URIs of media that arrived since the last run, without duplicates; empty for a manual run."""
    events = context["triggering_asset_events"] or {}
    payloads = [event.extra["payload"] for name in events for event in events[name] if "payload" in event.extra]
    return sorted({str(payload["uri"]) for payload in payloads})


@task(inlets=[DATASET], retries=3, retry_delay=RETRY_DELAY)
def choose_dataset(**context: Any) -> str:
    """Return the manifest to train on: from the form, else from the event that started the run, else the newest."""
    if chosen := context["params"]["dataset"]:
        return str(chosen)
    events = context["triggering_asset_events"].get(DATASET) or context["inlet_events"][DATASET]
    if not len(events):
        raise AirflowFailException("there is no dataset yet: run corpus_features, or give a manifest's URI in the form")
    return str(events[-1].extra["manifest"])
