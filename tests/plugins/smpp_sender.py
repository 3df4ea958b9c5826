"""An opened channel SMPP against an SMSC of our own, and the ways in which that answers or does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from heliograph_channel_smpp import SmppChannel
from heliograph_channels import Kind, OutgoingMessage, Sender, SendResult, SmsContent
from heliograph_channels.testing import RecordingContext, a_message
from tests.plugins.smpp_smsc import Script, Smsc, Submit, settings_for, taking

NUMBER = "+12065550100"
THREE_PARTS = "a" * 459


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
