"""`python -m tasks topics`: create the topics of events and live captions, and check those that exist.

The manifests of `k8s/` are made of the same table: `python -m tasks.streaming.topics k8s`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from pydantic import BaseModel, ConfigDict, Field

from tasks import kafka
from tasks.contract import ExitCode, Misconfigured, Reason, from_argv
from tasks.contract.events import (
    CaptionFinal,
    CaptionPartial,
    MediaArrived,
    ModelPromoted,
    TranscriptFailed,
    TranscriptPublished,
    TranscriptReviewed,
)
from tasks.streaming.runtime.messages import AudioBlock, LiveFeatures, LiveMessage, LiveVoices, LiveWords, PreparedAudio
from tasks.streaming.runtime.session import state_topic

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

log = structlog.get_logger()

CONSUMES: dict[str, type[LiveMessage]] = {
    "prepare": AudioBlock,
    "features": PreparedAudio,
    "diarize": LiveFeatures,
    "recognise": LiveVoices,
    "captions": LiveWords,
}
"""What each component reads."""
LIVE_PARTITIONS = 8
"""Sessions are spread over the partitions: up to this many workers of a component share the work."""
EVENT_PARTITIONS = 3
HOUR_MS = 3_600_000
WEEK_MS, MONTH_MS = 7 * 24 * HOUR_MS, 30 * 24 * HOUR_MS
TIMEOUT_S = 30.0

# Kept as long as the longest outage that consumers are to catch up with.
MESSAGES: dict[str, str | int] = {"retention.ms": HOUR_MS, "segment.ms": HOUR_MS // 6}
STATES: dict[str, str | int] = {
    "retention.ms": WEEK_MS,
    "cleanup.policy": "compact,delete",
    "segment.ms": HOUR_MS,
}


class MakeTopics(BaseModel):
    """Create the topics that are missing, and check those that exist. Safe to repeat."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    partitions: int = Field(
        0, ge=0, le=1000, description=f"of each live.* topic; 0: as those that exist, or {LIVE_PARTITIONS}"
    )
    replicas: int = Field(0, ge=0, le=15, description="of each partition; 0: the brokers' default")


@dataclass(frozen=True)
class Topic:
    """A topic as it must be."""

    name: str
    partitions: int
    config: dict[str, str | int] = field(default_factory=dict)
    is_live: bool = False
    """Whether its number of partitions must be that of the other live topics: a state is in its messages' partition."""

    @property
    def is_compacted(self) -> bool:
        return "compact" in str(self.config.get("cleanup.policy"))


def main(argv: list[str]) -> int:
    arguments = from_argv(MakeTopics, argv, prog="python -m tasks topics")
    client = kafka.admin()
    partitions = arguments.partitions or _existing_partitions(client) or LIVE_PARTITIONS
    wanted = (*event_topics(), *live_topics(partitions))
    made = make_topics(client, wanted, arguments.replicas)
    log.info("topics are as they must be", topics=len(wanted), created=len(made), live_partitions=partitions)
    return ExitCode.DONE


def event_topics() -> tuple[Topic, ...]:
    """The topics of facts, keyed by programme or model. Consumers may be away for a month."""
    facts = (MediaArrived, TranscriptPublished, TranscriptFailed, TranscriptReviewed, ModelPromoted)
    names = [fact.TOPIC for fact in facts]
    kept: dict[str, str | int] = {"retention.ms": MONTH_MS}
    return (
        *(Topic(name, EVENT_PARTITIONS, kept) for name in names),
        Topic(MediaArrived.TOPIC + kafka.DEAD_LETTER_SUFFIX, 1, kept),
    )


def live_topics(partitions: int = LIVE_PARTITIONS) -> tuple[Topic, ...]:
    """The topics of live captions: messages, captions, states and dead letters."""
    inputs = [message.TOPIC for message in CONSUMES.values()]
    return (
        *(Topic(name, partitions, MESSAGES, is_live=True) for name in inputs),
        Topic(CaptionPartial.TOPIC, partitions, MESSAGES),
        Topic(CaptionFinal.TOPIC, partitions, {"retention.ms": WEEK_MS}),
        *(Topic(state_topic(name), partitions, STATES, is_live=True) for name in CONSUMES),
        *(Topic(name + kafka.DEAD_LETTER_SUFFIX, 1, {"retention.ms": WEEK_MS}) for name in inputs),
    )


