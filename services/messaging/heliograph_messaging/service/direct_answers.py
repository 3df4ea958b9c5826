"""Answers of direct sends, and the results of providers put into them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from heliograph.messaging.v1 import messages_pb2
from heliograph_kit.names import format_name
from heliograph_messaging.domain.results import QUEUED, Result
from heliograph_messaging.service.direct_batches import Judged
from heliograph_messaging.service.direct_requests import Direct

Answer: TypeAlias = messages_pb2.SendMessagesResponse | messages_pb2.SendUsersMessagesResponse


def answer_of(direct: Direct, wanted: Sequence[Judged], run_id: str) -> Answer:
    """Return the answer, with everything that was taken as QUEUED."""
    if not direct.to_users:
        return messages_pb2.SendMessagesResponse(
            run_id=run_id, messages=[taken_message(direct.project, one) for one in wanted]
        )
    of_user: dict[str, list[messages_pb2.TakenMessage]] = {person.user_id: [] for person in direct.people}
    for one in wanted:
        of_user[one.person.user_id].append(taken_message(direct.project, one))
    results = [messages_pb2.UserResult(user_id=user, messages=messages) for user, messages in of_user.items()]
    return messages_pb2.SendUsersMessagesResponse(run_id=run_id, users=results)


def read_answer(direct: Direct, kept: bytes) -> Answer:
    """Return an answer that was kept."""
    kind = messages_pb2.SendUsersMessagesResponse if direct.to_users else messages_pb2.SendMessagesResponse
    return kind.FromString(kept)


def taken_message(project: str, one: Judged) -> messages_pb2.TakenMessage:
    """Return the result of one recipient before any provider was asked."""
    told = messages_pb2.TakenMessage(
        message=format_name(project, "messages", one.message_id) if one.message_id else "",
        address=one.person.address,
        endpoint_id=one.endpoint_id,
        channel=one.channel,
        to_address=one.address,
    )
    tell(told, one.refused or QUEUED)
    return told


def taken_of(answer: Answer) -> list[messages_pb2.TakenMessage]:
    """Return the results of an answer, whoever they are grouped by."""
    if isinstance(answer, messages_pb2.SendMessagesResponse):
        return list(answer.messages)
    return [message for user in answer.users for message in user.messages]


def message_id(told: messages_pb2.TakenMessage) -> str:
    """Return the id of a message that was taken, empty of one that was not."""
    return told.message.rpartition("/")[2]


def fill(messages: Iterable[messages_pb2.TakenMessage], results: Mapping[str, Result]) -> None:
    """Put what the providers answered into the results of messages that were taken."""
    for told in messages:
        result = results.get(message_id(told))
        if result is not None:
            tell(told, result)


def tell(told: messages_pb2.TakenMessage, result: Result) -> None:
    """Write one result."""
    told.status = messages_pb2.DeliveryStatus.Value(f"DELIVERY_STATUS_{result.delivery}")
    told.status_code, told.reason, told.status_message = result.code, result.reason, result.words
