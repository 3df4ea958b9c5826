"""What the answers of SES mean, and connections that break before, within and after them."""

from __future__ import annotations

import asyncio

import pytest

from heliograph_channels import Accepted, Rejected, RejectReason, Unknown
from tests.plugins.ses_sender import mail, sender_for
from tests.plugins.ses_server import Answer, Reply, SesServer

# What the answers mean


def answered(status: int, kind: str, words: str = "", *, prefix: str = "") -> Answer:
    return lambda call: Reply(status, {"message": words}, prefix + kind)


REJECTED = {
    "rate": (400, "ThrottlingException", "Maximum sending rate exceeded.", RejectReason.THROTTLED, True),
    "day": (400, "ThrottlingException", "Daily message quota exceeded.", RejectReason.QUOTA_EXCEEDED, True),
    "too many": (429, "TooManyRequestsException", "Too many requests", RejectReason.THROTTLED, True),
    "throttled without a name": (429, "", "slow down", RejectReason.THROTTLED, True),
    "limit": (400, "LimitExceededException", "", RejectReason.QUOTA_EXCEEDED, True),
    "paused": (400, "SendingPausedException", "paused", RejectReason.UNAVAILABLE, True),
    "suspended": (400, "AccountSuspendedException", "", RejectReason.CREDENTIALS, False),
    "mail from": (400, "MailFromDomainNotVerifiedException", "", RejectReason.INVALID_ORIGINATION, False),
    "no set": (404, "NotFoundException", "Configuration set does not exist.", RejectReason.REFUSED, False),
    "sender not verified": (
        400, "MessageRejected",
        "Email address is not verified. The following identities failed the check in region EU-CENTRAL-1: news@example.com",
        RejectReason.INVALID_ORIGINATION, False,
    ),
    "sandbox": (
        400, "MessageRejected",
        "Email address is not verified. The following identities failed the check in region EU-CENTRAL-1: ann@example.com",
        RejectReason.BLOCKED, False,
    ),
    "both not verified": (
        400, "MessageRejected",
        "Email address is not verified. The following identities failed the check in region X: ann@example.com, news@example.com",
        RejectReason.INVALID_ORIGINATION, False,
    ),
    "virus": (400, "MessageRejected", "Message contains a virus", RejectReason.INVALID_CONTENT, False),
    "other rejection": (400, "MessageRejected", "Message rejected", RejectReason.BLOCKED, False),
    "suppressed": (400, "MessageRejected", "Address is on the suppression list", RejectReason.BLOCKED, False),
    "domain": (400, "BadRequestException", "Missing final '@domain'", RejectReason.INVALID_ADDRESS, False),
    "local part": (400, "BadRequestException", "Local address contains control or whitespace", RejectReason.INVALID_ADDRESS, False),
    "header": (400, "BadRequestException", "Header name is not allowed", RejectReason.INVALID_CONTENT, False),
    "other bad request": (400, "BadRequestException", "1 validation error", RejectReason.REFUSED, False),
    "forbidden": (403, "AccessDeniedException", "not authorized to perform ses:SendEmail", RejectReason.CREDENTIALS, True),
    "unknown key": (403, "UnrecognizedClientException", "invalid", RejectReason.CREDENTIALS, True),
    "expired token": (403, "ExpiredTokenException", "expired", RejectReason.CREDENTIALS, True),
    "forbidden without a name": (403, "", "", RejectReason.CREDENTIALS, True),
    "unavailable": (503, "ServiceUnavailable", "", RejectReason.UNAVAILABLE, True),
    "unavailable without a name": (503, "", "", RejectReason.UNAVAILABLE, True),
    "redirect": (302, "", "", RejectReason.REFUSED, False),
    "strange": (418, "", "", RejectReason.REFUSED, False),
}  # fmt: skip


