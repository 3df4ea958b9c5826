"""The endpoints of the segments service, as messaging asks for them: a server that keeps that part of its contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from heliograph.segments.v1 import audience_pb2, audience_pb2_grpc
from heliograph_kit.keepalive import server_options


@dataclass(frozen=True)
class AnEndpoint:
    """An endpoint with the values of its fields."""

    channel: str = "EMAIL"
    address: str = "someone@x.com"
    user_id: str = ""
    fields: Mapping[str, Sequence[str]] = field(default_factory=dict)
    inactive: bool = False
    opted_out: bool = False


class Segments(audience_pb2_grpc.AudienceServiceServicer):
    """Knows the endpoints it is given, and what it was asked for."""

    def __init__(self) -> None:
        """Know nobody."""
        self.endpoints: dict[str, AnEndpoint] = {}
        self.asked: list[tuple[int, list[str]]] = []

    async def ReadEndpoints(self, request: audience_pb2.ReadEndpointsRequest, context: Any) -> audience_pb2.MemberPage:
        """Return those that exist, in the order asked."""
        self.asked.append((len(request.endpoint_ids), list(request.fields)))
        return self._page([id for id in request.endpoint_ids if id in self.endpoints], request.fields)

    async def ReadUserEndpoints(
        self, request: audience_pb2.ReadUserEndpointsRequest, context: Any
    ) -> audience_pb2.MemberPage:
        """Return the endpoints of the users, user by user."""
        self.asked.append((len(request.user_ids), list(request.fields)))
        ids = [id for user in request.user_ids for id, one in self.endpoints.items() if one.user_id == user]
        return self._page(ids, request.fields)

    def _page(self, known: Sequence[str], fields: Sequence[str]) -> audience_pb2.MemberPage:
        found = [self.endpoints[id] for id in known]
        page = audience_pb2.MemberPage(
            endpoint_ids=known,
            user_ids=[one.user_id for one in found],
            channels=[one.channel for one in found],
            addresses=[one.address for one in found],
            opted_out=[one.opted_out for one in found],
            inactive=[one.inactive for one in found],
        )
        for path in fields:
            cells = [one.fields.get(path, ()) for one in found]
            column = page.columns.add(path=path, counts=[len(cell) for cell in cells])
            column.values.extend(value for cell in cells for value in cell)
        return page


@asynccontextmanager
async def running(segments: Segments) -> AsyncIterator[str]:
    """Serve on a free port and yield the address."""
    # Services ping on connections that are still, which gRPC's defaults punish.
    server = grpc.aio.server(options=server_options(10))
    audience_pb2_grpc.add_AudienceServiceServicer_to_server(segments, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
