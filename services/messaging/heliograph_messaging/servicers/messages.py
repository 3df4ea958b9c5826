"""gRPC face of messages: direct sends, and what became of messages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from heliograph.messaging.v1 import messages_pb2, messages_pb2_grpc
from heliograph_kit.errors import Violations
from heliograph_kit.names import parse_name, project_of
from heliograph_kit.paging import PageTokenInvalid, next_token, page_of
from heliograph_messaging.service.direct import DirectSends
from heliograph_messaging.service.messages import Messages
from heliograph_messaging.servicers.direct_reading import read_send, read_users_send
from heliograph_messaging.servicers.message_writing import message_proto, run_status, status_name, story_proto
from heliograph_messaging.servicers.waiting import Patience, wait_seconds
from heliograph_messaging.store.messages import LedgerMessage

Request = TypeVar("Request")


class MessageServicer(messages_pb2_grpc.MessageServiceServicer):
    """Parses, calls, translates."""

    def __init__(self, messages: Messages, direct: DirectSends, patience: Patience) -> None:
        """Take the use cases, and what waits for providers."""
        self._messages = messages
        self._direct = direct
        self._patience = patience

    async def SendMessages(
        self, request: messages_pb2.SendMessagesRequest, context: Any
    ) -> messages_pb2.SendMessagesResponse:
        """Take a direct send, and wait for its results when that is asked for."""
        seconds, direct = wait_seconds(request), read_send(request)
        answer = await self._direct.send(direct)
        assert isinstance(answer, messages_pb2.SendMessagesResponse)
        await self._patience.fill(direct.project, answer.messages, seconds)
        return answer

    async def SendUsersMessages(
        self, request: messages_pb2.SendUsersMessagesRequest, context: Any
    ) -> messages_pb2.SendUsersMessagesResponse:
        """Take a direct send to users, and wait for its results when that is asked for."""
        seconds, direct = wait_seconds(request), read_users_send(request)
        answer = await self._direct.send(direct)
        assert isinstance(answer, messages_pb2.SendUsersMessagesResponse)
        taken = [message for user in answer.users for message in user.messages]
        await self._patience.fill(direct.project, taken, seconds)
        return answer

    async def GetMessage(self, request: messages_pb2.GetMessageRequest, context: Any) -> messages_pb2.Message:
        """Return one message with its story."""
        name = parse_name(request.name, "messages")
        return story_proto(await self._messages.get(name.project, name.id))

    async def ListMessages(
        self, request: messages_pb2.ListMessagesRequest, context: Any
    ) -> messages_pb2.ListMessagesResponse:
        """Return a page of messages."""
        project = project_of(request.parent, field="parent")
        _check_narrowed(request)
        status = status_name(request.status)
        call = f"ListMessages {project} {request.run_id} {request.endpoint_id} {request.address} {status}"
        page = page_of(call, request.page_size, request.page_token)
        found = await self._page(request, project, status, page.after, page.size + 1)
        token = ""
        if len(found) > page.size:
            last = found[page.size - 1]
            by_id = [last.message_id]
            token = next_token(call, by_id if request.run_id else [last.create_time.isoformat(), *by_id])
        return messages_pb2.ListMessagesResponse(
            messages=[message_proto(message) for message in found[: page.size]], next_page_token=token
        )

    async def GetRunStatus(self, request: messages_pb2.GetRunStatusRequest, context: Any) -> messages_pb2.RunStatus:
        """Return the counts of a run."""
        project = project_of(request.parent, field="parent")
        found = Violations()
        if not request.run_id:
            found.add("run_id", "is required", "INVALID_ARGUMENT")
        found.check()
        counts = await self._messages.counts(
            project, request.run_id, treatment_id=request.treatment_id, activity_id=request.activity_id
        )
        return run_status(request.run_id, counts)

    async def _page(
        self,
        request: messages_pb2.ListMessagesRequest,
        project: str,
        status: str,
        after: tuple[str, ...] | None,
        size: int,
    ) -> Sequence[LedgerMessage]:
        if request.run_id:
            last = after[0] if after else None
            return await self._messages.of_run(project, request.run_id, status=status, after=last, size=size)
        try:
            before = (datetime.fromisoformat(after[0]).astimezone(UTC), after[1]) if after else None
        except (ValueError, IndexError) as error:
            raise PageTokenInvalid from error
        return await self._messages.to_one(
            project, endpoint_id=request.endpoint_id, address=request.address, status=status, before=before, size=size
        )


def _check_narrowed(request: messages_pb2.ListMessagesRequest) -> None:
    found = Violations()
    given = [name for name in ("run_id", "endpoint_id", "address") if getattr(request, name)]
    if len(given) != 1:
        found.add(given[1] if given else "run_id", "give one of run_id, endpoint_id and address", "INVALID_ARGUMENT")
    found.check()
