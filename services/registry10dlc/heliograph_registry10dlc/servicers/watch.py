"""gRPC face of watching: parse, call, translate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

from heliograph.registry10dlc.v1 import watch_pb2, watch_pb2_grpc
from heliograph_kit.errors import Violations
from heliograph_kit.names import parse_pattern, project_of
from heliograph_registry10dlc.notice_settings import NoticeSettings, NoticeState
from heliograph_registry10dlc.resources import parse_resource
from heliograph_registry10dlc.servicers.writing import move_to_proto
from heliograph_registry10dlc.watching import FROM_NOW_ON, Watching

_NOTICE_SETTINGS = "projects/{project}/noticeSettings"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class WatchServicer(watch_pb2_grpc.WatchServiceServicer):
    """Answers `heliograph.registry10dlc.v1.WatchService`."""

    def __init__(self, watching: Watching, notices: NoticeSettings) -> None:
        """Take the use cases."""
        self._watching = watching
        self._notices = notices

    async def WatchMoves(
        self, request: watch_pb2.WatchMovesRequest, context: Context
    ) -> AsyncIterator[watch_pb2.WatchMovesResponse]:
        """Stream moves until the caller or the service ends it."""
        project = project_of(request.parent, field="parent")
        violations = Violations()
        if request.after_move_id < FROM_NOW_ON:
            violations.add(
                "after_move_id", "must be a move_id, 0 for all or -1 for what comes from now on", "OUT_OF_RANGE"
            )
        violations.check()
        registration_id = ""
        if request.resource:
            kind, registration_id = parse_resource(request.resource, project=project)
            await self._watching.require(project, kind, registration_id)
        async with aclosing(self._watching.moves(project, registration_id, request.after_move_id)) as moves:
            async for entry in moves:
                yield watch_pb2.WatchMovesResponse(move=move_to_proto(entry))

    async def GetNoticeSettings(
        self, request: watch_pb2.GetNoticeSettingsRequest, context: Context
    ) -> watch_pb2.NoticeSettings:
        """Return where notices go."""
        project = parse_pattern(request.name, _NOTICE_SETTINGS)["project"]
        return _write_settings(project, await self._notices.get(project))

    async def UpdateNoticeSettings(
        self, request: watch_pb2.UpdateNoticeSettingsRequest, context: Context
    ) -> watch_pb2.NoticeSettings:
        """Change where notices go."""
        given = request.notice_settings
        project = parse_pattern(given.name, _NOTICE_SETTINGS, field="notice_settings.name")["project"]
        return _write_settings(project, await self._notices.update(project, given.url, given.secret))


def _write_settings(project: str, state: NoticeState) -> watch_pb2.NoticeSettings:
    return watch_pb2.NoticeSettings(
        name=_NOTICE_SETTINGS.format(project=project),
        url=state.url,
        has_secret=state.has_secret,
        waiting_count=state.waiting_count,
        last_error=state.last_error,
    )
