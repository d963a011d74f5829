"""Kafka clients: their configuration, producing with backpressure, and errors that say what to do.

Used by workers, feeders and events alike.
"""

from tasks.kafka.clients import (
    BROKERS_VARIABLE,
    CONFIG_VARIABLE,
    DEAD_LETTER_SUFFIX,
    FLUSH_S,
    POLL_S,
    admin,
    client_config,
    consumer,
    failure_recorder,
    flush,
    is_configured,
    producer,
    publish,
    send,
    wait_for_topics,
)
from tasks.kafka.errors import WRONG_SETTINGS, error_of, unavailable

__all__ = [
    "BROKERS_VARIABLE",
    "CONFIG_VARIABLE",
    "DEAD_LETTER_SUFFIX",
    "FLUSH_S",
    "POLL_S",
    "WRONG_SETTINGS",
    "admin",
    "client_config",
    "consumer",
    "error_of",
    "failure_recorder",
    "flush",
    "is_configured",
    "producer",
    "publish",
    "send",
    "unavailable",
    "wait_for_topics",
]
