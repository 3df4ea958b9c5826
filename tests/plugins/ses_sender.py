"""An opened channel SES against a server of our own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from heliograph_channel_ses import SesChannel
from heliograph_channels import EmailContent, Kind, OutgoingMessage, Sender
from heliograph_channels.testing import RecordingContext, a_message
from tests.plugins.ses_server import ACCESS_KEY, SECRET
from tests.plugins.sns_topic import Topic

FROM = "News <news@example.com>"


def settings_for(url: str = "", **changes: object) -> dict[str, object]:
    return {
        "region": "eu-central-1",
        "access_key_id": ACCESS_KEY,
        "secret_access_key": SECRET,
        "from_address": FROM,
        "endpoint_url": url,
        **changes,
    }


@asynccontextmanager
async def sender_for(url: str, topic: Topic | None = None, **changes: object) -> AsyncIterator[Sender]:
    settings = settings_for(url, **changes)
    channel = SesChannel(topic.fetch if topic else None)
    assert list(channel.check_settings(settings)) == []
    opened = await channel.open(settings, RecordingContext().context)
    try:
        yield opened
    finally:
        await opened.close()


def mail(to: str = "ann@example.com", *, origination: str = "", **changes: Any) -> OutgoingMessage:
    content = EmailContent(**{"subject": "News", "html": "<p>Hello</p>", "text": "Hello", **changes})
    return a_message(Kind.EMAIL, to, content=content, origination=origination)
