"""Calls of registries: understood by the plugin in use, written down, and answered as the edge hands it on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from heliograph.registry10dlc.v1 import registrar_edge_pb2
from heliograph_channels import Decision, DecisionState, Forged, Registrar, Submission, WebhookRequest
from heliograph_kit.clock import Clock
from heliograph_kit.errors import NotFound, Unavailable
from heliograph_registry10dlc.registrar_calls import Answer, RegistrarCalls
from heliograph_registry10dlc.servicers.registrar_edge import RegistrarEdgeServicer

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TOLD = Decision("r1", DecisionState.VERIFIED, NOW)
CALL = WebhookRequest("POST", "/registrars/scripted?a=%41", {"x-signature": "s"}, b"body")


class Scripted(Registrar):
    """Understands calls as it is told to."""

    name = "scripted"

    def __init__(self, told: Sequence[Decision] = (TOLD,), fault: Exception | None = None, seconds: float = 0) -> None:
        self.told = told
        self.fault = fault
        self.seconds = seconds
        self.seen: list[tuple[WebhookRequest, datetime]] = []

    async def submit(self, submission: Submission) -> str:
        return "r1"

    async def poll(self, references: Sequence[str], now: datetime) -> Sequence[Decision]:
        return []

    async def webhook(self, request: WebhookRequest, now: datetime) -> Sequence[Decision]:
        self.seen.append((request, now))
        await asyncio.sleep(self.seconds)
        if self.fault is not None:
            raise self.fault
        return self.told


class Standing(Clock):
    """A clock that stands still."""

    def now(self) -> datetime:
        return NOW


class Book:
    """Writes each decision down once."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.decisions: list[Decision] = []

    async def take(self, decisions: Sequence[Decision]) -> int:
        if self.fault is not None:
            raise self.fault
        fresh = [decision for decision in decisions if decision not in self.decisions]
        self.decisions.extend(fresh)
        return len(fresh)


def calls_of(registrar: Registrar, book: Book, **more: Any) -> RegistrarCalls:
    return RegistrarCalls(registrar=registrar, take=book.take, clock=Standing(), **more)


async def test_what_a_call_tells_is_written_down_once() -> None:
    registrar, book = Scripted(), Book()
    calls = calls_of(registrar, book, public_url="https://heliograph.example")
    assert await calls.receive("scripted", CALL) == Answer(200, 1)
    assert await calls.receive("scripted", CALL) == Answer(200, 0)
    assert book.decisions == [TOLD]
    request, now = registrar.seen[0]
    assert (request.url, request.headers, request.body) == (
        "https://heliograph.example/registrars/scripted?a=%41", {"x-signature": "s"}, b"body",
    )  # fmt: skip
    assert now == NOW


async def test_a_call_that_tells_nothing_is_good() -> None:
    book = Book(RuntimeError("not asked"))
    assert await calls_of(Scripted(told=()), book).receive("scripted", CALL) == Answer(200, 0)


@pytest.mark.parametrize(
    ("fault", "status"),
    [(Forged("no signature"), 403), (ValueError("no event"), 400), (UnicodeDecodeError("utf-8", b"", 0, 1, "x"), 400)],
)
async def test_what_cannot_be_believed_or_read_leaves_nothing(fault: Exception, status: int) -> None:
    book = Book()
    assert await calls_of(Scripted(fault=fault), book).receive("scripted", CALL) == Answer(status, 0)
    assert book.decisions == []


@pytest.mark.parametrize("fault", [RuntimeError("broken"), OSError("away"), TimeoutError()], ids=repr)
async def test_a_plugin_that_breaks_lets_the_registry_call_again(fault: Exception) -> None:
    with pytest.raises(Unavailable):
        await calls_of(Scripted(fault=fault), Book()).receive("scripted", CALL)


async def test_a_plugin_has_so_many_seconds() -> None:
    calls = calls_of(Scripted(seconds=30), Book(), seconds=0.05)
    began = asyncio.get_running_loop().time()
    with pytest.raises(Unavailable):
        await calls.receive("scripted", CALL)
    assert asyncio.get_running_loop().time() - began < timedelta(seconds=10).total_seconds()


async def test_decisions_that_cannot_be_written_down_are_no_answer() -> None:
    with pytest.raises(ConnectionError):
        await calls_of(Scripted(), Book(ConnectionError("the database is away"))).receive("scripted", CALL)


@pytest.mark.parametrize("name", ["", "telnyx", "Scripted"])
async def test_only_the_registrar_in_use_takes_calls(name: str) -> None:
    registrar = Scripted()
    with pytest.raises(NotFound):
        await calls_of(registrar, Book()).receive(name, CALL)
    assert registrar.seen == []


async def test_the_servicer_hands_on_and_translates() -> None:
    registrar, book = Scripted(), Book()
    request = registrar_edge_pb2.ReceiveRegistrarWebhookRequest(
        registrar="scripted", method="POST", target=CALL.url, headers={"x-signature": "s"}, body=b"body"
    )
    answer = await RegistrarEdgeServicer(calls_of(registrar, book)).ReceiveRegistrarWebhook(request, None)
    assert (answer.status, answer.move_count) == (200, 1)
    assert registrar.seen[0][0] == CALL
