"""The services that `make up WITH="s3 kafka"` adds: SeaweedFS and a Kafka broker, as processes on this machine."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

from local import kafka_broker, s3_server
from local.settings import BUCKET, CHECKOUT, Installation, UserError

MAKE_BUCKET = f"import boto3; boto3.client('s3').create_bucket(Bucket='{BUCKET}')"


def command_line(installation: Installation, name: str) -> list[str]:
    """The command line of a service, with its data below the installation's home."""
    if name == "kafka":
        return kafka_broker.command_line(installation.broker_port)  # lost events are made up for by the night
    folder = installation.home / name
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    ports = {**s3_server.choose_ports(), "s3.port": installation.storage_port}
    settings = [f"{variable}={value}" for variable, value in s3_server.ENVIRONMENT.items()]
    return ["env", *settings, *s3_server.command_line(folder, ports)]


def is_healthy(installation: Installation, name: str) -> bool:
    """Whether a service answers."""
    if name == "kafka":
        return kafka_broker.is_answering(installation.broker_port)
    return s3_server.is_answering(installation.storage_port)


def prepare(name: str, environment: Mapping[str, str]) -> None:
    """Make what the other services expect: the bucket, or the topics. Safe to repeat.

    Raises:
        UserError: the service refuses; the message has its answer.
    """
    command = ["-m", "tasks", "topics"] if name == "kafka" else ["-c", MAKE_BUCKET]
    done = subprocess.run(
        [sys.executable, *command], cwd=CHECKOUT, env=dict(environment), capture_output=True, text=True, check=False
    )
    if done.returncode and "BucketAlreadyOwnedByYou" not in done.stderr and "BucketAlreadyExists" not in done.stderr:
        raise UserError(f"{name} runs, but could not be prepared:\n{(done.stdout + done.stderr)[-2000:]}")
