"""The sms-smpp channel: contract and outcomes against an SMSC that keeps the protocol and breaks everything else."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph_channel_smpp import SmppChannel
from heliograph_channel_smpp.links import reconnect_pause
from heliograph_channel_smpp.pdu import RESPONSE, Command, Pdu, ShortMessage
from heliograph_channel_smpp.statuses import Status
from heliograph_channels import (
    Accepted,
    ChannelProvider,
    Kind,
    OutgoingMessage,
    Rejected,
    RejectReason,
    Sender,
    SendResult,
    SmsContent,
    Unknown,
    Unsupported,
)
from heliograph_channels.testing import ChannelContract, RecordingContext, a_message
from tests.plugins.smpp_smsc import PASSWORD, SYSTEM_ID, Script, Smsc, Submit, settings_for, taking
from tests.plugins.smtp_servers import make_certificate

NUMBER = "+12065550100"
THREE_PARTS = "a" * 459


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


@asynccontextmanager
async def sender_of(smsc: Smsc, recording: RecordingContext | None = None, **changes: Any) -> AsyncIterator[Sender]:
    given_settings = settings_for(smsc.port, **changes)
    provider = SmppChannel()
    assert list(provider.check_settings(given_settings)) == []
    sender = await provider.open(given_settings, (recording or RecordingContext()).context)
    try:
        yield sender
    finally:
        await asyncio.wait_for(sender.close(), 10)


def sms(body: str = "Hello", **more: str) -> OutgoingMessage:
    return a_message(Kind.SMS, NUMBER, content=SmsContent(body=body), **more)  # type: ignore[arg-type]


async def one(sender: Sender, message: OutgoingMessage | None = None) -> SendResult:
    (result,) = await asyncio.wait_for(sender.send_batch([message or sms()]), 15)
    return result


def answering(*statuses: int) -> Script:
    """Answer each submit with the next status, and the rest with the last."""

    async def script(submit: Submit) -> None:
        submit.answer(statuses[min(submit.number, len(statuses) - 1)])

    return script


def except_for(number: int, other: Script) -> Script:
    """Take everything but one submit."""

    async def script(submit: Submit) -> None:
        await (other if submit.number == number else taking)(submit)

    return script


async def silent(submit: Submit) -> None:
    """Never answer."""


async def dropping(submit: Submit) -> None:
    submit.session.drop()


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


# Connections that break


async def test_a_connection_that_breaks_after_the_write_leaves_the_message_unknown() -> None:
    async with Smsc(except_for(0, dropping)).running() as smsc, sender_of(smsc) as sender:
        result = await one(sender)
        assert isinstance(result, Unknown)
        assert "written" in result.detail
        assert isinstance(await one(sender), Accepted)
        assert len(smsc.submits) == 2


async def test_an_answer_that_never_comes_leaves_the_message_unknown() -> None:
    async with Smsc(except_for(0, silent)).running() as smsc, sender_of(smsc, response_timeout=0.1) as sender:
        result = await one(sender)
        assert isinstance(result, Unknown)
        assert "no answer within 0.1 s" in result.detail
        assert isinstance(await one(sender), Accepted), "one silence does not cost the session"
        assert len(smsc.sessions) == 1


async def test_a_window_full_of_silence_costs_the_session() -> None:
    async def first_silent(submit: Submit) -> None:
        if submit.session.number > 0:
            submit.answer()

    async with (
        Smsc(first_silent, window=2).running() as smsc,
        sender_of(smsc, window=2, response_timeout=0.1) as sender,
    ):
        results = await asyncio.wait_for(sender.send_batch([sms() for _ in range(4)]), 10)
        assert [type(result) for result in results] == [Unknown, Unknown, Accepted, Accepted]
        assert len(smsc.sessions) == 2


async def test_answers_that_come_too_late_free_their_places() -> None:
    async with Smsc(silent, window=2).running() as smsc, sender_of(smsc, window=2, response_timeout=0.1) as sender:
        for number in range(4):
            assert isinstance(await one(sender), Unknown)
            smsc.submits[number].answer()
            assert (await sender.health()).ok
        assert len(smsc.sessions) == 1


async def test_a_message_that_was_not_written_goes_over_another_connection() -> None:
    async with Smsc(window=1).running() as smsc, sender_of(smsc, window=1) as sender:
        session = await smsc.bound_session()
        assert (await sender.health()).ok
        session.wire.pause_reading()
        first = asyncio.create_task(one(sender))
        second = asyncio.create_task(one(sender))
        for _ in range(5):
            await asyncio.sleep(0)
        session.drop()
        assert isinstance(await first, Unknown), "it was written, to whom nobody knows"
        assert isinstance(await second, Accepted)
        assert len(smsc.submits) == 1


async def test_a_submit_the_system_did_not_take_over_is_certainly_not_taken() -> None:
    """While the SMSC reads nothing, submits stay here, and so nobody has them."""
    async with (
        Smsc().running() as smsc,
        sender_of(smsc, response_timeout=0.2, connect_timeout=0.2) as sender,
    ):
        await smsc.bound_session()
        assert (await sender.health()).ok
        (link,) = sender._links.all  # type: ignore[attr-defined]
        link.session.pause_writing()  # what asyncio calls when its buffer is full
        smsc.answers_binds = False
        result = await one(sender)
    assert isinstance(result, Rejected)
    assert (result.reason, result.retryable) == (RejectReason.UNAVAILABLE, True)
    assert smsc.submits == []


async def test_an_smsc_that_is_not_there_is_unavailable_and_found_when_it_comes() -> None:
    smsc = Smsc()
    async with smsc.running():
        pass  # has a port now, and is gone
    async with sender_of(smsc) as sender:
        result = await one(sender)
        assert isinstance(result, Rejected)
        assert (result.reason, result.retryable) == (RejectReason.UNAVAILABLE, True)
        assert not (await sender.health()).ok
        async with smsc.running():
            await smsc.bound_session()
            assert isinstance(await one(sender), Accepted)
            assert (await sender.health()).ok


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        pytest.param(Status.ESME_RINVPASWD, RejectReason.CREDENTIALS, id="password"),
        pytest.param(Status.ESME_RBINDFAIL, RejectReason.CREDENTIALS, id="bind failed"),
        pytest.param(Status.ESME_RALYBND, RejectReason.UNAVAILABLE, id="already bound"),
        pytest.param(Status.ESME_RUNKNOWNERR, RejectReason.UNAVAILABLE, id="unknown error"),
    ],
)
async def test_a_refused_bind_is_named_and_tried_again(status: int, reason: RejectReason) -> None:
    async with Smsc(bind_status=status).running() as smsc, sender_of(smsc) as sender:
        result = await one(sender)
        assert isinstance(result, Rejected)
        assert (result.reason, result.retryable) == (reason, True)
        assert "the bind was answered" in result.detail
        assert not (await sender.health()).ok
        smsc.bind_status = 0
        await smsc.bound_session()
        assert isinstance(await one(sender), Accepted)


async def test_a_bind_that_is_not_answered_ends_in_time() -> None:
    async with Smsc(answers_binds=False).running() as smsc, sender_of(smsc, connect_timeout=0.2) as sender:
        result = await one(sender)
    assert isinstance(result, Rejected)
    assert "no session within 0.2 s" in result.detail


async def test_a_password_never_shows_and_a_wrong_one_is_credentials() -> None:
    async with Smsc().running() as smsc, sender_of(smsc, password="wr0ng-pw") as sender:
        result = await one(sender)
    assert isinstance(result, Rejected)
    assert result.reason is RejectReason.CREDENTIALS
    assert "wr0ng-pw" not in repr((result, sender, smsc.binds))


async def test_silence_on_an_enquiry_costs_the_session() -> None:
    async with (
        Smsc(answers_enquiries=False).running() as smsc,
        sender_of(smsc, enquire_seconds=0.05, response_timeout=0.1),
    ):
        await smsc.until(lambda: len(smsc.sessions) >= 2 and bool(smsc.bound))
        assert smsc.enquiries >= 1


async def test_an_idle_session_asks_and_stays() -> None:
    async with Smsc().running() as smsc, sender_of(smsc, enquire_seconds=0.05) as sender:
        await smsc.until(lambda: smsc.enquiries >= 3)
        assert len(smsc.sessions) == 1
        assert isinstance(await one(sender), Accepted)


async def test_an_smsc_that_unbinds_is_bound_again_and_nothing_is_lost() -> None:
    async with Smsc().running() as smsc, sender_of(smsc) as sender:
        session = await smsc.bound_session()
        assert (await session.ask(Command.UNBIND)).status == 0
        await smsc.until(lambda: len(smsc.sessions) == 2)
        assert isinstance(await one(sender), Accepted)


@pytest.mark.parametrize(
    "command", [Command.OUTBIND, Command.SUBMIT_SM, Command.BIND_RECEIVER, 0x77], ids=["outbind", "submit", "bind", "?"]
)
async def test_requests_that_are_not_for_a_client_are_refused(command: int) -> None:
    async with Smsc().running() as smsc, sender_of(smsc) as sender:
        session = await smsc.bound_session()
        answer = await session.ask(command, b"\0\0")
        assert (answer.command, answer.status) == (0x80000000, Status.ESME_RINVCMDID)
        assert isinstance(await one(sender), Accepted)


@pytest.mark.parametrize(
    "octets", [b"\0" * 16, b"\xff" * 64, b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["length 0", "4 GiB", "http"]
)
async def test_an_smsc_that_speaks_something_else_is_left_at_once(octets: bytes) -> None:
    async with Smsc().running() as smsc, sender_of(smsc) as sender:
        session = await smsc.bound_session()
        session.wire.write(octets)
        await smsc.until(lambda: len(smsc.sessions) == 2 and bool(smsc.bound))
        assert [nack.status for nack in session.nacks] == [Status.ESME_RINVCMDLEN]
        assert isinstance(await one(sender), Accepted)


async def test_closing_waits_for_answers_and_unbinds() -> None:
    held: list[Submit] = []

    async def holding(submit: Submit) -> None:
        held.append(submit)

    async with Smsc(holding).running() as smsc:
        async with sender_of(smsc) as sender:
            sending = asyncio.create_task(one(sender))
            await smsc.until(lambda: bool(smsc.submits))
            closing = asyncio.create_task(sender.close())
            for _ in range(5):
                await asyncio.sleep(0)
            held[0].answer()
            assert isinstance(await sending, Accepted)
            await closing
        assert smsc.unbinds == 1


async def test_a_busy_sender_is_well() -> None:
    async with Smsc(silent, window=1).running() as smsc, sender_of(smsc, window=1) as sender:
        sending = asyncio.create_task(one(sender))
        await smsc.until(lambda: bool(smsc.submits))
        assert (await sender.health()).ok
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


# The window


async def test_a_thousand_messages_go_through_a_window_of_fifty() -> None:
    async def a_turn_later(submit: Submit) -> None:
        await asyncio.sleep(0)
        submit.answer()

    async with Smsc(a_turn_later, window=50).running() as smsc, sender_of(smsc, window=50) as sender:
        batches = [[sms() for _ in range(100)] for _ in range(10)]
        answers = await asyncio.gather(*(sender.send_batch(batch) for batch in batches))
        ids = [result.provider_message_id for results in answers for result in results if isinstance(result, Accepted)]
        assert len(set(ids)) == 1000
        assert smsc.sessions[0].most_waiting == 50


async def test_answers_in_any_order_find_their_messages() -> None:
    held: list[Submit] = []

    async def backwards(submit: Submit) -> None:
        held.append(submit)
        if len(held) == 10:
            for one_held in reversed(held):
                one_held.answer(id=one_held.message.short_message.decode())

    async with Smsc(backwards).running() as smsc, sender_of(smsc) as sender:
        results = await sender.send_batch([sms(f"text {number}") for number in range(10)])
    assert results == [Accepted(f"text {number}") for number in range(10)]


@settings(max_examples=15, deadline=None)
@given(
    window=st.integers(1, 7),
    connections=st.integers(1, 3),
    choices=st.lists(st.sampled_from(["take", "later", "throttle", "refuse", "drop", "silence"]), max_size=40),
)
def test_the_window_is_never_exceeded_and_every_message_has_one_fate(
    window: int, connections: int, choices: list[str]
) -> None:
    """Whatever the SMSC does; it breaks off and says so when the window is exceeded (`Smsc.running` asserts it)."""

    async def mixed(submit: Submit) -> None:
        choice = choices[submit.number] if submit.number < len(choices) else "take"
        match choice:
            case "later":
                for _ in range(submit.number % 5):
                    await asyncio.sleep(0)
                submit.answer()
            case "throttle":
                submit.answer(Status.ESME_RTHROTTLED)
            case "refuse":
                submit.answer(Status.ESME_RINVDSTADR)
            case "drop":
                submit.session.drop()
            case "silence":
                pass
            case _:
                submit.answer()

    async def play() -> None:
        changes: dict[str, Any] = {"window": window, "connections": connections, "response_timeout": 0.05}
        async with (
            Smsc(mixed, window=window).running() as smsc,
            sender_of(smsc, throttle_seconds=0.01, reconnect_seconds=0.1, **changes) as sender,
        ):
            results = await asyncio.wait_for(sender.send_batch([sms(f"{n}") for n in range(50)]), 20)
            seen = [submit.message.short_message.decode() for submit in smsc.submits]
            assert len(seen) == len(set(seen)), "nothing is sent twice"
            for number, result in enumerate(results):
                if isinstance(result, Accepted | Unknown):
                    assert isinstance(result, Unknown) or str(number) in seen
                elif result.reason is RejectReason.UNAVAILABLE:  # type: ignore[union-attr]
                    assert str(number) not in seen, "not taken means not written"

    asyncio.run(play())


async def test_a_rate_is_kept() -> None:
    loop = asyncio.get_running_loop()
    async with Smsc(window=100).running() as smsc, sender_of(smsc, window=100, rate=100) as sender:
        await smsc.bound_session()
        begin = loop.time()
        results = await sender.send_batch([sms() for _ in range(40)])
        took = loop.time() - begin
    assert all(isinstance(result, Accepted) for result in results)
    assert took > 0.35


async def test_several_connections_share_the_work() -> None:
    held: list[Submit] = []

    async def together(submit: Submit) -> None:
        held.append(submit)
        if len(held) == 30:
            for one_held in held:
                one_held.answer()

    async with Smsc(together, window=10).running() as smsc, sender_of(smsc, connections=3) as sender:
        await smsc.until(lambda: len(smsc.bound) == 3)
        results = await asyncio.wait_for(sender.send_batch([sms() for _ in range(30)]), 10)
    assert all(isinstance(result, Accepted) for result in results)
    assert {submit.session.number for submit in held} == {0, 1, 2}


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
