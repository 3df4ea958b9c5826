"""Direct sends that name what they leave from: numbers, short codes and pools."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from heliograph.messaging.v1 import messages_pb2, origination_pb2
from tests.messaging.conftest import PARENT, Service
from tests.messaging.direct_calls import BAD, Content, dispatched, refused, to, told, wait
from tests.messaging.numbers import CODE as SHORT
from tests.messaging.numbers import TEN, announce, make_pool

pytestmark = pytest.mark.integration


async def test_a_direct_send_names_short_codes_and_pools_that_are_there(service: Service) -> None:
    await service.set_up("SMS")
    await announce(service, SHORT, TEN)
    pool = await make_pool(service, "main", TEN)

    def sms(*addresses: str, **content: Any) -> messages_pb2.SendMessagesRequest:
        people = [messages_pb2.Recipient(address=address) for address in addresses or ("+12065550123",)]
        said = Content(sms_body="hi", **content)
        return messages_pb2.SendMessagesRequest(
            parent=PARENT, channel="SMS", content=said, recipients=people, wait_for_result=wait()
        )

    for content, origination in (
        ({"origination_number": SHORT}, SHORT),
        ({"origination_pool": pool.name}, TEN),
        ({"origination_pool": pool.name, "origination_number": SHORT}, SHORT),
    ):
        answer = await service.messages.SendMessages(sms(**content))
        assert told(answer.messages) == [("SUCCESSFUL", 200, "")]
        assert service.scripted.sent[-1].origination == origination
    before = await dispatched(service)
    # The longest and the shortest are well-formed, and not ours: that is the recipient's result.
    for number in ("123", "12345678"):
        answer = await service.messages.SendMessages(sms(origination_number=number))
        assert told(answer.messages)[0][0] == "PERMANENT_FAILURE", number
    for content, reason in (
        ({"origination_number": "12"}, "INVALID_ARGUMENT"),
        ({"origination_number": "123456789"}, "INVALID_ARGUMENT"),
        ({"origination_pool": "main"}, "INVALID_ARGUMENT"),
        ({"origination_pool": "projects/other/pools/main"}, "INVALID_ARGUMENT"),
        ({"origination_pool": f"{PARENT}/pools/a b"}, "INVALID_ARGUMENT"),
    ):
        assert await refused(service, sms(**content)) == (BAD, reason, {f"content.{next(iter(content))}"}), content
    gone = await refused(service, sms(origination_pool=f"{PARENT}/pools/gone"))
    assert gone[:2] == (grpc.StatusCode.NOT_FOUND, "POOL_NOT_FOUND")
    await service.numbers.DeletePool(origination_pb2.DeletePoolRequest(name=pool.name))
    assert (await refused(service, sms(origination_pool=pool.name)))[1] == "POOL_NOT_FOUND"
    assert await dispatched(service) == before + 2


async def test_pools_of_other_channels_are_left_alone(service: Service) -> None:
    await service.set_up("EMAIL")
    content = Content(email_subject="Code", email_text="1", origination_pool="main")
    answer = await service.messages.SendMessages(to("ann@x.com", content=content, wait_for_result=wait()))
    assert told(answer.messages) == [("SUCCESSFUL", 200, "")]
