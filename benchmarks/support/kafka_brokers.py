"""Kafka brokers for benchmarks and tests: those of `KAFKA_BOOTSTRAP`, one of our own, or a mock cluster for faults."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from local.kafka_broker import broker


def brokers() -> AbstractContextManager[str]:
    """Addresses of the brokers that `KAFKA_BOOTSTRAP` names, or of a new one on this machine."""
    given = os.environ.get("KAFKA_BOOTSTRAP")
    return nullcontext(given) if given else broker()


@contextmanager
def mock_cluster() -> Iterator[str]:
    """Addresses of a mock cluster."""
    with faulty_cluster() as (addresses, _):
        yield addresses


@contextmanager
def faulty_cluster() -> Iterator[tuple[str, Callable[..., None]]]:
    """Addresses of a mock cluster, and a function `answer(api_key, *error_codes)`: it answers the next requests of that
    kind with these errors. Both are numbers of the protocol (https://kafka.apache.org/protocol).

    librdkafka's mock cluster (`rdkafka_mock.h`): one broker in this process that speaks the real protocol over TCP.

    Its C interface, unlike the setting `test.mock.num.brokers`, can shorten the initial rebalance delay of a group. The
    default of 3 s evicts members with a shorter session timeout again and again.
    """
    from confluent_kafka import cimpl

    library = ctypes.CDLL(cimpl.__file__)  # resolves librdkafka's symbols, which the extension is linked with
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    for name, result, arguments in (
        ("rd_kafka_conf_new", pointer, []),
        ("rd_kafka_conf_set", ctypes.c_int, [pointer, text, text, text, ctypes.c_size_t]),
        ("rd_kafka_new", pointer, [ctypes.c_int, pointer, text, ctypes.c_size_t]),
        ("rd_kafka_destroy", None, [pointer]),
        ("rd_kafka_mock_cluster_new", pointer, [pointer, ctypes.c_int]),
        ("rd_kafka_mock_cluster_bootstraps", text, [pointer]),
        ("rd_kafka_mock_cluster_destroy", None, [pointer]),
        ("rd_kafka_mock_group_initial_rebalance_delay_ms", None, [pointer, ctypes.c_int32]),
        ("rd_kafka_mock_push_request_errors_array", None, [pointer, ctypes.c_int16, ctypes.c_size_t, pointer]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    config = library.rd_kafka_conf_new()
    library.rd_kafka_conf_set(config, b"log_level", b"0", None, 0)
    client = library.rd_kafka_new(0, config, None, 0)  # 0: a producer; it takes ownership of the config
    cluster = library.rd_kafka_mock_cluster_new(client, 1)
    library.rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 100)

    def answer(api_key: int, *error_codes: int) -> None:
        errors = (ctypes.c_int * len(error_codes))(*error_codes)
        library.rd_kafka_mock_push_request_errors_array(cluster, api_key, len(error_codes), errors)

    try:
        yield library.rd_kafka_mock_cluster_bootstraps(cluster).decode(), answer
    finally:
        library.rd_kafka_mock_cluster_destroy(cluster)
        library.rd_kafka_destroy(client)
