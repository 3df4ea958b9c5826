"""Every exception becomes the right status, for all four arities, and nothing of ours leaks."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import grpc
import nats.errors
import psycopg
import pytest
import sqlalchemy.exc
from google.rpc import error_details_pb2

from heliograph_kit.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    HeliographError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    RequestIdReused,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Violation,
    Violations,
)
from heliograph_kit.rpc import details_of, metadata_of, reason_of, violations_of
from heliograph_kit.rpc.refusals import refusal_of
from tests.kit.rpc.conftest import Bench
from tests.kit.rpc.echo import EchoRequest, EchoResponse, EchoStub, call

ARITIES = ["One", "Down", "Up", "Both"]


def _raiser(error: BaseException) -> Any:
    async def does(_request: Any, _context: Any) -> None:
        raise error

    return does


async def _refusal(bench: Bench, error: BaseException, method: str = "One") -> grpc.aio.AioRpcError:
    stub = await bench.stub(_raiser(error))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(stub, method, EchoRequest(parent="projects/shop"))
    return caught.value


@pytest.mark.parametrize("method", ARITIES)
async def test_every_arity_answers(bench: Bench, method: str) -> None:
    stub = await bench.stub()
    assert await call(stub, method, EchoRequest(parent="projects/shop", text="word")) == ["word"]


@pytest.mark.parametrize("method", ARITIES)
async def test_an_unknown_exception_is_internal_and_keeps_its_text_inside(
    bench: Bench, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        error = await _refusal(bench, RuntimeError("secret detail of table x"), method)
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in (error.details() or "")
    trailing: Any = error.trailing_metadata()
    told = dict(trailing)["x-trace-id"]
    assert len(told) == 32
    assert "secret" not in repr(trailing)
    assert "secret detail of table x" in caplog.text
    assert any(getattr(record, "told_trace_id", "") == told for record in caplog.records)


@pytest.mark.parametrize("method", ARITIES)
async def test_an_undecodable_request_is_an_invalid_argument_with_fixed_text(bench: Bench, method: str) -> None:
    stub = EchoStub(bench.open(await bench.serve()), raw=True)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(stub, method, b"\xff\xff\xff not a message")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason_of(caught.value) == "UNDECODABLE_REQUEST"
    assert "could not be decoded" in (caught.value.details() or "")


@pytest.mark.parametrize("method", ARITIES)
async def test_a_refusal_carries_its_reason_through_every_arity(bench: Bench, method: str) -> None:
    error = await _refusal(bench, FailedPrecondition("the campaign is paused", state="PAUSED"), method)
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason_of(error) == "FAILED_PRECONDITION"
    assert metadata_of(error) == {"state": "PAUSED"}


@pytest.mark.parametrize("method", ARITIES)
async def test_an_abort_of_the_handler_goes_through(bench: Bench, method: str) -> None:
    async def does(_request: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.OUT_OF_RANGE, "no more")

    stub = await bench.stub(does)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(stub, method, EchoRequest(parent="projects/shop"))
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.OUT_OF_RANGE, "no more")


@pytest.mark.parametrize(
    ("error", "code", "reason", "detail"),
    [
        pytest.param(
            NotFound("no such segment", resource_type="segment", resource="projects/shop/segments/x"),
            "NOT_FOUND", "NOT_FOUND", error_details_pb2.ResourceInfo, id="what is missing is named",
        ),
        pytest.param(
            AlreadyExists("taken", resource_type="project", resource="projects/shop"),
            "ALREADY_EXISTS", "ALREADY_EXISTS", error_details_pb2.ResourceInfo, id="what is taken is named",
        ),
        pytest.param(RequestIdReused("r1"), "ALREADY_EXISTS", "REQUEST_ID_REUSED", None, id="request id used twice"),
        pytest.param(
            FailedPrecondition("paused"), "FAILED_PRECONDITION", "FAILED_PRECONDITION",
            error_details_pb2.PreconditionFailure, id="the wrong state is told",
        ),
        pytest.param(Aborted("raced"), "ABORTED", "CONFLICT", error_details_pb2.RetryInfo, id="a conflict may retry"),
        pytest.param(
            ResourceExhausted("full"), "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED",
            error_details_pb2.QuotaFailure, id="the limit is told",
        ),
        pytest.param(
            ResourceExhausted("full"), "RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED",
            error_details_pb2.RetryInfo, id="a limit may retry",
        ),
        pytest.param(Unauthenticated("who"), "UNAUTHENTICATED", "KEY_MISSING", None, id="nobody"),
        pytest.param(PermissionDenied("no"), "PERMISSION_DENIED", "ROLE_NOT_ALLOWED", None, id="not allowed"),
    ],
)  # fmt: skip
async def test_each_kind_of_refusal_has_its_code_reason_and_detail(
    bench: Bench, error: HeliographError, code: str, reason: str, detail: Any
) -> None:
    refusal = await _refusal(bench, error)
    assert (refusal.code().name, reason_of(refusal)) == (code, reason)
    assert detail is None or list(details_of(refusal, detail))


async def test_all_violations_come_at_once(bench: Bench) -> None:
    found = Violations()
    found.add("segment.name", "must not be empty", "REQUIRED")
    found.extend([Violation("value", "must be a number", "TYPE")], under="segment.rules[2]")
    with pytest.raises(InvalidArgument) as caught:
        found.check()
    refusal = await _refusal(bench, caught.value)
    assert violations_of(refusal) == [("segment.name", "REQUIRED"), ("segment.rules[2].value", "TYPE")]


def test_no_violation_lets_the_request_pass() -> None:
    Violations().check()


def _database_error(kind: type[psycopg.Error], *, invalidated: bool = False) -> sqlalchemy.exc.DBAPIError:
    return sqlalchemy.exc.OperationalError("SELECT secret", {}, kind("secret"), connection_invalidated=invalidated)


@pytest.mark.parametrize(
    ("error", "means"),
    [
        pytest.param(_database_error(psycopg.errors.SerializationFailure), Aborted, id="serialization failure"),
        pytest.param(_database_error(psycopg.errors.DeadlockDetected), Aborted, id="deadlock"),
        pytest.param(_database_error(psycopg.errors.UniqueViolation), Aborted, id="unique violation"),
        pytest.param(psycopg.errors.ForeignKeyViolation("x"), Aborted, id="foreign key, from the driver itself"),
        pytest.param(_database_error(psycopg.errors.NotNullViolation), None, id="a null is our fault"),
        pytest.param(_database_error(psycopg.errors.UndefinedTable), None, id="a missing table is our fault"),
        pytest.param(_database_error(psycopg.errors.AdminShutdown), Unavailable, id="shutdown"),
        pytest.param(_database_error(psycopg.OperationalError), Unavailable, id="connection refused"),
        pytest.param(_database_error(psycopg.errors.UndefinedTable, invalidated=True), Unavailable, id="lost"),
        pytest.param(sqlalchemy.exc.TimeoutError("pool"), Unavailable, id="pool used up"),
        pytest.param(nats.errors.TimeoutError(), Unavailable, id="bus does not answer"),
        pytest.param(nats.errors.ConnectionClosedError(), Unavailable, id="bus closed"),
        pytest.param(ConnectionRefusedError(), Unavailable, id="nobody listens"),
        pytest.param(ExceptionGroup("tasks", [NotFound("x")]), NotFound, id="the one error of a task group"),
        pytest.param(KeyError("x"), None, id="anything else is our fault"),
    ],
)
def test_failures_of_the_parts_we_stand_on(error: BaseException, means: type[HeliographError] | None) -> None:
    refusal = refusal_of(error)
    assert (None if refusal is None else type(refusal)) is means
    assert refusal is None or "secret" not in refusal.message


async def test_a_lost_database_is_unavailable_with_a_delay(bench: Bench) -> None:
    refusal = await _refusal(bench, _database_error(psycopg.OperationalError))
    assert refusal.code() is grpc.StatusCode.UNAVAILABLE
    assert [info.retry_delay.seconds for info in details_of(refusal, error_details_pb2.RetryInfo)] == [1]
    assert metadata_of(refusal) == {"dependency": "database"}


async def test_a_handler_that_returns_the_wrong_thing_is_internal(bench: Bench) -> None:
    async def does(_request: Any, _context: Any) -> Any:
        return "secret text"

    stub = await bench.stub(does)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(stub, "One", EchoRequest(parent="projects/shop"))
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in (caught.value.details() or "")


async def test_the_clients_timeout_cancels_the_handler_at_its_next_await(bench: Bench) -> None:
    """Work that must finish belongs into the outbox or a task of its own, never behind an await of the handler."""
    cancelled = asyncio.Event()

    async def does(_request: Any, _context: Any) -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    stub = await bench.stub(does)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(stub, "One", EchoRequest(parent="projects/shop"), timeout=0.2)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    async with asyncio.timeout(5):
        await cancelled.wait()


async def test_a_stream_whose_client_hangs_up_is_closed_at_once(bench: Bench) -> None:
    from tests.kit.rpc.echo import Echo

    servicer = Echo()
    stub = EchoStub(bench.open(await bench.serve(servicer=servicer)))
    stream = stub.Down(EchoRequest(parent="projects/shop", text="word " * 200_000))
    assert await stream.read() == EchoResponse(text="word")
    stream.cancel()
    async with asyncio.timeout(5):
        while not servicer.closed:
            await asyncio.sleep(0.01)
