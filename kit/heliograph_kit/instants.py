"""Instants on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import overload

from google.protobuf.timestamp_pb2 import Timestamp


@overload
def timestamp(instant: datetime) -> Timestamp: ...
@overload
def timestamp(instant: datetime | None) -> Timestamp | None: ...
def timestamp(instant: datetime | None) -> Timestamp | None:
    """Return an aware instant of any zone as a message; None stays absent."""
    if instant is None:
        return None
    message = Timestamp()
    message.FromDatetime(instant)
    return message
