"""gRPC face of endpoints."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

import grpc

from heliograph.segments.v1 import endpoints_pb2, endpoints_pb2_grpc
from heliograph_kit.names import project_of
from heliograph_segments.domain.endpoints import MAX_BATCH, EndpointUpdate
from heliograph_segments.domain.problems import Problem, under
from heliograph_segments.domain.vocabulary import Kind, Vocabulary
from heliograph_segments.service.attributes import Attributes
from heliograph_segments.service.endpoint_reading import read_update
from heliograph_segments.service.endpoints import MAX_STREAM_BATCH, Endpoints
from heliograph_segments.service.marks import Mark, Marks
from heliograph_segments.servicers.endpoint_messages import endpoint_of, user_of, write_endpoint

Context = grpc.aio.ServicerContext[Any, Any]

_KINDS: Mapping[int, Kind] = {
    endpoints_pb2.RemoveAttributesRequest.KIND_ENDPOINT_ATTRIBUTES: Kind.ATTRIBUTES,
    endpoints_pb2.RemoveAttributesRequest.KIND_ENDPOINT_METRICS: Kind.METRICS,
    endpoints_pb2.RemoveAttributesRequest.KIND_USER_ATTRIBUTES: Kind.USER_ATTRIBUTES,
}


class EndpointServicer(endpoints_pb2_grpc.EndpointServiceServicer):
    """Parses, calls, translates."""

    def __init__(self, endpoints: Endpoints, attributes: Attributes, marks: Marks) -> None:
        """Take the use cases."""
        self._endpoints = endpoints
        self._attributes = attributes
        self._marks = marks

    async def UpdateEndpoints(
        self, request: endpoints_pb2.UpdateEndpointsRequest, context: Context
    ) -> endpoints_pb2.UpdateEndpointsResponse:
        """Create or update up to 100 endpoints."""
        updates, problems = _read_updates(request.endpoints, MAX_BATCH)
        written = await self._endpoints.update(project_of(request.parent, field="parent"), updates, problems)
        return endpoints_pb2.UpdateEndpointsResponse(created_count=written.created, updated_count=written.updated)

    async def StreamEndpoints(
        self, request_iterator: AsyncIterator[endpoints_pb2.StreamEndpointsRequest], context: Context
    ) -> endpoints_pb2.StreamEndpointsResponse:
        """Create or update endpoints, up to 1,000 a message."""
        created = updated = batches = 0
        parent = ""
        async for request in request_iterator:
            parent = request.parent or parent
            updates, problems = _read_updates(request.endpoints, MAX_STREAM_BATCH)
            project = project_of(parent, field="parent")
            written = await self._endpoints.update(project, updates, problems, most=MAX_STREAM_BATCH)
            created, updated, batches = created + written.created, updated + written.updated, batches + 1
        return endpoints_pb2.StreamEndpointsResponse(created_count=created, updated_count=updated, batch_count=batches)

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

    async def MarkEndpoints(
        self, request: endpoints_pb2.MarkEndpointsRequest, context: Context
    ) -> endpoints_pb2.MarkEndpointsResponse:
        """Note what was learnt of endpoints."""
        project = project_of(request.parent, field="parent")
        changed = await self._marks.apply(project, _read_marks(request.marks))
        return endpoints_pb2.MarkEndpointsResponse(changed_count=changed)

    async def GetUserEndpoints(
        self, request: endpoints_pb2.GetUserEndpointsRequest, context: Context
    ) -> endpoints_pb2.UserEndpoints:
        """Return the endpoints of a user."""
        project, user_id = user_of(request.name)
        found = await self._endpoints.of_user(project, user_id)
        return endpoints_pb2.UserEndpoints(endpoints=[write_endpoint(project, endpoint) for endpoint in found])

    async def DeleteUserEndpoints(
        self, request: endpoints_pb2.DeleteUserEndpointsRequest, context: Context
    ) -> endpoints_pb2.UserEndpoints:
        """Delete a user with all endpoints."""
        project, user_id = user_of(request.name)
        gone = await self._endpoints.delete_user(project, user_id)
        return endpoints_pb2.UserEndpoints(endpoints=[write_endpoint(project, endpoint) for endpoint in gone])

    async def RemoveAttributes(
        self, request: endpoints_pb2.RemoveAttributesRequest, context: Context
    ) -> endpoints_pb2.RemoveAttributesResponse:
        """Remove attributes and drop them from now on."""
        project, (kind, problems) = project_of(request.parent, field="parent"), _read_kind(request.kind)
        removed = await self._attributes.remove(project, kind, list(request.patterns), problems)
        return endpoints_pb2.RemoveAttributesResponse(removed_names=removed)

    async def AllowAttributes(
        self, request: endpoints_pb2.AllowAttributesRequest, context: Context
    ) -> endpoints_pb2.AttributeNames:
        """Capture attributes again."""
        project, (kind, problems) = project_of(request.parent, field="parent"), _read_kind(request.kind)
        vocabulary = await self._attributes.allow(project, kind, list(request.patterns), problems)
        return self._write_names(vocabulary)

    async def GetAttributeNames(
        self, request: endpoints_pb2.GetAttributeNamesRequest, context: Context
    ) -> endpoints_pb2.AttributeNames:
        """List the names in use and the patterns that are dropped."""
        return self._write_names(await self._attributes.names(project_of(request.parent, field="parent")))

    def _write_names(self, vocabulary: Vocabulary) -> endpoints_pb2.AttributeNames:
        names, denied = vocabulary.names, vocabulary.denied
        return endpoints_pb2.AttributeNames(
            attributes=sorted(names[Kind.ATTRIBUTES]),
            metrics=sorted(names[Kind.METRICS]),
            user_attributes=sorted(names[Kind.USER_ATTRIBUTES]),
            denied_attributes=denied[Kind.ATTRIBUTES],
            denied_metrics=denied[Kind.METRICS],
            denied_user_attributes=denied[Kind.USER_ATTRIBUTES],
            limit=self._attributes.limit,
        )


def _read_updates(messages: Sequence[endpoints_pb2.Endpoint], most: int) -> tuple[list[EndpointUpdate], list[Problem]]:
    updates: list[EndpointUpdate] = []
    problems: list[Problem] = []
    # What is above the limit is refused as a whole, and not worth reading.
    some: Iterable[endpoints_pb2.Endpoint] = messages[: most + 1]
    for index, message in enumerate(some):
        update, found = read_update(message)
        updates.append(update)
        problems += under(f"endpoints[{index}]", found)
    return updates, problems


def _read_kind(number: int) -> tuple[Kind | None, list[Problem]]:
    """Return which attributes are meant; the use case says that it is required."""
    if number in _KINDS or not number:
        return _KINDS.get(number), []
    return None, [Problem("kind", "UNKNOWN_VALUE", "is unknown")]


def _read_marks(messages: Iterable[endpoints_pb2.EndpointMark]) -> list[Mark]:
    """Read marks; those of kinds that this version does not know are passed over."""
    marks = []
    for message in messages:
        match message.kind:
            case endpoints_pb2.EndpointMark.KIND_OPTED_OUT:
                marks.append(Mark(message.endpoint_id, "OPTED_OUT"))
            case endpoints_pb2.EndpointMark.KIND_ADDRESS_GONE:
                marks.append(Mark(message.endpoint_id, "ADDRESS_GONE", message.address))
            case endpoints_pb2.EndpointMark.KIND_ADDRESS_REPLACED:
                marks.append(Mark(message.endpoint_id, "ADDRESS_REPLACED", message.address, message.new_address))
    return marks
