"""Calls of providers over real HTTP: handed on letter by letter, answered when they are stored, and refused in bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from heliograph.messaging.v1 import channels_pb2, channels_pb2_grpc, events_pb2
from heliograph_channels import Forged, InboundMessage, Kind, Receipt, ReceiptKind, Received, WebhookRequest
from heliograph_kit.auth import InternalTokens
from heliograph_kit.rpc import channel
from heliograph_kit.testing import eventually
from heliograph_kit.testing.processes import ServiceProcess
from heliograph_messaging.providers import webhook_url
from tests.gateway.conftest import URL, Gateway, Opened, gateway_at, stored
from tests.gateway.slow_messaging import BEGUN
from tests.messaging.conftest import SECRET, Service, Values, a_batch

pytestmark = pytest.mark.integration
HOOK = "/hooks/shop/sms"
NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)


def a_message(id: str = "in1") -> InboundMessage:
    return InboundMessage(id, Kind.SMS, "+14255550182", "+12125550101", "JOIN us", NOW)


@pytest.fixture
async def calls(messaging: Service) -> list[WebhookRequest]:
    """An SMS channel whose plugin understands every call as one message; the calls it saw."""
    await messaging.set_up("SMS")
    seen: list[WebhookRequest] = []

    async def understand(request: WebhookRequest) -> Received:
        seen.append(request)
        return Received((), (a_message(),), 201, b"<Response/>", "text/xml; charset=utf-8")

    messaging.scripted.understand = understand
    return seen


async def test_a_call_reaches_the_plugin_letter_by_letter_and_its_answer_the_caller(
    messaging: Service, gateway: Gateway, calls: list[WebhookRequest]
) -> None:
    answer = await gateway.http.post(
        HOOK + "?b=%41&a=1+2&a=%2F",
        content=b"\x00\xffBody=Hi",
        headers=[("X-Signature", "s1"), ("X-Signature", "s2"), ("Content-Type", "application/x-www-form-urlencoded")],
    )
    assert (answer.status_code, answer.content) == (201, b"<Response/>")
    assert answer.headers["content-type"] == "text/xml; charset=utf-8"
    (call,) = calls
    assert (call.method, call.url, call.body) == (
        "POST", f"{webhook_url(URL, 'shop', 'SMS')}?b=%41&a=1+2&a=%2F", b"\x00\xffBody=Hi",
    )  # fmt: skip
    assert (call.headers["x-signature"], call.headers["content-type"]) == (
        "s1, s2", "application/x-www-form-urlencoded",
    )  # fmt: skip
    assert await stored(messaging, "inbound_messages") == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", HOOK + "?hub.challenge=1"), ("HEAD", HOOK), ("POST", "/hooks/shop/SMS")],
)
async def test_calls_come_in_all_these_ways(
    gateway: Gateway, calls: list[WebhookRequest], method: str, path: str
) -> None:
    answer = await gateway.http.request(method, path)
    assert (answer.status_code, calls[0].method) == (201, method)
    assert answer.content == (b"" if method == "HEAD" else b"<Response/>")


async def test_a_further_provider_of_the_channel_calls_at_its_own_address(
    messaging: Service, gateway: Gateway, calls: list[WebhookRequest]
) -> None:
    route = channels_pb2.Route(name="projects/shop/channels/SMS/routes/backup", provider="second", enabled=True)
    await messaging.channels.UpdateRoute(channels_pb2.UpdateRouteRequest(route=route))
    seen: list[str] = []

    async def understand(request: WebhookRequest) -> Received:
        seen.append(request.url)
        return Received(status=204)

    messaging.second.understand = understand
    assert (await gateway.http.post(f"{HOOK}/backup")).status_code == 204
    assert seen == [webhook_url(URL, "shop", "SMS", "backup")]
    assert not calls


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/hooks/other/sms", 404),
        ("POST", "/hooks/shop/push", 404),
        ("POST", "/hooks/shop/sms/another", 404),
        ("POST", "/hooks/shop/sms/another/more", 404),
        ("POST", "/hooks/shop/s%2Fm", 404),
        ("POST", "/hooks/sh%00op/sms", 404),
        ("POST", "/hooks/shop", 404),
        ("POST", "/hooks/..%2f/sms", 404),
        ("PUT", HOOK, 405),
        ("DELETE", HOOK, 405),
    ],
)
async def test_a_call_for_nobody_is_answered_alike(
    gateway: Gateway, calls: list[WebhookRequest], method: str, path: str, status: int
) -> None:
    assert (await gateway.http.request(method, path)).status_code == status
    assert not calls


async def test_a_forged_call_is_answered_403(messaging: Service, gateway: Gateway, calls: list[WebhookRequest]) -> None:
    async def forged(request: WebhookRequest) -> Received:
        raise Forged("no signature")

    messaging.scripted.understand = forged
    answer = await gateway.http.post(HOOK, content=b"x")
    assert (answer.status_code, answer.content) == (403, b"forbidden\n")
    assert await stored(messaging, "inbound_messages") == 0


@pytest.mark.parametrize(("size", "status"), [(1024 * 1024, 201), (1024 * 1024 + 1, 413)], ids=["limit", "past it"])
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_has_at_most_a_megabyte(
    gateway: Gateway, calls: list[WebhookRequest], size: int, status: int, chunked: bool
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, size, 65_536):
            yield b"x" * min(65_536, size - start)

    answer = await gateway.http.post(HOOK, content=pieces() if chunked else b"x" * size)
    assert answer.status_code == status
    assert len(calls) == (status == 201)


async def test_a_body_that_says_it_is_huge_is_refused_before_it_comes(gateway: Gateway, calls: Any) -> None:
    head = f"POST {HOOK} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\n".encode()
    assert (await gateway.raw(head)).startswith(b"HTTP/1.1 413 ")
    assert not calls


async def test_the_same_call_a_hundred_times_at_once_counts_once(
    messaging: Service, gateway: Gateway, calls: list[WebhookRequest]
) -> None:
    await messaging.dispatch(a_batch(["a@x.example"]))
    await messaging.done(1)
    receipt = Receipt("r1", ReceiptKind.DELIVERED, NOW, message_id=messaging.scripted.sent[0].message_id)

    async def understand(request: WebhookRequest) -> Received:
        return Received((receipt,), (a_message(),))

    messaging.scripted.understand = understand
    answers = await asyncio.gather(*(gateway.http.post(HOOK, content=b"x") for _ in range(100)))
    assert {answer.status_code for answer in answers} == {200}
    assert await stored(messaging, "inbound_messages") == 1
    # A receipt belongs to the channel of its call, and still finds its message.
    types = [event.type for event in await messaging.events(2)]
    assert types.count(events_pb2.MESSAGE_EVENT_TYPE_DELIVERED) == 1
    assert len(await messaging.inbound(1)) == 1


@asynccontextmanager
async def away(database_url: str) -> AsyncIterator[None]:
    """Let nobody into a database while the block runs, and throw out who is in it."""
    url = make_url(database_url).set(drivername="postgresql")
    name = sql.Identifier(url.database or "")
    dsn = url.set(database="postgres").render_as_string(hide_password=False)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as conn:
        await conn.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        await conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [url.database])
        try:
            yield
        finally:
            await conn.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))


async def test_a_provider_is_told_to_call_again_while_the_database_is_away(
    messaging: Service, gateway: Gateway, calls: list[WebhookRequest], values: Values
) -> None:
    assert (await gateway.http.post(HOOK, content=b"x")).status_code == 201
    async with away(values["database_url"]):
        answer = await gateway.http.post(HOOK, content=b"x")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")

    async def stored_again() -> bool:
        return (await gateway.http.post(HOOK, content=b"x")).status_code == 201

    await eventually(stored_again)
    assert await stored(messaging, "inbound_messages") == 1


def a_process(values: Values, directory: Path, seconds: float, port: int | None = None) -> ServiceProcess:
    shared = {
        f"HELIOGRAPH_{name.upper()}": str(values[name]) for name in ("database_url", "nats_url", "internal_secret")
    }
    return ServiceProcess(
        "tests.gateway.slow_messaging",
        service="messaging",
        directory=directory,
        environment={"TEST_SECONDS": str(seconds), **shared},
        port=port,
    )


async def test_a_call_is_not_lost_with_a_messaging_that_is_killed_over_it(values: Values, tmp_path: Path) -> None:
    with a_process(values, tmp_path, 60) as slow:
        async with gateway_at(slow.address) as gateway:
            await _set_up_sms(slow.address)
            calling = asyncio.create_task(gateway.http.post(HOOK, content=b"in7"))
            await eventually(lambda: BEGUN in slow.logs)
            slow.kill()
            assert (await calling).status_code == 503
            with a_process(values, tmp_path, 0, int(slow.address.rpartition(":")[2])):

                async def taken() -> bool:
                    return (await gateway.http.post(HOOK, content=b"in7")).status_code == 200

                await eventually(taken)
                assert (await gateway.http.post(HOOK, content=b"in7")).status_code == 200
    url = make_url(values["database_url"]).set(drivername="postgresql")
    async with await psycopg.AsyncConnection.connect(url.render_as_string(hide_password=False)) as conn:
        rows = await (await conn.execute("SELECT inbound_id FROM messaging.inbound_messages")).fetchall()
    assert rows == [("in7",)]


async def _set_up_sms(address: str) -> None:
    to = channel(address, tokens=InternalTokens(SECRET), caller="tests")
    stub: channels_pb2_grpc.ChannelServiceAsyncStub = channels_pb2_grpc.ChannelServiceStub(to)
    sms = channels_pb2.Channel(name="projects/shop/channels/SMS", provider="scripted", enabled=True)
    await stub.UpdateChannel(channels_pb2.UpdateChannelRequest(channel=sms))
    await to.close(grace=None)


async def test_a_provider_is_told_to_call_again_while_messaging_hangs(
    messaging: Service, open_gateway: Opened, calls: list[WebhookRequest]
) -> None:
    gateway = await open_gateway(messaging.runtime.address, call_seconds=0.3)

    async def hangs(request: WebhookRequest) -> Received:
        await asyncio.Event().wait()
        raise AssertionError

    messaging.scripted.understand = hangs
    answer: httpx.Response = await gateway.http.post(HOOK, content=b"x")
    assert answer.status_code == 503
