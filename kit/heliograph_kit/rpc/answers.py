"""What a refused call says to code: reason and details, read by callers and by tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from heliograph_kit.rpc.refusals import DOMAIN

_DETAILS = "grpc-status-details-bin"

M = TypeVar("M", bound=Message)


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """Return the reason of a refusal (`SEGMENT_NOT_FOUND`), or "" when the status does not come from this product."""
    for info in details_of(error, error_details_pb2.ErrorInfo):
        if info.domain == DOMAIN:
            return str(info.reason)
    return ""


def metadata_of(error: grpc.aio.AioRpcError) -> dict[str, str]:
    """Return the facts a refusal carries for code."""
    for info in details_of(error, error_details_pb2.ErrorInfo):
        if info.domain == DOMAIN:
            return dict(info.metadata)
    return {}


def violations_of(error: grpc.aio.AioRpcError) -> list[tuple[str, str]]:
    """Return field and reason of each violation."""
    return [
        (violation.field, violation.reason)
        for request in details_of(error, error_details_pb2.BadRequest)
        for violation in request.field_violations
    ]


def details_of(error: grpc.aio.AioRpcError, kind: type[M]) -> Iterator[M]:
    """Yield the details of one kind."""
    trailing: Any = error.trailing_metadata() or ()  # the stubs say it yields one thing, it yields pairs
    for key, value in trailing:
        if key != _DETAILS:
            continue
        try:
            status = status_pb2.Status.FromString(value)
        except DecodeError:
            continue
        for detail in status.details:
            found = kind()
            if detail.Unpack(found):
                yield found
