"""gRPC face of papers that move: parse, call, translate."""

from __future__ import annotations

from typing import Any, TypeAlias

import grpc

from heliograph.registry10dlc.v1 import papers_pb2, papers_pb2_grpc
from heliograph_kit.names import project_of
from heliograph_registry10dlc.domain import Kind
from heliograph_registry10dlc.events import name_of
from heliograph_registry10dlc.transfer import Transfer

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class PapersServicer(papers_pb2_grpc.PapersServiceServicer):
    """Answers `heliograph.registry10dlc.v1.PapersService`."""

    def __init__(self, transfer: Transfer) -> None:
        """Take the use cases."""
        self._transfer = transfer

    async def ExportPapers(
        self, request: papers_pb2.ExportPapersRequest, context: Context
    ) -> papers_pb2.ExportPapersResponse:
        """Return the document of a project."""
        project = project_of(request.parent, field="parent")
        return papers_pb2.ExportPapersResponse(document=await self._transfer.export(project))

    async def ImportPapers(
        self, request: papers_pb2.ImportPapersRequest, context: Context
    ) -> papers_pb2.ImportPapersResponse:
        """Create drafts from a document."""
        project = project_of(request.parent, field="parent")
        imported = await self._transfer.take_in(project, request.document)
        return papers_pb2.ImportPapersResponse(
            brands=[name_of(project, Kind.BRAND, id) for id in imported.brands],
            use_cases=[name_of(project, Kind.USE_CASE, id) for id in imported.use_cases],
            left_out=imported.left_out,
        )
