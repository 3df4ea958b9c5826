"""What the edge asks of the 10DLC registry; every failure becomes one of ours."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import grpc

from heliograph.registry10dlc.v1 import registrar_edge_pb2, registrar_edge_pb2_grpc
from heliograph_gateway.errors import NothingHere, RegistryAway

_UNKNOWN = frozenset({grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT})

_log = logging.getLogger(__name__)


class Registry:
    """Calls of the registry, each with a time limit in seconds."""

    def __init__(self, channel: grpc.aio.Channel, *, seconds: float) -> None:
        """Take the channel to the registry."""
        self._stub = registrar_edge_pb2_grpc.RegistrarEdgeServiceStub(channel)
        self._seconds = seconds

    async def receive(
        self, registrar: str, *, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> int:
        """Hand a call for a registrar over; return the HTTP status when what it says is written down. Safe to repeat.

        Raises:
            NothingHere: no registrar of this name is in use.
            RegistryAway: it is not written down.
        """
        request = registrar_edge_pb2.ReceiveRegistrarWebhookRequest(
            registrar=registrar, method=method, target=target, headers=headers, body=body
        )
        try:
            answer = await self._stub.ReceiveRegistrarWebhook(request, timeout=self._seconds)
        except grpc.aio.AioRpcError as error:
            if error.code() in _UNKNOWN:
                raise NothingHere from error
            _log.warning("the registry does not answer", extra={"code": error.code().name})
            raise RegistryAway from error
        return answer.status
