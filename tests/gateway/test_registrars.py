"""Calls of registries over real HTTP: handed on letter by letter, answered when they are written down, refused in bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from heliograph.registry10dlc.v1 import registrar_edge_pb2, registrar_edge_pb2_grpc
from heliograph_channel_telnyx import TelnyxRegistrar
from heliograph_channels import Decision, SubmissionKind
from heliograph_kit.clock import SystemClock
from heliograph_registry10dlc.registrar_calls import RegistrarCalls
from heliograph_registry10dlc.servicers.registrar_edge import RegistrarEdgeServicer
from tests.gateway.conftest import Gateway, gateway_at
from tests.plugins.telnyx_peer import signed
from tests.plugins.telnyx_registry_peer import EVENTS, json_of
from tests.plugins.telnyx_registry_peer import FakeRegistry as FakeTelnyx
from tests.plugins.test_telnyx_registrar import account, papers

pytestmark = pytest.mark.integration
HOOK = "/registrars/telnyx"
NOBODY = "127.0.0.1:9"  # messaging has no part in this


@dataclass
class FakeRegistry(registrar_edge_pb2_grpc.RegistrarEdgeServiceServicer):
    """Answers every call with a status, or refuses or hangs."""

    status: int = 200
    refusal: grpc.StatusCode | None = None
    hangs: bool = False
    calls: list[registrar_edge_pb2.ReceiveRegistrarWebhookRequest] = field(default_factory=list)
    metadata: list[dict[str, str]] = field(default_factory=list)

    async def ReceiveRegistrarWebhook(
        self, request: registrar_edge_pb2.ReceiveRegistrarWebhookRequest, context: Any
    ) -> registrar_edge_pb2.ReceiveRegistrarWebhookResponse:
        self.calls.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        if self.hangs:
            await asyncio.Event().wait()
        if self.refusal is not None:
            await context.abort(self.refusal, "no")
        return registrar_edge_pb2.ReceiveRegistrarWebhookResponse(status=self.status, move_count=1)


@asynccontextmanager
async def served(servicer: registrar_edge_pb2_grpc.RegistrarEdgeServiceServicer) -> AsyncIterator[str]:
    """Serve this on a port of its own and return the address."""
    server = grpc.aio.server()
    registrar_edge_pb2_grpc.add_RegistrarEdgeServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


@pytest.fixture
async def registry() -> AsyncIterator[tuple[FakeRegistry, str]]:
    fake = FakeRegistry()
    async with served(fake) as address:
        yield fake, address


@pytest.fixture
def fake(registry: tuple[FakeRegistry, str]) -> FakeRegistry:
    return registry[0]


@pytest.fixture
async def gateway(registry: tuple[FakeRegistry, str]) -> AsyncIterator[Gateway]:
    async with gateway_at(NOBODY, peer_registry10dlc=f"dns:///{registry[1]}", call_seconds=2) as gateway:
        yield gateway


async def test_a_call_reaches_the_registry_letter_by_letter(gateway: Gateway, fake: FakeRegistry) -> None:
    answer = await gateway.http.post(
        HOOK + "?b=%41&a=1+2&a=%2F",
        content=b'\x00\xff{"data": 1}',
        headers=[("Telnyx-Timestamp", "1"), ("X-Two", "s1"), ("X-Two", "s2"), ("Content-Type", "application/json")],
    )
    assert (answer.status_code, answer.text) == (200, "ok\n")
    assert answer.headers["cache-control"] == "no-store"
    (call,) = fake.calls
    assert (call.registrar, call.method, call.target) == ("telnyx", "POST", HOOK + "?b=%41&a=1+2&a=%2F")
    assert call.body == b'\x00\xff{"data": 1}'
    assert (call.headers["telnyx-timestamp"], call.headers["x-two"]) == ("1", "s1, s2")
    # It is a call between services, and says so.
    assert any("authorization" in name or "token" in name for name in fake.metadata[0])


@pytest.mark.parametrize(("status", "words"), [(400, "this cannot be read\n"), (403, "forbidden\n")])
async def test_the_answer_of_the_registry_is_the_callers(
    gateway: Gateway, fake: FakeRegistry, status: int, words: str
) -> None:
    fake.status = status
    answer = await gateway.http.post(HOOK, content=b"x")
    assert (answer.status_code, answer.text) == (status, words)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", HOOK, 405),
        ("PUT", HOOK, 405),
        ("POST", "/registrars", 404),
        ("POST", "/registrars/", 404),
        ("POST", "/registrars/Telnyx", 404),
        ("POST", "/registrars/tel%2Fnyx", 404),
        ("POST", "/registrars/tel%00nyx", 404),
        ("POST", "/registrars/telnyx/more", 404),
        ("POST", "/registrars/" + "a" * 64, 404),
    ],
)
async def test_a_call_for_nobody_reaches_nobody(
    gateway: Gateway, fake: FakeRegistry, method: str, path: str, status: int
) -> None:
    assert (await gateway.http.request(method, path)).status_code == status
    assert fake.calls == []


async def test_the_longest_name_of_a_registrar_is_handed_on(gateway: Gateway, fake: FakeRegistry) -> None:
    assert (await gateway.http.post("/registrars/" + "a" * 63)).status_code == 200
    assert fake.calls[0].registrar == "a" * 63


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (grpc.StatusCode.NOT_FOUND, 404),
        (grpc.StatusCode.INVALID_ARGUMENT, 404),
        (grpc.StatusCode.UNAVAILABLE, 503),
        (grpc.StatusCode.INTERNAL, 503),
        (grpc.StatusCode.UNIMPLEMENTED, 503),
        (grpc.StatusCode.PERMISSION_DENIED, 503),
    ],
)
async def test_a_registry_that_refuses_lets_the_caller_call_again_unless_nobody_is_there(
    gateway: Gateway, fake: FakeRegistry, refusal: grpc.StatusCode, status: int
) -> None:
    fake.refusal = refusal
    answer = await gateway.http.post(HOOK, content=b"x")
    assert answer.status_code == status
    assert answer.headers.get("retry-after") == ("5" if status == 503 else None)


async def test_a_caller_is_told_to_call_again_while_the_registry_hangs(gateway: Gateway, fake: FakeRegistry) -> None:
    fake.hangs = True
    assert (await gateway.http.post(HOOK, content=b"x")).status_code == 503


async def test_a_caller_is_told_to_call_again_while_the_registry_is_away() -> None:
    async with gateway_at(NOBODY, peer_registry10dlc=f"dns:///{NOBODY}", call_seconds=1) as gateway:
        assert (await gateway.http.post(HOOK, content=b"x")).status_code == 503


async def test_a_signed_event_of_telnyx_becomes_a_decision_and_a_forged_one_nothing() -> None:
    taken: list[Decision] = []

    async def take(decisions: Sequence[Decision]) -> int:
        taken.extend(decisions)
        return len(decisions)

    async with FakeTelnyx(fares_well=False).running() as telnyx:
        registrar = TelnyxRegistrar().configured(account(telnyx.url))
        reference = await registrar.submit(papers(SubmissionKind.NUMBER))
        telnyx.assignments["+12065550100"]["assignmentStatus"] = "ASSIGNED"
        servicer = RegistrarEdgeServicer(RegistrarCalls(registrar=registrar, take=take, clock=SystemClock()))
        event = signed(json_of(EVENTS["number assigned"]))
        async with served(servicer) as address, gateway_at(NOBODY, peer_registry10dlc=f"dns:///{address}") as gateway:
            body = event.body.replace(b"success", b"failure")
            assert (await gateway.http.post(HOOK, content=body, headers=event.headers)).status_code == 403
            assert taken == []
            assert (await gateway.http.post(HOOK, content=event.body, headers=event.headers)).status_code == 200
        await registrar.close()
    assert [(decision.reference, decision.state.value) for decision in taken] == [(reference, "READY")]


@pytest.mark.parametrize(("size", "status"), [(1024 * 1024, 200), (1024 * 1024 + 1, 413)], ids=["limit", "past it"])
async def test_a_body_has_at_most_a_megabyte(gateway: Gateway, fake: FakeRegistry, size: int, status: int) -> None:
    assert (await gateway.http.post(HOOK, content=b"x" * size)).status_code == status
    assert len(fake.calls) == (status == 200)
