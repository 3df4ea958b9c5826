"""The gateway over real HTTP, in the test's own event loop, before a real messaging service."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import text

from heliograph.messaging.v1 import edge_pb2
from heliograph_channels import EmailContent
from heliograph_gateway import main as gateway_main
from heliograph_gateway.config import GatewaySettings
from heliograph_kit.runtime import Runtime, running
from heliograph_messaging.domain.tracking import Signer
from tests.gateway.wire import Wire
from tests.messaging.conftest import PROJECT, SECRET, Service, Started, a_batch, start, values

__all__ = ["start", "values"]  # fixtures

URL = "https://mail.example"
HTML = '<body><a href="https://shop.example/a?x=1&amp;y=2">a</a></body>'


@dataclass
class Gateway:
    """A running gateway and a client that follows nothing by itself."""

    runtime: Runtime[GatewaySettings]
    http: httpx.AsyncClient
    host: str = ""
    port: int = 0

    def __post_init__(self) -> None:
        self.host, _, port = self.runtime.address.rpartition(":")
        self.port = int(port)

    async def raw(self, sent: bytes, *, within: float = 10) -> bytes:
        """Send bytes over a connection of their own and return all that comes back until it ends."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(sent)
            async with asyncio.timeout(within):
                return await reader.read()
        finally:
            writer.close()


@dataclass
class Letter:
    """An e-mail as it was sent: its message and the tokens of its links."""

    message_id: str
    html: str
    signer: Signer
    clicks: list[str] = field(default_factory=list)
    opens: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clicks = re.findall(rf"{URL}(/c/[A-Za-z0-9_-]+)", self.html)
        self.opens = re.findall(rf"{URL}(/o/[A-Za-z0-9_-]+\.gif)", self.html)

    @property
    def unsubscribe(self) -> str:
        return self.signer.unsubscribe_url(self.message_id).removeprefix(URL)


Opened = Callable[..., Awaitable[Gateway]]


@asynccontextmanager
async def gateway_at(target: str, **changes: Any) -> AsyncIterator[Gateway]:
    """Run a gateway before the messaging service at a target."""
    settings = GatewaySettings.model_validate(
        {
            "internal_secret": SECRET,
            "listen": "127.0.0.1:0",
            "drain_seconds": 0,
            "shutdown_grace_seconds": 3,
            "peer_messaging": f"dns:///{target}",
            "flush_seconds": 0.05,
            **changes,
        }
    )
    context = running(settings, gateway_main.build, package=gateway_main.PACKAGE, metadata=None, uses_bus=False)
    async with context as runtime, httpx.AsyncClient(base_url=f"http://{runtime.address}", timeout=20) as http:
        yield Gateway(runtime, http)


@pytest_asyncio.fixture
async def open_gateway() -> AsyncIterator[Opened]:
    """Run gateways until the end of the test."""
    async with AsyncExitStack() as stack:

        async def one(target: str, **changes: Any) -> Gateway:
            return await stack.enter_async_context(gateway_at(target, **changes))

        yield one


@pytest_asyncio.fixture
async def messaging(start: Started) -> Service:
    """A messaging service that knows where it is reached from outside, with an e-mail channel."""
    service = await start(public_url=URL)
    await service.set_up("EMAIL")
    return service


@pytest_asyncio.fixture
async def wire(messaging: Service) -> AsyncIterator[Wire]:
    """A wire to it that can be cut."""
    wire = Wire(messaging.runtime.address)
    await wire.mend()
    yield wire
    await wire.cut()


@pytest_asyncio.fixture
async def gateway(messaging: Service, open_gateway: Opened) -> Gateway:
    """A gateway before it."""
    return await open_gateway(messaging.runtime.address)


@pytest.fixture
def send() -> Callable[..., Awaitable[Letter]]:
    """Send an e-mail and return it as it was sent."""

    async def one(service: Service, html: str = HTML, run_id: str = "run1") -> Letter:
        await service.dispatch(a_batch(["a@x.example"], run_id=run_id, email_html=html, email_subject="x"))
        await service.done(1, run_id)
        message = service.scripted.sent[-1]
        assert isinstance(message.content, EmailContent)
        key = (await service.edge.GetTrackingKeys(edge_pb2.GetTrackingKeysRequest())).keys[0]
        today = service.runtime.clock.now().date()
        return Letter(message.message_id, message.content.html, Signer(key, URL, PROJECT, today=today, click_days=1))

    return one


Send = Callable[..., Awaitable[Letter]]


async def stored(service: Service, table: str = "receipts", where: str = "true") -> int:
    """Count rows of messaging."""
    async with service.runtime.database.transaction() as conn:
        query = f"SELECT count(*) FROM messaging.{table} WHERE {where}"
        return int((await conn.execute(text(query))).scalar_one())
