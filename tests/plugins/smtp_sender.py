"""An opened channel SMTP, and the real servers it sends to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from heliograph_channel_smtp import SmtpChannel
from heliograph_channels import EmailContent, Kind, OutgoingMessage, Sender
from heliograph_channels.testing import RecordingContext, a_message
from tests.plugins.smtp_servers import PASSWORD, USER, RealServer

PLAIN: dict[str, object] = {"host": "127.0.0.1", "security": "none", "from_address": "News <news@example.com>"}


@pytest.fixture(scope="module")
def secure_server(certificate: tuple[Path, Path]) -> Iterator[RealServer]:
    with RealServer(certificate=certificate, login=True) as server:
        yield server


@pytest.fixture
def plain_server() -> Iterator[RealServer]:
    with RealServer() as server:
        yield server


def secure_settings(server: RealServer, certificate: tuple[Path, Path]) -> dict[str, object]:
    return {
        "host": "127.0.0.1",
        "port": server.port,
        "ca_file": str(certificate[0]),
        "username": USER,
        "password": PASSWORD,
        "from_address": "news@example.com",
        "connections": 4,
    }


@asynccontextmanager
async def sender_for(port: int, **changes: object) -> AsyncIterator[Sender]:
    settings = {**PLAIN, "port": port, **changes}
    assert list(SmtpChannel().check_settings(settings)) == []
    sender = await SmtpChannel().open(settings, RecordingContext().context)
    try:
        yield sender
    finally:
        await sender.close()


def mail(to: str = "ann@example.com", **changes: object) -> OutgoingMessage:
    content: dict[str, object] = {"subject": "News", "html": "<p>Hello</p>", "text": "Hello"}
    origination = str(changes.pop("origination", ""))
    return a_message(Kind.EMAIL, to, content=EmailContent(**{**content, **changes}), origination=origination)  # type: ignore[arg-type]
