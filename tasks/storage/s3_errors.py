"""Errors of S3: what an answer means, whether it passes, and calls that are repeated while it may.

obstore's errors are Rust's debug output, a kilobyte and more. They become one `StepError` with S3's code, one sentence
and the next step. Here and not at each call: `persistently` wraps them all.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from tasks.contract import InputRejected, Misconfigured, Reason, StepError
from tasks.storage.errors import AccessDenied, not_found

MAX_ATTEMPTS = 10
"""Of our own and of obstore's retries. obstore does not repeat conditional puts, deletions and torn listings."""
FIRST_DELAY_S = 0.1
MAX_DELAY_S = 10.0

_PASSING_CODES = frozenset({
    "ConditionalRequestConflict", "InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable",
    "SlowDown", "ThrottlingException", "TooManyRequests",
})  # fmt: skip
_REGION = "set AWS_REGION to the bucket's region and AWS_ENDPOINT_URL to its endpoint"
_KEYS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY to a valid pair"
_EXPIRED = "S3 says that the session token has expired"
_NEW_TOKEN = "set AWS_SESSION_TOKEN and its keys anew, or use a service account's web identity"

_PERMANENT = {
    "SignatureDoesNotMatch": ("S3 rejects the signature: the secret access key is wrong", _KEYS),
    "InvalidAccessKeyId": ("S3 does not know the access key", _KEYS),
    "InvalidClientTokenId": ("S3 does not know the access key", _KEYS),
    "InvalidToken": ("S3 rejects the session token", _NEW_TOKEN),
    "RequestTimeTooSkewed": (
        "this machine's clock differs too much from S3's",
        "set the clock of this machine (NTP), then start again",
    ),
    "PermanentRedirect": ("the bucket is in another region", _REGION),
    "TemporaryRedirect": ("the bucket is in another region", _REGION),
    "AuthorizationHeaderMalformed": ("the bucket is in another region", _REGION),
    "IllegalLocationConstraintException": ("the bucket is in another region", _REGION),
    "InvalidBucketName": ("S3 does not accept the bucket's name", "correct the bucket in the URI"),
    "NotImplemented": ("this S3 cannot do that", "use an S3 with conditional puts (If-None-Match)"),
}
"""Sentence and next step of codes that no retry changes."""

_DEBUG = "\n\nDebug source:"
_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,100})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,300})")
_RETRIES = re.compile(r"after (\d{1,4}) retries")
_CAUSE = re.compile(r'(?:message|error): "([^"\n]{1,150})"')
# Where obstore looks for credentials, if there are none in the environment: instance metadata of EC2, ECS and EKS.
_CREDENTIALS_URI = re.compile(r"https?://(?:169\.254\.169\.254|169\.254\.170\.2|\[fd00:ec2::)")

Result = TypeVar("Result")


@dataclass(frozen=True)
class S3Failure:
    """What went wrong, as read from an exception of obstore or botocore."""

    status: int = 0
    """0: there was no answer."""
    code: str = ""
    text: str = ""
    """One line."""
    n_retries: int = 0
    """How often obstore had repeated the request."""
    lacks_credentials: bool = False
    is_permanent: bool = False

    @property
    def is_passing(self) -> bool:
        """Whether another attempt may succeed. 409 and 412 are told of puts only where nothing stands."""
        if self.is_permanent or self.lacks_credentials or self.code in _PERMANENT:
            return False
        return self.code in _PASSING_CODES or self.status in (0, 408, 409, 412, 425, 429) or self.status >= 500

    @property
    def may_have_been_done(self) -> bool:
        """Whether S3 may have carried out a request that failed in this way, now or before an internal retry."""
        return self.status == 0 or self.status >= 500 or self.n_retries > 0

    def to_error(self, uri: str) -> StepError:
        """Return the error of a step that fails for this."""
        said = f" ({' '.join(filter(None, [str(self.status or ''), self.code]))})" if self.status or self.code else ""
        if self.is_passing:
            message = f"S3 does not serve the request{said}: {self.text}" if said else f"no answer from S3: {self.text}"
            step = "check that S3 is up and AWS_ENDPOINT_URL names it, then start again"
            return StepError(message, reason=Reason.UNAVAILABLE, subject=uri, next_step=step)
        if self.code in ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"):
            if os.environ.get("AWS_SESSION_TOKEN"):
                return _settings_error(f"{_EXPIRED}{said}", uri, _NEW_TOKEN, self.status)
            # Of a web identity: the next attempt gets a new one.
            return StepError(f"{_EXPIRED}{said}", reason=Reason.UNAVAILABLE, subject=uri, next_step="start again")
        if self.lacks_credentials:
            step = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the pod a service account with a role"
            return _settings_error("there are no credentials for S3", uri, step)
        if self.code == "NoSuchBucket":
            step = "create the bucket, or correct the URI"
            return Misconfigured(f"no such bucket{said}", reason=Reason.NOT_FOUND, subject=uri, next_step=step)
        if self.status == 404:
            return not_found(uri)
        if self.code in _PERMANENT:
            sentence, step = _PERMANENT[self.code]
            return _settings_error(f"{sentence}{said}", uri, step, self.status)
        if self.status in (301, 302, 307, 308) or "incorrectly configured region" in self.text:
            return _settings_error(f"the bucket is in another region{said}", uri, _REGION)
        if self.status in (401, 403):
            return AccessDenied(
                f"S3 denies access with these credentials{said}",
                reason=Reason.UNREADABLE,
                subject=uri,
                next_step="give the credentials the right to this object, or correct the URI",
            )
        if self.code == "KeyTooLongError":
            step = "use shorter names"
            return InputRejected(f"the key is too long{said}", reason=Reason.UNREADABLE, subject=uri, next_step=step)
        if self.status == 416:
            return changed_while_read(uri)
        return _settings_error(
            f"S3 refuses the request{said}: {self.text}", uri, "check AWS_ENDPOINT_URL and the URI", self.status
        )


