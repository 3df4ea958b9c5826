"""Connections of the channel SMPP that break, fall silent, or are refused: what became of the messages."""

from __future__ import annotations

import asyncio

import pytest

from heliograph_channel_smpp.pdu import Command
from heliograph_channel_smpp.statuses import Status
from heliograph_channels import Accepted, Rejected, RejectReason, Unknown
from tests.plugins.smpp_sender import dropping, except_for, one, sender_of, silent, sms
from tests.plugins.smpp_smsc import Smsc, Submit


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
