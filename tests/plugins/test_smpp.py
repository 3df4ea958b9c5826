"""The channel SMPP: what statuses mean, messages of several parts, what a submit_sm says, and settings."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from heliograph_channel_smpp import SmppChannel
from heliograph_channel_smpp.links import reconnect_pause
from heliograph_channel_smpp.pdu import RESPONSE, Pdu, ShortMessage
from heliograph_channel_smpp.statuses import Status
from heliograph_channels import (
    Accepted,
    ChannelProvider,
    Kind,
    OutgoingMessage,
    Rejected,
    RejectReason,
    SmsContent,
    Unknown,
    Unsupported,
)
from heliograph_channels.testing import ChannelContract, a_message
from tests.plugins.smpp_sender import NUMBER, THREE_PARTS, answering, dropping, except_for, one, sender_of, sms
from tests.plugins.smpp_smsc import PASSWORD, SYSTEM_ID, Script, Smsc, Submit, settings_for
from tests.plugins.smtp_servers import make_certificate


class TestSmppContract(ChannelContract):
    """Over TLS, with one connection."""

    kind = Kind.SMS
    good_address = NUMBER
    bad_addresses = ("12065550100", "+1 206", "ann@example.com")

    @pytest.fixture
    def provider(self) -> ChannelProvider:
        return SmppChannel()

    @pytest_asyncio.fixture
    async def settings(self, tmp_path: Path) -> AsyncIterator[Mapping[str, object]]:  # type: ignore[override]
        certificate, key = make_certificate(tmp_path)
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate, key)
        async with Smsc().running(tls) as smsc:
            yield settings_for(smsc.port, security="tls", ca_file=str(certificate))


# Statuses


@pytest.mark.parametrize(
    ("status", "reason", "retryable"),
    [
        pytest.param(Status.ESME_RTHROTTLED, RejectReason.THROTTLED, True, id="throttled"),
        pytest.param(Status.ESME_RMSGQFUL, RejectReason.THROTTLED, True, id="queue full"),
        pytest.param(0x4FF, RejectReason.THROTTLED, True, id="the operator's own throttling"),
        pytest.param(Status.ESME_RSYSERR, RejectReason.UNAVAILABLE, True, id="system error"),
        pytest.param(Status.ESME_RX_T_APPN, RejectReason.UNAVAILABLE, True, id="temporary error of the ESME behind it"),
        pytest.param(Status.ESME_RINVDSTADR, RejectReason.INVALID_ADDRESS, False, id="bad destination"),
        pytest.param(Status.ESME_RINVDSTTON, RejectReason.INVALID_ADDRESS, False, id="bad destination TON"),
        pytest.param(Status.ESME_RINVSRCADR, RejectReason.INVALID_ORIGINATION, False, id="bad source"),
        pytest.param(Status.ESME_RINVMSGLEN, RejectReason.INVALID_CONTENT, False, id="bad length"),
        pytest.param(Status.ESME_RX_R_APPN, RejectReason.BLOCKED, False, id="message refused"),
        pytest.param(Status.ESME_RSUBMITFAIL, RejectReason.REFUSED, False, id="submit failed"),
        pytest.param(0x400, RejectReason.REFUSED, False, id="a vendor's own"),
    ],
)
async def test_each_status_is_a_reason_and_the_message_was_not_taken(
    status: int, reason: RejectReason, retryable: bool
) -> None:
    async with Smsc(answering(status)).running() as smsc, sender_of(smsc, throttling_statuses=[0x4FF]) as sender:
        result = await one(sender)
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (reason, retryable)
    assert f"{status:08x}" in result.detail


async def test_a_generic_nack_refuses_the_request_it_names() -> None:
    async def nacking(submit: Submit) -> None:
        submit.session.waiting -= 1
        submit.session.write(Pdu(RESPONSE, Status.ESME_RINVCMDID, submit.sequence))

    async with Smsc(except_for(0, nacking)).running() as smsc, sender_of(smsc) as sender:
        result = await one(sender)
        assert isinstance(result, Rejected)
        assert result.reason is RejectReason.REFUSED
        assert isinstance(await one(sender), Accepted)


async def test_after_throttling_the_connection_rests() -> None:
    loop = asyncio.get_running_loop()
    async with (
        Smsc(answering(Status.ESME_RTHROTTLED, 0)).running() as smsc,
        sender_of(smsc, throttle_seconds=0.3) as sender,
    ):
        assert isinstance(await one(sender), Rejected)
        begin = loop.time()
        assert isinstance(await one(sender), Accepted)
        assert loop.time() - begin > 0.25


# Messages of several parts


async def test_all_parts_taken_is_accepted_under_the_id_of_the_last() -> None:
    async with Smsc().running() as smsc, sender_of(smsc) as sender:
        result = await one(sender, sms(THREE_PARTS))
        assert result == Accepted("1002")
        assert len(smsc.submits) == 3
        assert [submit.message.short_message[4:6] for submit in smsc.submits] == [b"\3\1", b"\3\2", b"\3\3"]


async def test_a_refused_first_part_leaves_none_behind() -> None:
    async with Smsc(answering(Status.ESME_RINVDSTADR)).running() as smsc, sender_of(smsc) as sender:
        result = await one(sender, sms(THREE_PARTS))
        assert isinstance(result, Rejected)
        assert (result.reason, result.retryable) == (RejectReason.INVALID_ADDRESS, False)
        assert len(smsc.submits) == 1


@pytest.mark.parametrize(
    ("script", "detail"),
    [
        pytest.param(
            except_for(1, answering(Status.ESME_RINVMSGLEN)),
            "part 1 was taken, part 2 of 3 was not: submit_sm was answered ESME_RINVMSGLEN (0x00000001); "
            "the last 1 of 3 were not sent",
            id="the second refused",
        ),
        pytest.param(
            except_for(2, dropping),
            "parts 1 to 2 were taken, part 3 of 3 may have been: submit_sm was written, then: ",
            id="the third dropped",
        ),
        pytest.param(
            except_for(0, dropping),
            "part 1 of 3: submit_sm was written, then: ",
            id="the first dropped",
        ),
    ],
)
async def test_some_parts_taken_is_unknown_and_says_which(script: Script, detail: str) -> None:
    async with Smsc(script).running() as smsc, sender_of(smsc) as sender:
        result = await one(sender, sms(THREE_PARTS))
    assert isinstance(result, Unknown)
    assert result.detail.startswith(detail)


async def test_a_throttled_further_part_is_tried_again() -> None:
    script = answering(0, Status.ESME_RTHROTTLED, Status.ESME_RTHROTTLED, 0)
    async with Smsc(script).running() as smsc, sender_of(smsc, throttle_seconds=0.01) as sender:
        assert isinstance(await one(sender, sms(THREE_PARTS)), Accepted)
        assert len(smsc.submits) == 5


async def test_a_throttled_further_part_is_not_tried_for_ever() -> None:
    script = answering(0, Status.ESME_RTHROTTLED)
    async with (
        Smsc(script).running() as smsc,
        sender_of(smsc, throttle_seconds=0.01, part_patience=0.3) as sender,
    ):
        result = await one(sender, sms(THREE_PARTS))
    assert isinstance(result, Unknown)
    assert "ESME_RTHROTTLED" in result.detail


# What a submit_sm says


async def submitted(message: OutgoingMessage, **changes: Any) -> list[ShortMessage]:
    async with Smsc().running() as smsc, sender_of(smsc, **changes) as sender:
        assert isinstance(await one(sender, message), Accepted)
        return [submit.message for submit in smsc.submits]


@pytest.mark.parametrize(
    ("origination", "changes", "expected"),
    [
        pytest.param("+12065550111", {}, (1, 1, "12065550111"), id="number"),
        pytest.param("+12065550111", {"plus": True}, (1, 1, "+12065550111"), id="number with its plus"),
        pytest.param("+12065550111", {"ton_international": 2, "npi_international": 8}, (2, 8, "12065550111"), id="ton"),
        pytest.param("Acme Shop", {}, (5, 0, "Acme Shop"), id="sender id"),
        pytest.param("28444", {}, (3, 0, "28444"), id="short code"),
        pytest.param("", {}, (1, 1, "12065550199"), id="the setting's"),
        pytest.param("", {"from": ""}, (0, 0, ""), id="the SMSC's"),
    ],
)
async def test_the_sender_is_written_by_its_form(
    origination: str, changes: dict[str, Any], expected: tuple[int, int, str]
) -> None:
    (message,) = await submitted(sms(origination=origination), **changes)
    assert (message.source.ton, message.source.npi, message.source.text) == expected


@pytest.mark.parametrize("origination", ["12345678901234", "toolongasender", "Ünö", "a\r\nb", "12", "+1"])
async def test_a_sender_of_no_form_is_refused_before_anything_is_sent(origination: str) -> None:
    async with Smsc().running() as smsc, sender_of(smsc) as sender:
        result = await one(sender, sms(origination=origination))
        assert smsc.submits == []
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.INVALID_ORIGINATION, False)


async def test_priority_validity_service_type_and_registrations_are_written() -> None:
    changes: dict[str, Any] = {
        "priority_campaign": 2,
        "validity_minutes": 2885,
        "service_type": "CMT",
        "entity_id_tlv": 0x1400,
        "template_id_tlv": 0x1401,
    }
    content = SmsContent(body="x", entity_id="110", template_id="220")
    (message,) = await submitted(a_message(Kind.SMS, NUMBER, content=content, message_class="campaign"), **changes)
    assert (message.priority, message.service_type, message.registered_delivery) == (2, "CMT", 1)
    assert message.validity == "000002000500000R"
    assert message.tlvs == ((0x1400, b"110"), (0x1401, b"220"))


@pytest.mark.parametrize(("receipts", "expected"), [("every", [1, 1, 1]), ("last", [0, 0, 1]), ("none", [0, 0, 0])])
async def test_receipts_are_asked_for_as_the_setting_says(receipts: str, expected: list[int]) -> None:
    messages = await submitted(sms(THREE_PARTS), receipts=receipts)
    assert [message.registered_delivery for message in messages] == expected


async def test_a_long_text_can_go_uncut_as_payload() -> None:
    (message,) = await submitted(sms(THREE_PARTS), concatenation="payload")
    assert message.short_message == b""
    assert message.content == THREE_PARTS.encode()


async def test_media_is_unsupported() -> None:
    content = SmsContent(body="x", media_urls=("https://example.com/a.png",))
    async with Smsc().running() as smsc, sender_of(smsc) as sender:
        assert await one(sender, a_message(Kind.SMS, NUMBER, content=content)) == Unsupported("media")


async def test_an_answer_without_an_id_is_accepted_under_our_own() -> None:
    async def nameless(submit: Submit) -> None:
        submit.answer(id="")

    message = sms()
    async with Smsc(nameless).running() as smsc, sender_of(smsc) as sender:
        assert await one(sender, message) == Accepted(message.message_id)


# Settings


async def test_a_pair_binds_transmitters_and_a_receiver() -> None:
    async with Smsc().running() as smsc, sender_of(smsc, bind="pair", connections=2) as sender:
        await smsc.until(lambda: len(smsc.bound) == 3)
        assert sorted(session.state for session in smsc.bound) == ["receiver", "transmitter", "transmitter"]
        assert isinstance(await one(sender), Accepted)
        assert (await sender.health()).ok


async def test_a_transmitter_promises_no_receipts_and_asks_for_none() -> None:
    able = SmppChannel().capabilities_for({"bind": "transmitter"})
    assert (able.receipts, able.inbound, able.listens) == (False, False, False)
    assert not SmppChannel().capabilities_for({"receipts": "none"}).receipts
    (message,) = await submitted(sms(), bind="transmitter")
    assert message.registered_delivery == 0


def test_problems_between_settings_are_named_together() -> None:
    problems = SmppChannel().check_settings(
        {
            "host": "a b",
            "system_id": "x" * 16,
            "password": "123456789",
            "from": "not a sender at all",
            "bind": "transmitter",
            "receipts": "every",
            "default_alphabet": "gsm-packed",
            "concatenation": "payload",
            "window": 0,
        }
    )
    fields = {problem.field for problem in problems}
    assert fields == {"host", "system_id", "password", "from", "receipts", "concatenation", "window"}
    assert "123456789" not in repr(problems)


def test_the_account_is_the_one_of_the_settings() -> None:
    assert list(SmppChannel().check_settings({"host": "localhost", "system_id": SYSTEM_ID, "password": PASSWORD})) == []


@pytest.mark.parametrize(
    ("failures", "jitter", "expected"),
    [(0, 0.5, 0.0), (1, 0.0, 0.5), (1, 1.0, 0.25), (2, 0.0, 1.0), (8, 0.0, 60.0), (10_000, 1.0, 30.0)],
)
def test_the_pause_before_binding_again_doubles_to_its_limit(failures: int, jitter: float, expected: float) -> None:
    assert reconnect_pause(failures, jitter, 60.0) == expected
