"""gRPC face of erasures."""

from __future__ import annotations

from functools import partial
from typing import Any

import grpc

from heliograph.segments.v1 import erasures_pb2, erasures_pb2_grpc
from heliograph_kit.instants import timestamp
from heliograph_kit.names import format_name, parse_name, project_of
from heliograph_kit.rpc import fingerprint
from heliograph_segments.domain.erasures import Erasure, ErasureState
from heliograph_segments.service.erasures import Erasures
from heliograph_segments.servicers.paging import newest_first
from heliograph_segments.servicers.segments import check_request_id
from heliograph_segments.store.requests import Request

Context = grpc.aio.ServicerContext[Any, Any]

_STATES = {state: erasures_pb2.Erasure.State.Value(f"STATE_{state}") for state in ErasureState}


class ErasureServicer(erasures_pb2_grpc.ErasureServiceServicer):
    """Parses, calls, translates."""

    def __init__(self, erasures: Erasures) -> None:
        """Take the use cases."""
        self._erasures = erasures

    async def EraseUser(self, request: erasures_pb2.EraseUserRequest, context: Context) -> erasures_pb2.Erasure:
        """Erase a user."""
        project = project_of(request.parent, field="parent")
        asked = Request("EraseUser", request.request_id, fingerprint(request))
        problems = check_request_id(request.request_id)
        return _write(await self._erasures.erase(project, request.user_id, asked, problems))

    async def GetErasure(self, request: erasures_pb2.GetErasureRequest, context: Context) -> erasures_pb2.Erasure:
        """Return an erasure."""
        name = parse_name(request.name, "erasures")
        return _write(await self._erasures.get(name.project, name.id))

    async def ListErasures(
        self, request: erasures_pb2.ListErasuresRequest, context: Context
    ) -> erasures_pb2.ListErasuresResponse:
        """List erasures."""
        project = project_of(request.parent, field="parent")
        shown, token = await newest_first(
            f"ListErasures {project}",
            request,
            partial(self._erasures.page, project),
            lambda erasure: erasure.erasure_id,
        )
        return erasures_pb2.ListErasuresResponse(erasures=map(_write, shown), next_page_token=token)


def _write(erasure: Erasure) -> erasures_pb2.Erasure:
    return erasures_pb2.Erasure(
        name=format_name(erasure.project, "erasures", erasure.erasure_id),
        user_id=erasure.user_id,
        state=_STATES[erasure.state],
        endpoint_count=erasure.endpoint_count,
        snapshot_count=erasure.snapshot_count,
        waiting_for=erasure.waiting_for,
        create_time=timestamp(erasure.created_at),
        complete_time=timestamp(erasure.completed_at),
    )