def _settings_error(message: str, uri: str, next_step: str, status: int = 0) -> Misconfigured:
    kind = AccessDenied if status in (401, 403) else Misconfigured
    return kind(message, reason=Reason.INVALID_ARGUMENT, subject=uri, next_step=next_step)


def changed_while_read(uri: str) -> StepError:
    """Return the error for an object that another one has replaced between two reads."""
    return StepError(
        "changed while it was read", reason=Reason.CHANGED_WHILE_READ, subject=uri, next_step="start again"
    )


def failure_of(error: BaseException) -> S3Failure | None:
    """Read an exception; None if it does not come from S3."""
    from obstore.exceptions import BaseError, InvalidPathError

    if isinstance(error, InvalidPathError):  # a key that object_store cannot name
        return None
    if isinstance(error, BaseError) or (isinstance(error, OSError) and error.errno is None):
        return _parse(str(error))
    if type(error).__module__.partition(".")[0] in ("botocore", "urllib3"):
        return _parse_botocore(error)
    return None


def _parse(text: str) -> S3Failure:
    told = text.partition(_DEBUG)[0]
    status, code, retries = _STATUS.search(told), _CODE.search(told), _RETRIES.search(told)
    if message := _MESSAGE.search(told):
        line = message[1]
    elif causes := _CAUSE.findall(text):
        line = causes[-1]
    else:
        line = told.rpartition(" - ")[2]
    return S3Failure(
        status=int(status[1]) if status else 0,
        code=code[1] if code else "",
        text=_one_line(line),
        n_retries=int(retries[1]) if retries else 0,
        lacks_credentials=_CREDENTIALS_URI.search(told) is not None,
        is_permanent=any(mark in text for mark in ("BareRedirect", "kind: Builder", "InvalidCertificate")),
    )


def _parse_botocore(error: BaseException) -> S3Failure:
    if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"):
        return S3Failure(text=_one_line(str(error)), lacks_credentials=True)
    response: dict[str, Any] = getattr(error, "response", None) or {}
    answer = response.get("Error", {})
    return S3Failure(
        status=int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)),
        code=str(answer.get("Code", "")),
        text=_one_line(str(answer.get("Message") or error)),
    )


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]


def delays() -> Iterator[float]:
    """Yield the seconds to wait before each further attempt: doubled, with jitter, `MAX_ATTEMPTS` - 1 of them."""
    for attempt in range(MAX_ATTEMPTS - 1):
        yield random.uniform(0.5, 1.0) * min(FIRST_DELAY_S * 2**attempt, MAX_DELAY_S)


def persistently(uri: str, call: Callable[[], Result], ask_again: Callable[[], object] | None = None) -> Result:
    """Return what `call` returns, and repeat it while S3's failures are passing.

    Args:
        uri: the object, for errors
        call: must be idempotent
        ask_again: a request whose error has a body. The answer to HEAD has none, so its reason is not known.

    Raises:
        StepError: S3 failed for good, or for too long. Other exceptions of `call` pass unchanged.
    """
    waits = delays()
    while True:
        try:
            return call()
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                raise
            if failure.status and not failure.code and not failure.is_passing and ask_again is not None:
                failure = _asked_again(ask_again) or failure
            wait = _next_wait(failure, waits)
            if wait is None:
                raise failure.to_error(uri) from None
        time.sleep(wait)


def _next_wait(failure: S3Failure, waits: Iterator[float]) -> float | None:
    """Return how long to wait before the next attempt; None if there should be none."""
    exhausted = failure.n_retries >= MAX_ATTEMPTS - 1  # obstore has waited already
    return next(waits, None) if failure.is_passing and not exhausted else None


def _asked_again(ask: Callable[[], object]) -> S3Failure | None:
    try:
        ask()
    except Exception as error:
        return failure_of(error)
    return None
