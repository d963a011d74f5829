"""Print all messages of a topic with a key, a line each: the message's time in seconds since 1970, and the message."""

import json
import sys

from confluent_kafka import OFFSET_BEGINNING, KafkaError, TopicPartition

from tasks import kafka

topic, key = sys.argv[1:]
n_partitions = kafka.wait_for_topics([topic])[topic]
reader = kafka.consumer("test-reader", **{"enable.partition.eof": True})
reader.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(n_partitions)])
ended: set[int | None] = set()
while len(ended) < n_partitions:
    message = reader.poll(60)
    assert message is not None, f"{topic}: nothing from the broker in a minute"
    if (error := message.error()) is None:
        if message.key() == key.encode():
            print(json.dumps([message.timestamp()[1] / 1000, json.loads(message.value() or b"null")]))
    else:
        assert error.code() == KafkaError._PARTITION_EOF, error
        ended.add(message.partition())
reader.close()
