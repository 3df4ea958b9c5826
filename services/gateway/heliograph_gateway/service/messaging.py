"""What the edge asks of messaging; every failure becomes one of ours."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import grpc

from heliograph.messaging.v1 import edge_pb2, edge_pb2_grpc
from heliograph_gateway.errors import MessagingAway, NothingHere

_UNKNOWN = frozenset({grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT})

_KEY_SECONDS = 3.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """How the caller of a webhook is to be answered."""

    status: int
    body: bytes
    content_type: str


class Messaging:
    """Calls of messaging, each with a time limit in seconds."""

    def __init__(self, channel: grpc.aio.Channel, *, seconds: float) -> None:
        """Take the channel to messaging."""
        self._stub = edge_pb2_grpc.EdgeServiceStub(channel)
        self._seconds = seconds

    async def keys(self) -> Sequence[bytes]:
        """Return the keys of tracked links.

        Raises:
            MessagingAway: it does not answer.
        """
        try:
            # Somebody waits for a link to lead on.
            seconds = min(self._seconds, _KEY_SECONDS)
            answer = await self._stub.GetTrackingKeys(edge_pb2.GetTrackingKeysRequest(), timeout=seconds)
        except grpc.aio.AioRpcError as error:
            raise _away("GetTrackingKeys", error) from error
        return list(answer.keys)

    async def record(self, events: Sequence[edge_pb2.TrackingEvent]) -> int:
        """Hand events over; return how many had no good token. Safe to repeat.

        Raises:
            MessagingAway: it does not answer.
        """
        request = edge_pb2.RecordTrackingRequest(events=events)
        try:
            return (await self._stub.RecordTracking(request, timeout=self._seconds)).invalid_count
        except grpc.aio.AioRpcError as error:
            raise _away("RecordTracking", error) from error

    async def unsubscribe(self, event: edge_pb2.TrackingEvent) -> None:
        """Opt somebody out; returns when it is stored. Safe to repeat.

        Raises:
            NothingHere: the token is none of an unsubscription.
            MessagingAway: it is not stored.
        """
        request = edge_pb2.RegisterUnsubscribeRequest(event=event)
        try:
            await self._stub.RegisterUnsubscribe(request, timeout=self._seconds)
        except grpc.aio.AioRpcError as error:
            if error.code() in _UNKNOWN:
                raise NothingHere from error
            raise _away("RegisterUnsubscribe", error) from error

    async def receive(
        self, channel: str, route: str, *, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Answer:
        """Hand a call of a provider over; returns when what it says is stored. Safe to repeat.

        Raises:
            NothingHere: no such channel takes such calls.
            MessagingAway: it is not stored.
        """
        request = edge_pb2.ReceiveWebhookRequest(
            channel=channel, route=route, method=method, target=target, headers=headers, body=body
        )
        try:
            answer = await self._stub.ReceiveWebhook(request, timeout=self._seconds)
        except grpc.aio.AioRpcError as error:
            if error.code() in _UNKNOWN:
                raise NothingHere from error
            raise _away("ReceiveWebhook", error) from error
        return Answer(answer.status, answer.body, answer.content_type)


def _away(method: str, error: grpc.aio.AioRpcError) -> MessagingAway:
    _log.warning("messaging does not answer", extra={"rpc_method": method, "code": error.code().name})
    return MessagingAway()
