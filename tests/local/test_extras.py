"""Storage and broker beside Airflow and MLflow: started with what the others expect there, found again, stopped."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import boto3
import pytest
from confluent_kafka.admin import AdminClient
from rich.console import Console

from local import processes
from local.ports import free_port, is_free
from local.services import Services
from local.settings import BUCKET, EXTRAS, Installation, UserError
from local.status_table import StatusTable
from tasks.streaming.topics import event_topics, live_topics


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    names = ("AIRFLOW", "MLFLOW", "S3", "KAFKA")
    return {
        "AIRSCRIPT_HOME": str(tmp_path / "home"),
        **{f"AIRSCRIPT_{name}_PORT": str(free_port()) for name in names},
    }


def status_table() -> StatusTable:
    return StatusTable(Console(file=io.StringIO()))


def test_both_start_with_bucket_and_topics_and_stop(environ: dict[str, str]) -> None:
    chosen = Installation.from_environment(environ, extras=EXTRAS)
    assert chosen.settings.storage == f"s3://{BUCKET}"
    services = Services(chosen, names=EXTRAS)
    try:
        assert services.up(status_table(), "up") == EXTRAS
        found = AdminClient({"bootstrap.servers": chosen.kafka_address}).list_topics(timeout=30).topics
        assert {topic.name for topic in (*event_topics(), *live_topics())} <= set(found)
        settings = chosen.environment({})
        store = boto3.client(
            "s3",
            endpoint_url=settings["AWS_ENDPOINT_URL"],
            aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
            region_name=settings["AWS_REGION"],
        )
        store.put_object(Bucket=BUCKET, Key="inbox/x", Body=b"x")
        assert settings["AIRSCRIPT_KAFKA"] in settings["AIRFLOW_CONN_AIRSCRIPT_KAFKA"]

        again = Installation.from_environment(environ)  # as `make status` and `make down` see it
        assert (again.extras, again.settings.storage) == (EXTRAS, chosen.settings.storage)
        assert Services(again, names=again.extras).up(status_table(), "up") == ()
    finally:
        services.down()
    assert is_free(chosen.storage_port)
    assert is_free(chosen.broker_port)
    assert Installation.from_environment(environ).extras == ()

    services.up(status_table(), "up")  # the bucket is there already, the topics are gone
    try:
        assert store.get_object(Bucket=BUCKET, Key="inbox/x")["Body"].read() == b"x"
    finally:
        services.down()


def test_a_broker_is_not_added_to_an_airflow_that_does_not_know_it(environ: dict[str, str]) -> None:
    plain = Installation.from_environment(environ)
    record = processes.start(
        "api-server",
        [sys.executable, "-c", "import time; time.sleep(60)"],
        environment=os.environ,
        folder=plain.home / "run",
        log=plain.logs / "api-server.log",
        started_by="up",
        cwd=plain.home.parent,
    )
    plain.ports.save(plain.home)
    try:
        with pytest.raises(UserError, match="Airflow runs already, without kafka"):
            Services(Installation.from_environment(environ, extras=["kafka"]), names=("kafka", "api-server")).up(
                status_table(), "up"
            )
    finally:
        processes.stop(processes.members(record), 1.0)
