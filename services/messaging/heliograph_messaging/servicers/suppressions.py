"""gRPC face of the suppression list."""

from __future__ import annotations

from typing import Any

from heliograph.messaging.v1 import suppressions_pb2, suppressions_pb2_grpc
from heliograph_kit.instants import timestamp
from heliograph_kit.names import format_name, parse_name
from heliograph_kit.paging import next_token, page_of
from heliograph_messaging.service.suppressions import Suppressions
from heliograph_messaging.servicers.callers import caller
from heliograph_messaging.store.suppressions import Suppression


class SuppressionServicer(suppressions_pb2_grpc.SuppressionServiceServicer):
    """gRPC face of the suppression list."""

    def __init__(self, suppressions: Suppressions) -> None:
        """Take the use cases."""
        self._suppressions = suppressions

    async def AddSuppressions(
        self, request: suppressions_pb2.AddSuppressionsRequest, context: Any
    ) -> suppressions_pb2.AddSuppressionsResponse:
        """Put addresses on the list."""
        name = parse_name(request.parent, "channels", field="parent")
        added = await self._suppressions.add(name.project, name.id, request.addresses, request.detail, by=caller())
        return suppressions_pb2.AddSuppressionsResponse(added_count=added)

    async def RemoveSuppressions(
        self, request: suppressions_pb2.RemoveSuppressionsRequest, context: Any
    ) -> suppressions_pb2.RemoveSuppressionsResponse:
        """Take addresses off the list."""
        name = parse_name(request.parent, "channels", field="parent")
        removed = await self._suppressions.remove(name.project, name.id, request.addresses)
        return suppressions_pb2.RemoveSuppressionsResponse(removed_count=removed)

    async def FindSuppressions(
        self, request: suppressions_pb2.FindSuppressionsRequest, context: Any
    ) -> suppressions_pb2.FindSuppressionsResponse:
        """Return those that are on the list."""
        name = parse_name(request.parent, "channels", field="parent")
        found = await self._suppressions.find(name.project, name.id, request.addresses)
        return suppressions_pb2.FindSuppressionsResponse(suppressions=[_proto(name.project, one) for one in found])

    async def ListSuppressions(
        self, request: suppressions_pb2.ListSuppressionsRequest, context: Any
    ) -> suppressions_pb2.ListSuppressionsResponse:
        """Return a page of the list."""
        name = parse_name(request.parent, "channels", field="parent")
        call = f"ListSuppressions {name}"
        page = page_of(call, request.page_size, request.page_token)
        after = page.after[0] if page.after else None
        found = await self._suppressions.page(name.project, name.id, after=after, size=page.size + 1)
        token = next_token(call, [found[page.size - 1][0]]) if len(found) > page.size else ""
        return suppressions_pb2.ListSuppressionsResponse(
            suppressions=[_proto(name.project, one) for _, one in found[: page.size]], next_page_token=token
        )


def _proto(project: str, one: Suppression) -> suppressions_pb2.Suppression:
    return suppressions_pb2.Suppression(
        address=one.address,
        cause=suppressions_pb2.SuppressionCause.Value(f"SUPPRESSION_CAUSE_{one.cause}"),
        message=format_name(project, "messages", one.message_id) if one.message_id else "",
        detail=one.detail,
        added_by=one.added_by,
        create_time=timestamp(one.create_time),
    )
