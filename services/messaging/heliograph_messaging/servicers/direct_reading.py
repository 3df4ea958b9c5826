"""Requests of direct sends, read."""

from __future__ import annotations

from datetime import UTC
from typing import TypeVar

from heliograph.messaging.v1 import messages_pb2
from heliograph_kit.names import project_of
from heliograph_kit.rpc import fingerprint
from heliograph_messaging.service.direct_requests import Direct, Person

Request = TypeVar("Request", messages_pb2.SendMessagesRequest, messages_pb2.SendUsersMessagesRequest)


def read_send(request: messages_pb2.SendMessagesRequest) -> Direct:
    """Read a send to recipients."""
    stray = bool(request.contents) if request.channel else request.HasField("content")
    return Direct(
        project=project_of(request.parent, field="parent"),
        method="SendMessages",
        channel=request.channel,
        contents={request.channel: request.content} if request.channel else dict(request.contents),
        people=[
            Person(
                address=one.address,
                endpoint_id=one.endpoint_id,
                channel=one.channel,
                substitutions=dict(one.substitutions),
                overrides=one.overrides,
                context=dict(one.context),
            )
            for one in request.recipients
        ],
        substitutions=dict(request.substitutions),
        request_id=request.request_id,
        fingerprint=_fingerprint(request),
        expire_time=request.expire_time.ToDatetime(UTC) if request.HasField("expire_time") else None,
        context=dict(request.context),
        trace_id=request.trace_id,
        stray_content=stray,
    )


def read_users_send(request: messages_pb2.SendUsersMessagesRequest) -> Direct:
    """Read a send to users."""
    return Direct(
        project=project_of(request.parent, field="parent"),
        method="SendUsersMessages",
        channel="",
        contents=dict(request.contents),
        people=[
            Person(
                user_id=one.user_id,
                substitutions=dict(one.substitutions),
                overrides=one.overrides,
                context=dict(one.context),
            )
            for one in request.users
        ],
        substitutions=dict(request.substitutions),
        request_id=request.request_id,
        fingerprint=_fingerprint(request),
        expire_time=request.expire_time.ToDatetime(UTC) if request.HasField("expire_time") else None,
        context=dict(request.context),
        trace_id=request.trace_id,
    )


def _fingerprint(request: Request) -> str:
    """Return what makes a request the same as another: not how long its caller is ready to wait."""
    copy = type(request)()
    copy.CopyFrom(request)
    copy.ClearField("wait_for_result")
    return fingerprint(copy)