@pytest.mark.parametrize(("status", "kind", "words", "reason", "again"), REJECTED.values(), ids=REJECTED)
async def test_each_error_of_ses_has_its_reason(
    status: int, kind: str, words: str, reason: RejectReason, again: bool
) -> None:
    async with SesServer(answered(status, kind, words)).running() as server, sender_for(server.url) as opened:
        (result,) = await opened.send_batch([mail()])
        assert isinstance(result, Rejected), result
        assert (result.reason, result.retryable) == (reason, again)
        assert words in result.detail
        assert len(server.calls) == 1


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b'{"message": 1}', b"[" * 10_000], ids=repr)
@pytest.mark.parametrize("status", [500, 502, 504], ids=str)
async def test_an_error_that_ses_may_not_have_written_leaves_the_message_in_doubt(status: int, body: bytes) -> None:
    async with SesServer(lambda call: Reply(status, body)).running() as server, sender_for(server.url) as opened:
        (result,) = await opened.send_batch([mail()])
    assert isinstance(result, Unknown), result
    assert str(status) in result.detail


@pytest.mark.parametrize("prefix", ["com.amazonaws.sesv2#", ""])
async def test_the_name_of_an_error_may_stand_in_the_body(prefix: str) -> None:
    answer = Reply(400, {"__type": f"{prefix}TooManyRequestsException:http://x", "Message": "slow"})
    async with SesServer(lambda call: answer).running() as server, sender_for(server.url) as opened:
        (result,) = await opened.send_batch([mail()])
    assert result == Rejected(RejectReason.THROTTLED, True, "SES answered 400 TooManyRequestsException: slow")


# Connections that break


async def test_nobody_there_is_a_rejection_that_may_be_repeated() -> None:
    async with SesServer().running() as server:
        url = server.url
    async with sender_for(url) as opened:
        (result,) = await opened.send_batch([mail()])
        health = await opened.health()
    assert isinstance(result, Rejected), result
    assert (result.reason, result.retryable) == (RejectReason.UNAVAILABLE, True)
    assert not health.ok


async def test_a_connection_lost_after_the_request_leaves_the_message_in_doubt() -> None:
    async with SesServer(lambda call: None).running() as server, sender_for(server.url) as opened:
        (result,) = await opened.send_batch([mail()])
        assert isinstance(result, Unknown), result
        assert len(server.calls) == 1  # and it was not sent again


async def test_a_connection_lost_within_an_error_leaves_the_message_in_doubt() -> None:
    reply = Reply(400, {"message": "x" * 100}, cut=20)
    async with SesServer(lambda call: reply).running() as server, sender_for(server.url) as opened:
        (result,) = await opened.send_batch([mail()])
    assert isinstance(result, Unknown), result


async def test_a_connection_lost_within_the_acceptance_is_an_acceptance() -> None:
    reply = Reply(200, {"MessageId": "0107019-1-000000"}, cut=10)
    async with SesServer(lambda call: reply).running() as server, sender_for(server.url) as opened:
        (result,) = await opened.send_batch([mail()])
    assert result == Accepted("r-1")


async def test_no_answer_in_time_leaves_the_message_in_doubt() -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    async with SesServer(delay=never).running() as server, sender_for(server.url, timeout=0.2) as opened:
        (result,) = await opened.send_batch([mail()])
    assert isinstance(result, Unknown), result


async def test_a_kept_connection_that_the_server_closed_costs_nothing() -> None:
    async with SesServer().running() as server, sender_for(server.url, connections=1) as opened:
        assert isinstance((await opened.send_batch([mail()]))[0], Accepted)
        server.drop()
        await asyncio.sleep(0)
        assert isinstance((await opened.send_batch([mail()]))[0], Accepted)
        assert server.connections == 2


async def test_calls_are_as_many_at_once_as_there_are_connections() -> None:
    waiting: list[asyncio.Event] = []

    async def hold() -> None:
        waiting.append(asyncio.Event())
        await waiting[-1].wait()

    async with SesServer(delay=hold).running() as server, sender_for(server.url, connections=3) as opened:
        sending = asyncio.ensure_future(opened.send_batch([mail() for _ in range(7)]))  # noqa: RUF006 - awaited below
        released = 0
        while not sending.done():
            async with asyncio.timeout(10):
                while len(waiting) < min(7, released + 3):
                    await asyncio.sleep(0)
            assert server.connections == 3
            assert len(server.calls) == min(7, released + 3)
            waiting[released].set()
            released += 1
            if released == 7:
                await sending
        assert all(isinstance(result, Accepted) for result in sending.result())
