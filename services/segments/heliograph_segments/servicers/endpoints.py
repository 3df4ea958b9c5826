"""gRPC face of endpoints."""

from __future__ import annotations

from typing import Any

import grpc

from heliograph.segments.v1 import endpoints_pb2, endpoints_pb2_grpc
from heliograph_kit.names import project_of
from heliograph_segments.domain.endpoints import MAX_BATCH
from heliograph_segments.domain.problems import under
from heliograph_segments.service.endpoints import Endpoints
from heliograph_segments.servicers.endpoint_messages import endpoint_of, read_update, write_endpoint

Context = grpc.aio.ServicerContext[Any, Any]


class EndpointServicer(endpoints_pb2_grpc.EndpointServiceServicer):
    """Parses, calls, translates."""

    def __init__(self, endpoints: Endpoints) -> None:
        """Take the use cases."""
        self._endpoints = endpoints

    async def UpdateEndpoints(
        self, request: endpoints_pb2.UpdateEndpointsRequest, context: Context
    ) -> endpoints_pb2.UpdateEndpointsResponse:
        """Create or update up to 100 endpoints."""
        updates, problems = [], []
        # What is above the limit is refused as a whole, and not worth reading.
        for index, message in enumerate(request.endpoints[: MAX_BATCH + 1]):
            update, found = read_update(message)
            updates.append(update)
            problems += under(f"endpoints[{index}]", found)
        written = await self._endpoints.update(project_of(request.parent, field="parent"), updates, problems)
        return endpoints_pb2.UpdateEndpointsResponse(created_count=written.created, updated_count=written.updated)

    async def GetEndpoint(self, request: endpoints_pb2.GetEndpointRequest, context: Context) -> endpoints_pb2.Endpoint:
        """Return an endpoint."""
        project, endpoint_id = endpoint_of(request.name)
        return write_endpoint(project, await self._endpoints.get(project, endpoint_id))

    async def DeleteEndpoint(
        self, request: endpoints_pb2.DeleteEndpointRequest, context: Context
    ) -> endpoints_pb2.Endpoint:
        """Delete an endpoint."""
        project, endpoint_id = endpoint_of(request.name)
        return write_endpoint(project, await self._endpoints.delete(project, endpoint_id))
