"""From an exception to what the caller hears: the only place that knows both."""

from __future__ import annotations

from datetime import timedelta

import grpc
import nats.errors
import nats.js.errors
import psycopg
import psycopg_pool
import sqlalchemy.exc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from heliograph_kit.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    HeliographError,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
)

DOMAIN = "heliograph"

# PostgreSQL says these when another transaction was faster: serialization failure, deadlock, lock not available, and
# the constraints that only a neighbour can make us break (unique, foreign key, exclusion). Other integrity errors, such
# as a null where none may be, are our own faults.
_CONFLICTS = frozenset({"40001", "40P01", "55P03", "23505", "23503", "23P01"})
# Connection exceptions, too many connections, shutdown, crash, not yet started, out of memory or disk.
_AWAY_CLASSES = ("08", "53", "57P")

_BUS_AWAY = (
    nats.errors.TimeoutError,
    nats.errors.ConnectionClosedError,
    nats.errors.ConnectionDrainingError,
    nats.errors.ConnectionReconnectingError,
    nats.errors.StaleConnectionError,
    nats.errors.NoServersError,
    nats.errors.NoRespondersError,
    nats.errors.OutboundBufferLimitError,
    nats.js.errors.ServiceUnavailableError,
    nats.js.errors.NoStreamResponseError,
)
_PEER_AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})


def refusal_of(error: BaseException) -> HeliographError | None:
    """Return what an exception means to the caller, or None when it is a fault of ours that stays inside."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, HeliographError):
        return error
    if isinstance(error, sqlalchemy.exc.DBAPIError | psycopg.Error):
        return _of_database(error)
    if isinstance(error, sqlalchemy.exc.TimeoutError | psycopg_pool.PoolTimeout):
        return Unavailable("the database is busy; try again in a moment", dependency="database")
    if isinstance(error, _BUS_AWAY):
        return Unavailable("the message bus is away; try again in a moment", dependency="bus")
    if isinstance(error, grpc.aio.AioRpcError) and error.code() in _PEER_AWAY:
        return Unavailable("a part of the installation is away; try again in a moment", dependency="service")
    if isinstance(error, ConnectionError):
        return Unavailable("a part of the installation is away; try again in a moment", dependency="network")
    return None


def _of_database(error: sqlalchemy.exc.DBAPIError | psycopg.Error) -> HeliographError | None:
    origin = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
    state = getattr(origin, "sqlstate", None) or ""
    if state in _CONFLICTS:
        return Aborted("something changed under this request; read again and repeat it")
    lost = isinstance(error, sqlalchemy.exc.DBAPIError) and error.connection_invalidated
    # No state at all: the driver never reached a server (refused, reset, resolved to nothing).
    unreached = not state and isinstance(origin, psycopg.OperationalError | psycopg.InterfaceError)
    if lost or unreached or state.startswith(_AWAY_CLASSES):
        return Unavailable("the database is away; try again in a moment", dependency="database")
    return None


def status_of(error: HeliographError) -> status_pb2.Status:
    """Return the status with `ErrorInfo` first and the detail that belongs to its kind."""
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)
    details: list[Message] = [info]
    match error:
        case InvalidArgument():
            request = error_details_pb2.BadRequest()
            for violation in error.violations:
                request.field_violations.add(
                    field=violation.field, description=violation.description, reason=violation.reason
                )
            details.append(request)
        case NotFound() | AlreadyExists() if error.resource:
            details.append(
                error_details_pb2.ResourceInfo(
                    resource_type=error.resource_type, resource_name=error.resource, description=error.message
                )
            )
        case FailedPrecondition():
            failure = error_details_pb2.PreconditionFailure()
            failure.violations.add(type=error.reason, subject=error.subject, description=error.message)
            details.append(failure)
        case ResourceExhausted():
            quota = error_details_pb2.QuotaFailure()
            quota.violations.add(subject=error.subject, description=error.message)
            details.append(quota)
        case _:
            pass
    if error.retry_after is not None:
        details.append(error_details_pb2.RetryInfo(retry_delay=_duration(error.retry_after)))
    status = status_pb2.Status(code=code_pb2.Code.Value(error.code), message=error.message)
    for detail in details:
        status.details.add().Pack(detail)
    return status


def _duration(delay: timedelta) -> Duration:
    duration = Duration()
    duration.FromTimedelta(delay)
    return duration
