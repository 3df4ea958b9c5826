"""A gRPC server with no more than the transport: pages of members in columns, and a unary call that does nothing.

`python -m benchmarks.bare.members <members>`; prints its address and serves until it is ended.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import uvloop

from heliograph.segments.v1 import audience_pb2

PAGE = 1000
_SERVICE = "heliograph.segments.v1.AudienceService"


class Members:
    """Builds every page anew from lists that are there."""

    def __init__(self, members: int) -> None:
        """Take how many members a stream has."""
        self._members = members
        self._numbers = list(range(PAGE))
        self._texts = [f"endpoint-{number:08d}" for number in self._numbers]
        self._flags = [False] * PAGE

    async def stream(
        self, request: audience_pb2.StreamMembersRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[audience_pb2.MemberPage]:
        """Stream the same columns as the product does."""
        for _ in range(self._members // PAGE):
            yield audience_pb2.MemberPage(
                ordinals=self._numbers,
                endpoint_ids=self._texts,
                user_ids=self._texts,
                channels=self._texts,
                addresses=self._texts,
                opted_out=self._flags,
                inactive=self._flags,
                cohorts=self._numbers,
                time_zones=self._texts,
                columns=[audience_pb2.MemberColumn(path=path, values=self._texts) for path in request.fields],
            )

    async def answer(
        self, request: audience_pb2.GetSnapshotRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> audience_pb2.Snapshot:
        """Answer at once."""
        return audience_pb2.Snapshot(name=request.name)


async def _serve(members: int) -> None:
    server = grpc.aio.server()
    bare = Members(members)
    methods: dict[str, Any] = {
        "StreamMembers": grpc.unary_stream_rpc_method_handler(
            bare.stream,
            audience_pb2.StreamMembersRequest.FromString,
            audience_pb2.MemberPage.SerializeToString,
        ),
        "GetSnapshot": grpc.unary_unary_rpc_method_handler(
            bare.answer,
            audience_pb2.GetSnapshotRequest.FromString,
            audience_pb2.Snapshot.SerializeToString,
        ),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(_SERVICE, methods)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
