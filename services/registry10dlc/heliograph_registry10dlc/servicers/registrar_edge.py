"""`heliograph.registry10dlc.v1.RegistrarEdgeService`."""

from __future__ import annotations

from typing import Any

from heliograph.registry10dlc.v1 import registrar_edge_pb2, registrar_edge_pb2_grpc
from heliograph_channels import WebhookRequest
from heliograph_registry10dlc.registrar_calls import RegistrarCalls


class RegistrarEdgeServicer(registrar_edge_pb2_grpc.RegistrarEdgeServiceServicer):
    """Answers RegistrarEdgeService."""

    def __init__(self, calls: RegistrarCalls) -> None:
        """Take the use case."""
        self._calls = calls

    async def ReceiveRegistrarWebhook(
        self, request: registrar_edge_pb2.ReceiveRegistrarWebhookRequest, context: Any
    ) -> registrar_edge_pb2.ReceiveRegistrarWebhookResponse:
        """Take a call of a registry."""
        call = WebhookRequest(request.method, request.target, dict(request.headers), request.body)
        said = await self._calls.receive(request.registrar, call)
        return registrar_edge_pb2.ReceiveRegistrarWebhookResponse(status=said.status, move_count=said.moves)
