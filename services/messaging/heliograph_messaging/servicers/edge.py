"""gRPC face of what comes in through the HTTP edge."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from heliograph.messaging.v1 import edge_pb2, edge_pb2_grpc
from heliograph_kit.clock import Clock
from heliograph_kit.names import parse_name
from heliograph_messaging.service.edge import Call, Deed, Edge

_MAX_USER_AGENT = 256
_MAX_IP_ADDRESS = 64


class EdgeServicer(edge_pb2_grpc.EdgeServiceServicer):
    """Parses, calls, translates."""

    def __init__(self, edge: Edge, clock: Clock) -> None:
        """Take the use cases, and the time for deeds that say none."""
        self._edge = edge
        self._clock = clock

    async def ReceiveWebhook(
        self, request: edge_pb2.ReceiveWebhookRequest, context: Any
    ) -> edge_pb2.ReceiveWebhookResponse:
        """Take a call of a provider."""
        name = parse_name(request.channel, "channels", field="channel")
        call = Call(request.method, request.target, dict(request.headers), request.body)
        said = await self._edge.receive(name.project, name.id, request.route, call)
        return edge_pb2.ReceiveWebhookResponse(status=said.status, body=said.body, content_type=said.content_type)

    async def RecordTracking(
        self, request: edge_pb2.RecordTrackingRequest, context: Any
    ) -> edge_pb2.RecordTrackingResponse:
        """Take what people did with their messages."""
        invalid = await self._edge.record([self._deed(event) for event in request.events])
        return edge_pb2.RecordTrackingResponse(invalid_count=invalid)

    async def RegisterUnsubscribe(
        self, request: edge_pb2.RegisterUnsubscribeRequest, context: Any
    ) -> edge_pb2.RegisterUnsubscribeResponse:
        """Opt somebody out."""
        await self._edge.unsubscribe(self._deed(request.event))
        return edge_pb2.RegisterUnsubscribeResponse()

    async def GetTrackingKeys(self, request: edge_pb2.GetTrackingKeysRequest, context: Any) -> edge_pb2.TrackingKeys:
        """Return the keys of tracked links."""
        return edge_pb2.TrackingKeys(keys=await self._edge.keys())

    def _deed(self, event: edge_pb2.TrackingEvent) -> Deed:
        now = self._clock.now()
        time = now
        if event.HasField("time"):
            seconds = event.time.seconds + event.time.nanos / 1e9
            # Nobody opens a message tomorrow, and no calendar holds every number.
            time = datetime.fromtimestamp(max(0.0, min(seconds, now.timestamp())), UTC)
        return Deed(event.id, event.token, time, event.user_agent[:_MAX_USER_AGENT], event.ip_address[:_MAX_IP_ADDRESS])
