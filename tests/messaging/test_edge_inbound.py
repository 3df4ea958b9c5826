"""What people send and plugins hand over, by webhook or because they listen."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from heliograph.messaging.v1 import channels_pb2
from heliograph_channels import InboundMessage, Receipt, ReceiptKind
from heliograph_kit.instants import timestamp
from heliograph_kit.testing import eventually
from tests.messaging.conftest import Service, Started, a_batch
from tests.messaging.edge_calls import NOW, T, a_call, a_message, add_route, count, says

pytestmark = pytest.mark.integration


# -- what people send


async def test_a_persons_message_is_told_once_with_everything_that_was_said(service: Service) -> None:
    await service.set_up("SMS")
    service.scripted.understand = says(
        inbound=(a_message(1, media_urls=("https://x.example/1",), attributes={"carrier": "c", "n\0": "\ud800"}),)
    )
    await service.edge.ReceiveWebhook(a_call())
    (told,) = await service.inbound(1)
    assert told == T.InboundMessage(
        inbound_id="in1",
        channel="SMS",
        origination="+14255550182",
        destination="+12125550101",
        body="JOIN us",
        time=timestamp(NOW),
        media_urls=["https://x.example/1"],
        attributes={"carrier": "c", "n\ufffd": "\ufffd"},
    )


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"body": "x" * 100_000}, {"body": "x" * 100_000}),
        ({"body": "x" * 100_001}, {"body": "x" * 100_000}),
        ({"media_urls": tuple("abcdefghijklmnopqrstuvwxyz")}, {"media_urls": list("abcdefghijklmnopqrst")}),
        ({"attributes": {f"{n:02}": "v" for n in range(51)}}, {"attributes": {f"{n:02}": "v" for n in range(50)}}),
    ],
    ids=["a long text", "a text that is too long", "too many pictures", "too many attributes"],
)
async def test_of_what_a_plugin_hands_over_as_much_is_kept_as_fits(
    service: Service, changes: dict[str, Any], kept: dict[str, Any]
) -> None:
    await service.set_up("SMS", listens=True)
    await eventually(lambda: service.scripted.context)
    await service.scripted.deliver(a_message(1, **changes))
    (told,) = await service.inbound(1)
    for name, value in kept.items():
        found = getattr(told, name)
        assert (dict(found) if isinstance(value, dict) else list(found) if isinstance(value, list) else found) == value


async def test_many_long_messages_are_told_in_several_pieces(service: Service) -> None:
    await service.set_up("SMS", listens=True)
    await eventually(lambda: service.scripted.context)
    await service.scripted.deliver(*(a_message(number, body="é" * 100_000) for number in range(30)))
    assert len(await service.inbound(30)) == 30


def a_broken(**changes: Any) -> InboundMessage:
    """Return a message that its own class would not have made."""
    message = a_message(2)
    for name, value in changes.items():
        object.__setattr__(message, name, value)
    return message


async def test_a_plugin_that_hands_over_something_else_does_no_harm_and_is_named(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    await service.set_up("SMS")
    broken = [
        "no message",
        a_broken(inbound_id=""),
        a_broken(inbound_id="i" * 201),
        a_broken(time="yesterday"),
        a_broken(time=datetime(2026, 3, 4)),  # noqa: DTZ001 (without a zone: that is what is wrong with it)
        a_broken(time=datetime(1, 1, 1, tzinfo=UTC)),
    ]
    service.scripted.understand = says("no receipt", inbound=(*broken, a_message()))  # type: ignore[arg-type]
    assert (await service.edge.ReceiveWebhook(a_call())).status == 200
    assert [one.inbound_id for one in await service.inbound(1)] == ["in1"]
    named = [record.getMessage() for record in caplog.records if "channel plugin scripted" in record.getMessage()]
    assert len(named) >= len(broken) + 1


async def test_a_plugin_cannot_say_that_somebody_used_our_link(service: Service) -> None:
    await service.set_up("EMAIL")
    await service.dispatch(a_batch(["a@x.example"]))
    await service.done(1)
    receipt = Receipt("r1", ReceiptKind.OPTED_OUT, NOW, message_id=service.scripted.sent[0].message_id)
    object.__setattr__(receipt, "kind", "UNSUBSCRIBED")
    service.scripted.understand = says(receipt)
    assert (await service.edge.ReceiveWebhook(a_call("EMAIL"))).status == 200
    assert await count(service, "SELECT count(*) FROM messaging.receipts") == 0


# -- plugins that hear by themselves


async def test_a_listening_channel_is_open_from_the_start_and_a_deaf_one_is_not(start: Started) -> None:
    first = await start()
    await first.set_up("SMS", listens=True)
    await first.set_up("EMAIL")
    await eventually(lambda: len(first.scripted.opened_with) == 1)
    await start()
    await eventually(lambda: len(first.scripted.opened_with) == 2)
    assert all(settings["listens"] for settings in first.scripted.opened_with)


async def test_a_further_provider_that_listens_is_kept_open_as_long_as_its_channel_is_on(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heliograph_messaging.providers._CALLS_END_SECONDS", 0.05)
    channel = await service.set_up("SMS")
    await add_route(service, "backup", listens=True)
    await eventually(lambda: len(service.second.opened_with) == 1)
    assert not service.scripted.opened_with
    await service.channels.DisableChannel(channels_pb2.DisableChannelRequest(name=channel.name))
    await eventually(lambda: service.second.closed == 1)


async def test_a_listening_channel_that_cannot_be_opened_is_tried_again(service: Service) -> None:
    service.scripted.refuses_to_open = 1
    await service.set_up("SMS", listens=True)
    await eventually(lambda: service.scripted.opened_with, within=20)


async def test_a_listening_channel_is_opened_anew_with_other_settings_and_let_go_when_it_is_off(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heliograph_messaging.providers._CALLS_END_SECONDS", 0.05)
    channel = await service.set_up("SMS", listens=True)
    await eventually(lambda: len(service.scripted.opened_with) == 1)
    await service.set_up("SMS", listens=True, host="other")
    await eventually(lambda: len(service.scripted.opened_with) == 2)
    await eventually(lambda: service.scripted.closed == 1)
    await service.channels.DisableChannel(channels_pb2.DisableChannelRequest(name=channel.name))
    await eventually(lambda: service.scripted.closed == 2)
