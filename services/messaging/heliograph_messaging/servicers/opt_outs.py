"""gRPC face of opt-out lists."""

from __future__ import annotations

from typing import Any

from heliograph.messaging.v1 import opt_outs_pb2, opt_outs_pb2_grpc
from heliograph_kit.instants import timestamp
from heliograph_kit.names import format_name, parse_name, parse_pattern, project_of
from heliograph_kit.paging import next_token, page_of
from heliograph_kit.rpc import fingerprint
from heliograph_messaging.service.opt_outs import OptOuts
from heliograph_messaging.servicers.callers import caller
from heliograph_messaging.store.opt_outs import OptedOut, OptOutList

_PATTERN = "projects/{project}/optOutLists/{list}/optedOutNumbers/{number}"


class OptOutServicer(opt_outs_pb2_grpc.OptOutServiceServicer):
    """gRPC face of opt-out lists."""

    def __init__(self, opt_outs: OptOuts) -> None:
        """Take the use cases."""
        self._opt_outs = opt_outs

    async def CreateOptOutList(
        self, request: opt_outs_pb2.CreateOptOutListRequest, context: Any
    ) -> opt_outs_pb2.OptOutList:
        """Make a list."""
        project = project_of(request.parent, field="parent")
        made = await self._opt_outs.create(
            project, request.opt_out_list_id, request_id=request.request_id, fingerprint=fingerprint(request)
        )
        return _list(project, made)

    async def ListOptOutLists(
        self, request: opt_outs_pb2.ListOptOutListsRequest, context: Any
    ) -> opt_outs_pb2.ListOptOutListsResponse:
        """Return all lists."""
        project = project_of(request.parent, field="parent")
        found = await self._opt_outs.lists(project)
        return opt_outs_pb2.ListOptOutListsResponse(opt_out_lists=[_list(project, one) for one in found])

    async def DeleteOptOutList(
        self, request: opt_outs_pb2.DeleteOptOutListRequest, context: Any
    ) -> opt_outs_pb2.OptOutList:
        """Delete a list."""
        name = parse_name(request.name, "optOutLists")
        return _list(name.project, await self._opt_outs.delete(name.project, name.id))

    async def AddOptedOutNumbers(
        self, request: opt_outs_pb2.AddOptedOutNumbersRequest, context: Any
    ) -> opt_outs_pb2.AddOptedOutNumbersResponse:
        """Put numbers on a list."""
        name = parse_name(request.parent, "optOutLists", field="parent")
        added = await self._opt_outs.add(name.project, name.id, request.numbers, by=caller())
        return opt_outs_pb2.AddOptedOutNumbersResponse(added_count=added)

    async def GetOptedOutNumber(
        self, request: opt_outs_pb2.GetOptedOutNumberRequest, context: Any
    ) -> opt_outs_pb2.OptedOutNumber:
        """Return a number on a list."""
        parts = parse_pattern(request.name, _PATTERN)
        found = await self._opt_outs.get(parts["project"], parts["list"], parts["number"])
        return _number(parts["project"], parts["list"], found)

    async def ListOptedOutNumbers(
        self, request: opt_outs_pb2.ListOptedOutNumbersRequest, context: Any
    ) -> opt_outs_pb2.ListOptedOutNumbersResponse:
        """Return a page of a list."""
        name = parse_name(request.parent, "optOutLists", field="parent")
        call = f"ListOptedOutNumbers {name}"
        page = page_of(call, request.page_size, request.page_token)
        after = page.after[0] if page.after else None
        found = await self._opt_outs.page(name.project, name.id, after=after, size=page.size + 1)
        token = next_token(call, [found[page.size - 1].number]) if len(found) > page.size else ""
        return opt_outs_pb2.ListOptedOutNumbersResponse(
            opted_out_numbers=[_number(name.project, name.id, one) for one in found[: page.size]], next_page_token=token
        )

    async def RemoveOptedOutNumber(
        self, request: opt_outs_pb2.RemoveOptedOutNumberRequest, context: Any
    ) -> opt_outs_pb2.OptedOutNumber:
        """Take a number off a list."""
        parts = parse_pattern(request.name, _PATTERN)
        removed = await self._opt_outs.remove(parts["project"], parts["list"], parts["number"])
        return _number(parts["project"], parts["list"], removed)


def _list(project: str, one: OptOutList) -> opt_outs_pb2.OptOutList:
    return opt_outs_pb2.OptOutList(
        name=format_name(project, "optOutLists", one.id), create_time=timestamp(one.create_time)
    )


def _number(project: str, list_id: str, one: OptedOut) -> opt_outs_pb2.OptedOutNumber:
    return opt_outs_pb2.OptedOutNumber(
        name=f"{format_name(project, 'optOutLists', list_id)}/optedOutNumbers/{one.number}",
        number=one.number,
        end_user_opted_out=one.end_user,
        opt_out_time=timestamp(one.opt_out_time),
        added_by=one.added_by,
    )
