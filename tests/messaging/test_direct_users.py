"""Direct sends to users and endpoints: the channel of each, and values by their order."""

from __future__ import annotations

import grpc
import pytest

from heliograph.messaging.v1 import messages_pb2
from tests.messaging.conftest import Service, Started
from tests.messaging.direct_calls import (
    USERS,
    Content,
    D,
    Overrides,
    S,
    dispatched,
    refused,
    serving,
    texts,
    to,
    told,
    users,
    wait,
)
from tests.messaging.segments import AnEndpoint

pytestmark = pytest.mark.integration


async def test_users_are_written_to_on_all_their_endpoints_with_the_content_of_each_channel(start: Started) -> None:
    async with serving(**USERS) as (address, segments):
        service = await start(peer_segments=address)
        await service.set_up("EMAIL")
        await service.set_up("CUSTOM")
        ann = messages_pb2.UserRecipient(user_id="ann", substitutions={"Greeting": "hey"})
        request = users(
            users=[ann, messages_pb2.UserRecipient(user_id="nobody"), messages_pb2.UserRecipient(user_id="bob")],
            wait_for_result=wait(),
            request_id="u1",
            substitutions={"Greeting": "hi"},
        )
        answer = await service.messages.SendUsersMessages(request)
        assert [(one.user_id, [message.endpoint_id for message in one.messages]) for one in answer.users] == [
            ("ann", ["a1"]), ("nobody", []), ("bob", ["b1", "b2"]),
        ]  # fmt: skip
        # Bob has no plan, and no default: his is the second endpoint with Ann's address, too.
        assert [told(one.messages) for one in answer.users] == [
            [("SUCCESSFUL", 200, "")],
            [],
            [("PERMANENT_FAILURE", 400, "FAILURE_PERMANENT"), ("DUPLICATE", 200, "DUPLICATE_ADDRESS")],
        ]
        assert texts(service) == ["hey gold"]
        assert segments.asked == [(3, ["Attributes.plan"])]
        rows = {row.endpoint_id: row for row in await service.rows(answer.run_id)}
        assert (rows["a1"].user_id, rows["b1"].status) == ("ann", S.MESSAGE_STATUS_FAILED)
        again = await service.messages.SendUsersMessages(request)
        assert again == answer
        assert len(service.scripted.sent) == 1


async def test_users_get_one_batch_a_channel_and_overrides_of_their_own(start: Started) -> None:
    async with serving(**USERS) as (address, _):
        service = await start(peer_segments=address)
        await service.set_up("EMAIL")
        await service.set_up("SMS")
        contents = {"EMAIL": Content(email_text="mail"), "SMS": Content(sms_body="text")}
        answer = await service.messages.SendUsersMessages(users("ann", "bob", contents=contents, request_id="r"))
        assert [[one.channel for one in user.messages] for user in answer.users] == [
            ["EMAIL", "SMS"],
            ["EMAIL", "EMAIL"],
        ]
        assert await dispatched(service) == 2
        # The ids of requests of the two calls are apart.
        other = await service.messages.SendMessages(to("z@x.com", request_id="r"))
        assert other.run_id != answer.run_id
        own = messages_pb2.UserRecipient(user_id="ann", overrides=Overrides(body="yours"))
        answer = await service.messages.SendUsersMessages(users(users=[own], wait_for_result=wait()))
        assert answer.users[0].messages[0].status == D.DELIVERY_STATUS_SUCCESSFUL
        assert "yours" in texts(service) or any(
            getattr(message.content, "text", "") == "yours" for message in service.scripted.sent
        )


async def test_bad_sends_to_users_are_refused_whole(service: Service) -> None:
    await service.set_up("EMAIL")
    assert (await refused(service, users("a", "a", "")))[2] == {"users[1]", "users[2].user_id"}
    assert (await refused(service, users(*[f"u{index}" for index in range(101)])))[2] == {"users"}
    assert (await refused(service, users("a", contents={})))[2] == {"contents"}
    bad = {"IN_APP": Content(), "EMAIL": Content(email_text="{{", template_version=-1)}
    assert (await refused(service, users("a", contents=bad)))[2] == {
        "contents[IN_APP]",
        "contents[EMAIL].template_version",
    }
    # Nobody knows the users now.
    code, reason, _ = await refused(service, users("a"))
    assert (code, reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")


async def test_substitutions_go_before_the_fields_of_an_endpoint(start: Started) -> None:
    eve = AnEndpoint(address="e1@x.com", user_id="u1", fields={"User.UserAttributes.first": ["Eve"]})
    async with serving(e1=eve) as (address, segments):
        service = await start(peer_segments=address)
        await service.set_up("EMAIL")
        content = Content(email_subject="x", email_text="{{User.UserAttributes.first}} {{Greeting}} {{User.UserId}}")
        recipient = messages_pb2.Recipient
        recipients = [
            recipient(endpoint_id="e1", substitutions={"Greeting": "hey"}),
            recipient(endpoint_id="e2"),
            recipient(address="b@x.com", substitutions={"User.UserAttributes.first": "Bo", "User.UserId": "7"}),
        ]
        answer = await service.messages.SendMessages(
            to(content=content, substitutions={"Greeting": "hello"}, recipients=recipients)
        )
        assert [taken.reason for taken in answer.messages] == ["", "ENDPOINT_NOT_FOUND", ""]
        await service.done(2, answer.run_id)
        assert segments.asked == [(2, ["User.UserAttributes.first"])]
        assert texts(service) == ["Bo hello 7", "Eve hey u1"]
