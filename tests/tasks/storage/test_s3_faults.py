"""S3 that resets connections, loses answers, tears bodies, conflicts and refuses: nothing is lost, and it is told."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tasks import storage
from tasks.contract import ExitCode, Reason, StepError
from tasks.storage import s3_errors
from tests.faults.s3_proxy import (
    CONFLICT,
    SLOW_DOWN,
    Answer,
    Chooser,
    Fault,
    Raced,
    Request,
    Reset,
    S3Proxy,
    Torn,
    first,
    seeded,
)
from tests.s3_servers import S3Server

PASSING = (Reset(), Reset(after=True), CONFLICT, SLOW_DOWN, Raced(Answer(500, "InternalError")))

Proxied = Callable[[Chooser], AbstractContextManager[S3Proxy]]


@pytest.fixture
def proxied(moto_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxied]:
    """Storage behind a proxy with faults, and without long waits."""
    for name, value in moto_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3_errors, "FIRST_DELAY_S", 0.005)
    monkeypatch.setattr(s3_errors, "MAX_DELAY_S", 0.02)

    @contextmanager
    def serve(choose: Chooser) -> Iterator[S3Proxy]:
        with S3Proxy(moto_server.endpoint, choose) as proxy:
            monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
            storage._s3_storage.cache_clear()
            yield proxy

    yield serve
    storage._s3_storage.cache_clear()


def is_conditional_put(request: Request) -> bool:
    return request.is_conditional_put


@pytest.mark.parametrize("fault", PASSING, ids=str)
@pytest.mark.parametrize("n", [1, 4])
def test_a_conditional_put_survives(proxied: Proxied, moto_s3: str, fault: Fault, n: int) -> None:
    with proxied(first(n, fault, is_conditional_put)) as proxy:
        storage.write(f"{moto_s3}/line", b"mine", create=True)
        assert len(proxy.injected) >= 1
        assert storage.read_bytes(f"{moto_s3}/line") == b"mine"
        with pytest.raises(storage.AlreadyExists):
            storage.write(f"{moto_s3}/line", b"mine", create=True)


@pytest.mark.parametrize("fault", PASSING, ids=str)
def test_what_another_wrote_is_not_taken_for_ours(proxied: Proxied, moto_s3: str, fault: Fault) -> None:
    storage.write(f"{moto_s3}/line", b"hers", create=True)
    with proxied(first(2, fault, is_conditional_put)):
        for data in (b"mine", b"mine, longer"):
            with pytest.raises(storage.AlreadyExists):
                storage.write(f"{moto_s3}/line", data, create=True)
    assert storage.read_bytes(f"{moto_s3}/line") == b"hers"


def test_a_conflict_that_stays_is_told_and_not_taken_for_an_object(proxied: Proxied, moto_s3: str) -> None:
    with proxied(lambda request: CONFLICT if request.is_conditional_put else None):
        with pytest.raises(StepError, match="ConditionalRequestConflict") as caught:
            storage.write(f"{moto_s3}/line", b"mine", create=True)
        assert caught.value.reason is Reason.UNAVAILABLE
        assert caught.value.exit_code is ExitCode.FAULT
        assert not storage.exists(f"{moto_s3}/line")


@pytest.mark.parametrize("seed", [1, 2])
def test_four_racing_writers_have_one_winner_each_time(proxied: Proxied, moto_s3: str, seed: int) -> None:
    """A tenth of all requests fail, among them those of 200 conditional puts: 50 by each writer."""
    n_keys = 50
    won: dict[int, list[bytes]] = {n: [] for n in range(n_keys)}
    read: dict[int, list[bytes]] = {n: [] for n in range(n_keys)}
    failures: list[BaseException] = []
    gate = threading.Barrier(4)

    def contend(writer: int) -> None:
        try:
            for n in range(n_keys):
                gate.wait()
                data = f"{n} by {writer}".encode()
                try:
                    storage.write(f"{moto_s3}/{n:03d}", data, create=True)
                    won[n].append(data)
                except storage.AlreadyExists:
                    pass
                read[n].append(storage.read_bytes(f"{moto_s3}/{n:03d}"))
        except BaseException as error:
            failures.append(error)
            gate.abort()

    with proxied(seeded(seed, 0.1, PASSING)) as proxy:
        writers = [threading.Thread(target=contend, args=(w,)) for w in range(4)]
        for thread in writers:
            thread.start()
        for thread in writers:
            thread.join()
        assert not failures
        assert len(proxy.injected) > n_keys / 4
    for n in range(n_keys):
        assert len(won[n]) == 1, n
        assert read[n] == won[n] * 4, n


@pytest.mark.parametrize(
    "fault", [Torn(), Reset(), Reset(after=True), SLOW_DOWN, Answer(400, "RequestTimeout")], ids=str
)
def test_a_listing_that_breaks_off_continues(
    proxied: Proxied, moto_s3: str, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr("tasks.storage.s3.LIST_PAGE", 10)
    names = [f"in/{n:02d}" for n in range(35)]
    for name in names:
        storage.write(f"{moto_s3}/{name}", b"x")
    n_pages = 0

    def every_other(request: Request) -> Fault | None:
        nonlocal n_pages
        n_pages += request.is_listing
        return fault if request.is_listing and n_pages % 2 else None

    with proxied(every_other) as proxy:
        assert [item.uri.removeprefix(f"{moto_s3}/") for item in storage.list_objects(f"{moto_s3}/in")] == names
        assert proxy.injected


@pytest.mark.parametrize("fault", [Torn(), Reset(after=True), SLOW_DOWN], ids=str)
def test_a_listing_with_a_key_that_obstore_cannot_name_continues_too(
    proxied: Proxied, moto_s3: str, moto_server: S3Server, fault: Fault
) -> None:
    for key in ("in/a", "in//b", "in/c"):
        moto_server.put(f"{moto_s3}/{key}", b"x")
    with proxied(first(3, fault, lambda request: request.is_listing)):
        listed = [item.uri.removeprefix(f"{moto_s3}/") for item in storage.list_objects(f"{moto_s3}/in")]
    assert listed == ["in//b", "in/a", "in/c"]


def test_reads_writes_and_deletions_survive(proxied: Proxied, moto_s3: str, tmp_path: Path) -> None:
    whole = os.urandom(3_500_000)
    (tmp_path / "whole").write_bytes(whole)
    with proxied(seeded(3, 0.2, [*PASSING[:2], SLOW_DOWN, Torn()])) as proxy:
        for n in range(10):
            storage.write(f"{moto_s3}/{n}", tmp_path / "whole")
            assert storage.read_bytes(f"{moto_s3}/{n}") == whole
            with storage.open_reader(f"{moto_s3}/{n}") as file:
                file.seek(-100_000, os.SEEK_END)
                assert file.read() == whole[-100_000:]
            storage.delete(f"{moto_s3}/{n}")
            assert not storage.exists(f"{moto_s3}/{n}")
        assert len(proxy.injected) > 10


def test_a_copy_survives(proxied: Proxied, moto_s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.storage.s3.PART_BYTES", 1 << 17)
    whole = os.urandom(3_500_000)
    with proxied(seeded(5, 0.2, [*PASSING[:2], SLOW_DOWN, Torn()])) as proxy:
        storage.write(f"{moto_s3}/a", whole)
        for n in range(3):
            storage.copy(f"{moto_s3}/a", tmp_path / str(n))
            assert (tmp_path / str(n)).read_bytes() == whole
        assert len(proxy.injected) > 10


def test_a_copy_that_is_refused_asks_for_no_further_parts(
    proxied: Proxied, moto_s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.storage.s3.PART_BYTES", 1 << 12)
    storage.write(f"{moto_s3}/a", b"a" * 1_000_000)
    refused = Answer(403, "AccessDenied")
    with proxied(lambda request: refused if request.method == "GET" else None) as proxy:
        with pytest.raises(StepError, match="the right to this object"):
            storage.copy(f"{moto_s3}/a", tmp_path / "a")
        assert len(proxy.injected) < 40


def test_an_object_that_changes_between_two_reads_is_told(moto_s3: str) -> None:
    storage.write(f"{moto_s3}/a", b"a" * 3_000_000)
    with storage.open_reader(f"{moto_s3}/a") as file:
        file.read(10)
        storage.write(f"{moto_s3}/a", b"b" * 3_000_000)
        file.seek(2_500_000)
        with pytest.raises(StepError) as caught:
            file.read(10)
    assert caught.value.reason is Reason.CHANGED_WHILE_READ


OPERATIONS: dict[str, Callable[[str], object]] = {
    "info": storage.info,
    "exists": storage.exists,
    "read": storage.read_bytes,
    "write": lambda uri: storage.write(uri, b"x"),
    "create": lambda uri: storage.write(uri, b"x", create=True),
    "list": lambda uri: list(storage.list_objects(uri)),
    "delete": storage.delete,
}

REFUSALS = [
    (Answer(403, "SignatureDoesNotMatch"), 78, Reason.INVALID_ARGUMENT, "AWS_SECRET_ACCESS_KEY"),
    (Answer(403, "InvalidAccessKeyId"), 78, Reason.INVALID_ARGUMENT, "AWS_ACCESS_KEY_ID"),
    (Answer(403, "AccessDenied"), 78, Reason.UNREADABLE, "the right to this object"),
    (Answer(403, "RequestTimeTooSkewed"), 78, Reason.INVALID_ARGUMENT, "clock"),
    (Answer(400, "ExpiredToken"), 78, Reason.INVALID_ARGUMENT, "AWS_SESSION_TOKEN"),
    (Answer(400, "AuthorizationHeaderMalformed"), 78, Reason.INVALID_ARGUMENT, "AWS_REGION"),
    (Answer(301, "PermanentRedirect"), 78, Reason.INVALID_ARGUMENT, "AWS_REGION"),
    (Answer(404, "NoSuchBucket"), 78, Reason.NOT_FOUND, "create the bucket"),
    (Answer(400, "SomethingNew"), 78, Reason.INVALID_ARGUMENT, "AWS_ENDPOINT_URL"),
    (SLOW_DOWN, 70, Reason.UNAVAILABLE, "start again"),
    (Answer(500, "InternalError"), 70, Reason.UNAVAILABLE, "start again"),
    (Reset(), 70, Reason.UNAVAILABLE, "start again"),
]


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(("fault", "exit_code", "reason", "next_step"), REFUSALS, ids=lambda v: getattr(v, "code", ""))
def test_a_refusal_is_typed_and_told_in_a_line(
    proxied: Proxied,
    moto_s3: str,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
    exit_code: int,
    reason: Reason,
    next_step: str,
    operation: str,
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of yesterday")
    with proxied(lambda _: fault) as proxy, pytest.raises(StepError) as caught:
        OPERATIONS[operation](f"{moto_s3}/a/b")
    error = caught.value
    assert (error.exit_code, error.reason, error.subject) == (exit_code, reason, f"{moto_s3}/a/b")
    assert next_step in error.next_step
    if isinstance(fault, Answer) and operation in ("write", "create", "list") and fault.status != 301:
        assert fault.code in str(error)
    assert len(str(error)) < 400
    assert "\n" not in str(error)
    assert len(proxy.requests) <= (2 if exit_code == 78 else 2 * s3_errors.MAX_ATTEMPTS)
    assert error.__suppress_context__
    assert storage.is_access_denied(error) == (isinstance(fault, Answer) and fault.status == 403)


def test_an_expired_token_of_a_web_identity_is_a_passing_fault(
    proxied: Proxied, moto_s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    with proxied(lambda _: Answer(400, "ExpiredToken")), pytest.raises(StepError) as caught:
        storage.write(f"{moto_s3}/a", b"x")
    assert (caught.value.exit_code, caught.value.reason) == (70, Reason.UNAVAILABLE)


@pytest.mark.parametrize(
    ("endpoint", "exit_code"),
    [("http://127.0.0.1:1", 70), ("http://no.such.host.invalid", 70), ("localhost:9000", 78), ("http://", 78)],
)
def test_an_endpoint_that_does_not_answer_is_told(
    proxied: Proxied, monkeypatch: pytest.MonkeyPatch, endpoint: str, exit_code: int
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    storage._s3_storage.cache_clear()
    with pytest.raises(StepError, match="AWS_ENDPOINT_URL") as caught:
        storage.exists("s3://bucket/a")
    assert caught.value.exit_code == exit_code


def test_missing_credentials_are_told() -> None:
    """Without any in the environment, obstore asks the machine's metadata, which no test may."""
    failure = s3_errors.failure_of(
        OSError("Generic S3 error: Error performing PUT http://169.254.169.254/latest/api/token in 1ms - HTTP error")
    )
    assert failure is not None
    error = failure.to_error("s3://bucket/a")
    assert (error.exit_code, error.reason) == (78, Reason.INVALID_ARGUMENT)
    assert "AWS_ACCESS_KEY_ID" in error.next_step


@pytest.mark.parametrize("bucket", ["a b", "", "b%", "ä"])
def test_a_bucket_that_would_make_obstore_panic_is_rejected(moto_s3: str, bucket: str) -> None:
    with pytest.raises(StepError, match="not a bucket's name") as caught:
        storage.exists(f"s3://{bucket}/a")
    assert caught.value.exit_code is ExitCode.MISCONFIGURED
