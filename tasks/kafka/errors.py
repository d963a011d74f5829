"""Kafka's errors as those of steps: a wrong setting, which no retry mends, or a service that does not answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks.contract import Misconfigured, Reason, StepError

if TYPE_CHECKING:
    from confluent_kafka import KafkaError

CREDENTIALS = "check the user, the password and sasl.mechanism in AIRSCRIPT_KAFKA_CONFIG"
# Errors that no retry mends, by librdkafka's name: what is wrong, and the next step.
WRONG_SETTINGS = {
    "_AUTHENTICATION": ("the brokers refuse the credentials", CREDENTIALS),
    "SASL_AUTHENTICATION_FAILED": ("the brokers refuse the credentials", CREDENTIALS),
    "UNSUPPORTED_SASL_MECHANISM": ("the brokers have another sasl.mechanism", CREDENTIALS),
    "_SSL": (
        "the TLS handshake failed",
        "check security.protocol and the certificates (ssl.ca.location) in AIRSCRIPT_KAFKA_CONFIG",
    ),
    "TOPIC_AUTHORIZATION_FAILED": ("no right to the topic", "give this user an ACL for it"),
    "GROUP_AUTHORIZATION_FAILED": ("no right to the consumer group", "give this user an ACL for groups airscript-*"),
    "CLUSTER_AUTHORIZATION_FAILED": ("no right to write idempotently", "give this user the ACL IdempotentWrite"),
    "INVALID_SESSION_TIMEOUT": (
        "the brokers refuse this session.timeout.ms",
        "set it between their group.min.session.timeout.ms (6000 by default) and group.max.session.timeout.ms",
    ),
    "MSG_SIZE_TOO_LARGE": (
        "a message is larger than the brokers accept",
        "raise the topic's max.message.bytes, or feed with --blobs",
    ),
    "_INVALID_ARG": ("a setting is invalid", "correct AIRSCRIPT_KAFKA_CONFIG"),
}


def error_of(errors: Sequence[KafkaError], subject: str) -> StepError:
    """Return the error to raise for what librdkafka reported, wrong settings first: a refused login is followed by
    "all brokers are down".

    `subject`: the topic, group or brokers concerned.
    """
    for error in errors:
        if found := WRONG_SETTINGS.get(error.name()):
            message, next_step = found
            told = f"{message} ({error.str()})"
            return Misconfigured(told, reason=Reason.INVALID_ARGUMENT, subject=subject, next_step=next_step)
    return unavailable(errors[-1].str() if errors else "no answer in time", subject)


def unavailable(message: str, subject: str) -> StepError:
    """Return the error for brokers that do not do what was asked, and may do it later."""
    return StepError(
        f"Kafka: {message}",
        reason=Reason.UNAVAILABLE,
        subject=subject,
        next_step="check that the brokers of AIRSCRIPT_KAFKA are running and reachable; it is safe to start again",
    )
