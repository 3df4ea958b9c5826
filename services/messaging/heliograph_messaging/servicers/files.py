"""gRPC face of files."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from heliograph.messaging.v1 import files_pb2, files_pb2_grpc
from heliograph_kit.instants import timestamp
from heliograph_kit.names import format_name, project_of
from heliograph_messaging.service.files import Files


class FileServicer(files_pb2_grpc.FileServiceServicer):
    """gRPC face of files."""

    def __init__(self, files: Files) -> None:
        """Take the use cases."""
        self._files = files

    async def UploadFile(
        self, request_iterator: AsyncIterator[files_pb2.UploadFileRequest], context: Any
    ) -> files_pb2.File:
        """Store a file that comes in pieces."""
        first = await anext(aiter(request_iterator), files_pb2.UploadFileRequest())
        project = project_of(first.parent, field="parent")

        async def pieces() -> AsyncIterator[bytes]:
            yield first.data
            async for request in request_iterator:
                yield request.data

        file = await self._files.upload(project, pieces())
        return files_pb2.File(
            name=format_name(project, "files", file.id), size_bytes=file.size, expire_time=timestamp(file.expire_time)
        )
