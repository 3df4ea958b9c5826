"""The story of a message that was sent directly, and lists of them."""

from __future__ import annotations

import secrets
from typing import Any

import grpc
import pytest

from heliograph.messaging.v1 import dispatch_pb2, messages_pb2
from heliograph_channels import Accepted, Rejected, RejectReason
from heliograph_kit.rpc import reason_of, violations_of
from tests.messaging.conftest import PARENT, Service, Started, a_batch
from tests.messaging.direct_calls import BAD, Content, S, serving, to, told, wait
from tests.messaging.segments import AnEndpoint

pytestmark = pytest.mark.integration


async def test_the_story_of_a_message_tells_every_attempt_and_the_terms_it_was_sent_on(service: Service) -> None:
    await service.set_up("EMAIL")
    await service.add_route("EMAIL", "spare")
    tries: list[str] = []

    def answer(message: Any) -> Any:
        tries.append(message.message_id)
        return Accepted("p") if len(tries) > 2 else Rejected(RejectReason.UNAVAILABLE, True, "out of order")

    service.scripted.answer = service.second.answer = answer
    batch = a_batch(["ann@x.com"])
    batch.snapshot = f"{PARENT}/snapshots/s1"
    batch.policy.caps.add(scope=dispatch_pb2.CAP_SCOPE_SOURCE, limit=3)
    batch.recipients.ordinals.append(1)
    batch.policy.quiet_time.start, batch.policy.quiet_time.end = "00:00", "00:00"
    batch.recipients.time_zones.append("")
    await service.dispatch(batch)
    await service.done(1)
    name = (await service.rows())[0].name
    message = await service.messages.GetMessage(messages_pb2.GetMessageRequest(name=name))
    assert message.status == S.MESSAGE_STATUS_ACCEPTED
    assert (message.snapshot, message.policy, message.batch_id) == (batch.snapshot, batch.policy, batch.batch_id)
    assert [attempt.state for attempt in message.attempts] == [messages_pb2.Attempt.STATE_ANSWERED] * 3
    assert {(attempt.provider, attempt.route) for attempt in message.attempts} == {
        ("scripted", ""),
        ("second", "spare"),
    }
    times = [(one.start_time.ToDatetime(), one.end_time.ToDatetime()) for one in message.attempts]
    assert times == sorted(times)
    assert all(start <= end for start, end in times)
    assert [(one.type, one.message_id) for one in message.events] == [(1, name.rpartition("/")[2])]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.messages.GetMessage(messages_pb2.GetMessageRequest(name=f"projects/other/messages/{'a' * 32}"))
    assert reason_of(caught.value) == "MESSAGE_NOT_FOUND"


async def test_the_longest_addresses_are_sent_to_and_listed_apart(service: Service) -> None:
    await service.set_up("CUSTOM")
    # Random, since compression would hide that an index takes no more than 2,704 bytes; the longest differ at their end only.
    long = secrets.token_urlsafe(3072)[:4095]
    addresses = [f"{long}a", f"{long}b", "\U0001f600" * 600 + long[:3496]]
    content = Content(custom_data="{}")
    answer = await service.messages.SendMessages(
        to(*addresses, channel="CUSTOM", content=content, wait_for_result=wait())
    )
    assert told(answer.messages) == [("SUCCESSFUL", 200, "")] * 3
    for address in addresses:
        listed = await service.messages.ListMessages(messages_pb2.ListMessagesRequest(parent=PARENT, address=address))
        assert [one.address for one in listed.messages] == [address]
    too_long = await service.messages.SendMessages(to(f"{long}ab", channel="CUSTOM", content=content))
    assert told(too_long.messages) == [("PERMANENT_FAILURE", 400, "ADDRESS_INVALID")]


async def test_messages_are_listed_by_endpoint_and_by_address_the_latest_first(start: Started) -> None:
    async with serving(e000000=AnEndpoint(address="e0@x.com")) as (address, _):
        service = await start(peer_segments=address)
        await service.set_up("EMAIL")
        for run in ("run1", "run2"):
            await service.dispatch(a_batch(["e0@x.com", "e1@x.com"], run_id=run))
            await service.done(2, run)
        again = a_batch(["e0@x.com"], run_id="run2", page=7, endpoint_ids=["e000000"])
        again.occurrence = 1
        await service.dispatch(again)
        await service.done(3, "run2")
        by_endpoint = messages_pb2.Recipient(endpoint_id="e000000", substitutions={"Code": "1"})
        await service.messages.SendMessages(to(recipients=[by_endpoint], wait_for_result=wait()))
        for _ in range(2):
            await service.messages.SendMessages(to("e0@x.com", wait_for_result=wait()))

        async def listed(**narrowed: Any) -> list[messages_pb2.Message]:
            found: list[messages_pb2.Message] = []
            token = ""
            while token or not found:
                page = await service.messages.ListMessages(
                    messages_pb2.ListMessagesRequest(parent=PARENT, page_size=2, page_token=token, **narrowed)
                )
                found += page.messages
                token = page.next_page_token
                if not token:
                    break
            return found

        of_endpoint = await listed(endpoint_id="e000000")
        assert [one.source.run_id for one in of_endpoint][1:] == ["run2", "run2", "run1"]
        assert {one.endpoint_id for one in of_endpoint} == {"e000000"}
        assert of_endpoint[0].message_class == dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL
        times = [one.create_time.ToDatetime() for one in of_endpoint]
        assert times == sorted(times, reverse=True)
        of_address = await listed(address="e0@x.com")
        assert [(one.endpoint_id, one.address) for one in of_address] == [("", "e0@x.com")] * 2
        assert not await listed(endpoint_id="e0@x.com")
        assert not await listed(endpoint_id="e000000", status=S.MESSAGE_STATUS_FAILED)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await listed(endpoint_id="e000000", run_id="run1")
        assert (caught.value.code(), {field for field, _ in violations_of(caught.value)}) == (BAD, {"endpoint_id"})
