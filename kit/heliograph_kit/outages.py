"""Which failures say that a dependency is away, and not that the work itself is wrong."""

from __future__ import annotations

import grpc
import nats.errors
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from heliograph_kit.database import sqlstate
from heliograph_kit.errors import Unavailable

_AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED})
_STATEMENT_TOO_SLOW = "57014"


def is_outage(error: BaseException) -> bool:
    """Tell whether trying again later may succeed without any change to the work.

    A statement that ran into its time limit is not counted as an outage: the same work would be too slow for ever.
    """
    if isinstance(error, grpc.RpcError):
        code = getattr(error, "code", None)
        return callable(code) and code() in _AWAY
    if isinstance(error, DBAPIError):
        lost = isinstance(error, (OperationalError, InterfaceError)) or error.connection_invalidated
        return lost and sqlstate(error) != _STATEMENT_TOO_SLOW
    return isinstance(error, (Unavailable, PoolTimeout, ConnectionError, nats.errors.Error))
