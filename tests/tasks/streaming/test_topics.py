"""Topics are created once, and found wrong where they are."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tasks import kafka as clients
from tasks.contract import Misconfigured
from tasks.streaming.topics import MANIFESTS, STATES, Topic, live_topics, make_topics, strimzi_manifests
from tasks.streaming.topics import main as topics_command
from tests.conftest import CHECKOUT
from tests.tasks.streaming.conftest import delete_topics


@pytest.fixture
def wanted(kafka: str) -> Iterator[list[Topic]]:
    """Topics of a pipeline's kind, with names of their own."""
    token = uuid.uuid4().hex[:8]
    topics = [Topic(f"in.{token}", 4, {"retention.ms": 3_600_000}, is_live=True)]
    topics += [Topic(f"in.{token}.state", 4, STATES, is_live=True), Topic(f"in.{token}.dead", 1)]
    yield topics
    delete_topics([topic.name for topic in topics])


def test_what_is_missing_is_created_as_it_must_be(wanted: list[Topic]) -> None:
    client = clients.admin()
    assert make_topics(client, wanted[:1]) == [wanted[0].name]
    assert make_topics(client, wanted) == [topic.name for topic in wanted[1:]]
    assert make_topics(client, wanted) == []
    counts = clients.wait_for_topics([topic.name for topic in wanted])
    assert counts == {topic.name: topic.partitions for topic in wanted}


def test_topics_that_are_wrong_are_named_and_nothing_is_created(wanted: list[Topic]) -> None:
    client = clients.admin()
    live, state, dead = wanted
    make_topics(client, [Topic(live.name, 1), Topic(state.name, 4)])  # as a broker creates them by itself
    with pytest.raises(Misconfigured) as raised:
        make_topics(client, wanted)
    assert f"{live.name} has 1 partitions instead of 4" in str(raised.value)
    assert f"{state.name} is not compacted (cleanup.policy=delete)" in str(raised.value)
    assert dead.name not in client.list_topics(timeout=30).topics


def test_the_command_adopts_the_partitions_that_exist(kafka: str) -> None:
    assert topics_command([]) == 0  # again: the fixture has called it
    names = [topic.name for topic in live_topics() if topic.is_live]
    (partitions,) = set(clients.wait_for_topics(names).values())
    with pytest.raises(Misconfigured, match=rf"live\.audio has {partitions} partitions instead of {partitions + 1}"):
        topics_command([f"--partitions={partitions + 1}"])


def test_the_manifests_for_strimzi_are_made_of_the_same_topics() -> None:
    for name, (topics, comment) in MANIFESTS.items():
        found = (CHECKOUT / "k8s" / name).read_text()
        assert found == strimzi_manifests(topics, comment), "run: python -m tasks.streaming.topics k8s"
