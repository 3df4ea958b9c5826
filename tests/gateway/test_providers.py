"""A bundled channel and its provider on both ends: what Twilio signs reaches the plugin through the gateway as it was signed."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

import httpx
import pytest

from heliograph.messaging.v1 import events_pb2, opt_outs_pb2
from heliograph_channels import WebhookRequest
from heliograph_kit.testing import eventually
from heliograph_messaging import main as messaging_main
from heliograph_messaging.providers import load_catalogue
from tests.gateway.conftest import URL, Gateway, Opened, stored
from tests.messaging.conftest import Started, a_batch
from tests.messaging.numbers import announce, list_of
from tests.plugins.test_twilio_sms import settings_for
from tests.plugins.twilio_peer import ACCOUNT, FROM, FakeTwilio, signed_form, signed_json

pytestmark = pytest.mark.integration
PERSON = "+4915112345678"
ANN, BO = "+12065550123", "+12065550124"


async def call(gateway: Gateway, request: WebhookRequest) -> httpx.Response:
    """Make a call as the provider does: to the path it was told, wherever the name leads."""
    parts = urlsplit(request.url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    return await gateway.http.request(request.method, target, content=request.body, headers=dict(request.headers))


async def test_receipts_and_answers_of_twilio_come_in_through_the_gateway(
    start: Started, open_gateway: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messaging_main, "load_catalogue", lambda *_: load_catalogue(["twilio"]))
    async with FakeTwilio().running() as twilio:
        messaging = await start(public_url=URL)
        await messaging.set_up("SMS", "sms-twilio", **settings_for(twilio))
        gateway = await open_gateway(messaging.runtime.address)
        await messaging.dispatch(a_batch([PERSON], channel="SMS", text="Hello"))
        assert (await messaging.done(1)).accepted_count == 1
        ((sid, form),) = twilio.created.items()
        assert form["StatusCallback"][0].startswith(f"{URL}/hooks/shop/sms?")

        receipt = twilio.callback(sid, MessageStatus="delivered", SmsStatus="delivered")
        for _ in range(2):
            assert (await call(gateway, receipt)).status_code < 300
        told = [event.type for event in await messaging.events(2)]
        assert told.count(events_pb2.MESSAGE_EVENT_TYPE_DELIVERED) == 1

        hook = f"{URL}/hooks/shop/sms"
        fields = {
            "MessageSid": "SM" + "1" * 32,
            "AccountSid": ACCOUNT,
            "From": PERSON,
            "To": FROM,
            "Body": "Yes & no + ü",
        }
        assert (await call(gateway, signed_form(hook, fields))).status_code < 300
        (message,) = await messaging.inbound(1)
        assert (message.origination, message.destination, message.body) == (PERSON, FROM, "Yes & no + ü")
        json = signed_json(f"{hook}?a=%20b", b'{"MessageSid": "SM22222222222222222222222222222222"}')
        assert (await call(gateway, json)).status_code != 403, "the query is signed letter by letter"


async def test_a_text_that_says_stop_opts_out_once_and_a_forged_one_nobody(
    start: Started, open_gateway: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messaging_main, "load_catalogue", lambda *_: load_catalogue(["twilio"]))
    async with FakeTwilio().running() as twilio:
        messaging = await start(public_url=URL)
        await messaging.set_up("SMS", "sms-twilio", **settings_for(twilio))
        await announce(messaging, FROM)
        gateway = await open_gateway(messaging.runtime.address)
        hook = f"{URL}/hooks/shop/sms"
        said = {"MessageSid": "SM" + "3" * 32, "AccountSid": ACCOUNT, "From": ANN, "To": FROM, "Body": "Stop"}
        forged = replace(signed_form(hook, said), body=signed_form(hook, {**said, "From": BO}).body)
        assert (await call(gateway, forged)).status_code == 403
        for _ in range(3):
            assert (await call(gateway, signed_form(hook, said))).status_code < 300
        listed = await messaging.opt_outs.ListOptedOutNumbers(
            opt_outs_pb2.ListOptedOutNumbersRequest(parent=list_of("Default"))
        )
        assert [(one.number, one.end_user_opted_out) for one in listed.opted_out_numbers] == [(ANN, True)]
        await eventually(lambda: len(twilio.created) == 1, because="the confirmation is sent")
        ((_, reply),) = twilio.created.items()
        assert (reply["To"], reply["From"]) == ([ANN], [FROM])


async def test_what_somebody_else_signs_is_forged(
    start: Started, open_gateway: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messaging_main, "load_catalogue", lambda *_: load_catalogue(["twilio"]))
    async with FakeTwilio().running() as twilio:
        messaging = await start(public_url=URL)
        await messaging.set_up("SMS", "sms-twilio", **settings_for(twilio))
        gateway = await open_gateway(messaging.runtime.address)
        hook = f"{URL}/hooks/shop/sms"
        fields = {"MessageSid": "SM" + "1" * 32, "AccountSid": ACCOUNT, "From": PERSON, "To": FROM, "Body": "STOP"}
        for forged in (
            signed_form(hook, fields, token="another"),
            signed_form(f"{hook}?a=b", fields, signed_url=hook),
            signed_form("https://evil.example/hooks/shop/sms", fields),
        ):
            assert (await call(gateway, forged)).status_code == 403
        assert await stored(messaging, "inbound_messages") == 0