def make_topics(client: AdminClient, wanted: Sequence[Topic], replicas: int = 0) -> list[str]:
    """Create what is missing and return its names. Nothing is created if a topic that exists is wrong.

    Raises:
        Misconfigured: topics with another number of partitions or another cleanup policy, each named.
        StepError: the brokers do not answer, or cannot do this.
    """
    found = _partitions(client)
    existing = [topic for topic in wanted if topic.name in found]
    wrong = [
        f"{topic.name} has {found[topic.name]} partitions instead of {topic.partitions}"
        for topic in existing
        if topic.is_live and found[topic.name] != topic.partitions
    ]
    policies = _cleanup_policies(client, [topic.name for topic in existing])
    wrong += [
        f"{topic.name} is {'not ' if topic.is_compacted else ''}compacted (cleanup.policy={policies[topic.name]})"
        for topic in existing
        if topic.is_compacted != ("compact" in policies[topic.name])
    ]
    if wrong:
        raise Misconfigured(
            "; ".join(wrong),
            reason=Reason.INVALID_ARGUMENT,
            subject="topics",
            next_step="while nothing is on the air, delete them or correct cleanup.policy, and run this again; "
            "--partitions takes another number",
        )
    missing = [topic for topic in wanted if topic.name not in found]
    _create(client, missing, replicas)
    return [topic.name for topic in missing]


def _create(client: AdminClient, topics: Sequence[Topic], replicas: int) -> None:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import NewTopic

    if not topics:
        return
    new = [
        NewTopic(
            topic.name,
            num_partitions=topic.partitions,
            replication_factor=replicas or -1,
            config={name: str(value) for name, value in topic.config.items()},
        )
        for topic in topics
    ]
    for name, created in client.create_topics(new, request_timeout=TIMEOUT_S).items():
        try:
            created.result()
        except KafkaException as error:
            if error.args[0].name() != "TOPIC_ALREADY_EXISTS":  # somebody else was faster
                raise kafka.error_of([error.args[0]], name) from None
        log.info("topic created", topic=name)


def _existing_partitions(client: AdminClient) -> int:
    """The number of partitions of the live topics that exist; 0 if there are none, or several."""
    found = _partitions(client)
    counts = {found[topic.name] for topic in live_topics() if topic.is_live and topic.name in found}
    return counts.pop() if len(counts) == 1 else 0


def _partitions(client: AdminClient) -> dict[str, int]:
    from confluent_kafka import KafkaException

    try:
        metadata = client.list_topics(timeout=TIMEOUT_S)
    except KafkaException as error:
        raise kafka.error_of([error.args[0]], kafka.client_config()["bootstrap.servers"]) from None
    return {name: len(topic.partitions) for name, topic in metadata.topics.items()}


def _cleanup_policies(client: AdminClient, names: list[str]) -> dict[str, str]:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import ConfigResource, ResourceType

    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    policies = {}
    for resource, described in client.describe_configs(resources, request_timeout=TIMEOUT_S).items() if names else ():
        try:
            entry = described.result().get("cleanup.policy")
        except KafkaException as error:
            raise kafka.error_of([error.args[0]], resource.name) from None
        # Tansu names only what was set; Kafka's default is to delete.
        policies[resource.name] = entry.value if entry else "delete"
    return policies


def strimzi_manifests(topics: Sequence[Topic], comment: str) -> str:
    """Return the topics as `KafkaTopic` resources, for a cluster where Strimzi's operator makes them."""
    documents = [
        "\n".join(
            [
                "apiVersion: kafka.strimzi.io/v1",
                "kind: KafkaTopic",
                "metadata:",
                f"  name: {topic.name}",
                "  namespace: airscript-kafka",
                "  labels:",
                "    strimzi.io/cluster: airscript",
                "spec:",
                f"  partitions: {topic.partitions}",
                "  replicas: 3",
                "  config:",
                *(f"    {name}: {value}" for name, value in topic.config.items()),
            ]
        )
        for topic in topics
    ]
    return comment + "\n---\n".join(documents) + "\n"


MADE = "# Made by `python -m tasks.streaming.topics k8s`.\n"
MANIFESTS = {
    "kafka/topics.yaml": (event_topics(), MADE + "# Event topics (docs/schemas).\n"),
    "live-captions/topics.yaml": (live_topics(), MADE + "# Up to eight channels have a worker each.\n"),
}
"""Files below `k8s/`, their topics, and the comment at their top."""

if __name__ == "__main__":
    for _name, (_topics, _comment) in MANIFESTS.items():
        Path(sys.argv[1], _name).write_text(strimzi_manifests(_topics, _comment))
