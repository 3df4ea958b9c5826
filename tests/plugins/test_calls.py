"""The bases of channels that make one call per message, the settings they share, and tables of meanings."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from heliograph_channels import (
    Accepted,
    Capabilities,
    Health,
    Kind,
    OutgoingMessage,
    Problem,
    ProviderContext,
    Rejected,
    RejectReason,
    SendResult,
    SmsContent,
    Unknown,
    Unsupported,
    problems_of,
    secret_fields,
)
from heliograph_channels.call_settings import CA_FILE, TIMEOUT, call_settings, secret_word
from heliograph_channels.calls import CallProvider, CallSender, Values, refused
from heliograph_channels.http_client import Answer, NoAnswer, NotSent, Pause
from heliograph_channels.meanings import Meaning, meanings
from heliograph_channels.testing import RecordingContext, a_message

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GONE = RejectReason.ADDRESS_GONE
Make = Callable[[], Awaitable[Answer | Rejected]]


class AcmeSender(CallSender[SmsContent]):
    """Makes the call it is given."""

    takes = SmsContent
    provider = "Acme"

    def __init__(self, settings: Values, context: ProviderContext, make: Make | None = None) -> None:
        super().__init__(context)
        self.settings = settings
        self.make = make or self.good
        self.pause: Pause | None = None
        self.closed = False
        self.calls = 0

    @property
    def is_closed(self) -> bool:
        return self.closed

    async def good(self) -> Answer:
        return Answer(200, {})

    async def send(self, message: OutgoingMessage, content: SmsContent) -> SendResult:
        def counted() -> Awaitable[Answer | Rejected]:
            self.calls += 1
            return self.make()

        return await self.exchange(
            counted, lambda answer: Accepted(f"{content.body} {answer.status}"), pause=self.pause
        )

    async def health(self) -> Health:
        return Health(True)

    async def close(self) -> None:
        self.closed = True


class Acme(CallProvider):
    """Has room for 40 calls in batches of 10."""

    name = "sms-acme"
    kinds = frozenset({Kind.SMS, Kind.PUSH})
    capabilities = Capabilities(batch_size=10, concurrency=3, receipts=True, inbound=True, webhook=True, media=True)
    settings_schema: Mapping[str, object] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "token": secret_word("The token."),
            **call_settings(batch=10, connections=40, most=200, of_connections="Most calls."),
        },
    }

    def sender(self, settings: Values, context: ProviderContext) -> AcmeSender:
        return AcmeSender(settings, context)

    def further_problems(self, settings: Mapping[str, object]) -> Iterable[Problem]:
        yield Problem("token", "is never good")

    def further_address_problem(self, address: str) -> str | None:
        return "is too long" if len(address) > 20 else None


class Proven(Acme):
    """Promises webhooks with a token alone."""

    proof = "token"


def a_sender(make: Make | None = None) -> AcmeSender:
    return AcmeSender({}, replace(RecordingContext().context, now=lambda: NOW), make)


def sms(body: str = "x") -> OutgoingMessage:
    return a_message(Kind.SMS, "+12065550100", content=SmsContent(body))


def raising(error: Exception) -> Make:
    async def make() -> Answer:
        raise error

    return make


def answering(status: int, **headers: str) -> Make:
    async def make() -> Answer:
        return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()})

    return make


async def rejecting() -> Rejected:
    return refused(RejectReason.CREDENTIALS, "no token")


@pytest.mark.parametrize(
    ("settings", "concurrency"),
    [({}, 4), ({"connections": 10}, 1), ({"connections": 9}, 1), ({"connections": 39}, 3), ({"connections": "x"}, 3)],
    ids=["the default", "room for one batch", "less", "what fits whole", "no number"],
)
def test_as_many_batches_go_at_once_as_there_is_room_for(settings: dict[str, object], concurrency: int) -> None:
    assert Acme().capabilities_for(settings).concurrency == concurrency


@pytest.mark.parametrize(
    ("provider", "settings", "promised"),
    [
        (Acme(), {}, True),
        (Proven(), {"token": "t" * 16}, True),
        (Proven(), {}, False),
        (Proven(), {"token": ""}, False),
    ],
    ids=["needs no proof", "with its proof", "without", "with an empty one"],
)
def test_what_comes_by_webhook_is_promised_only_with_proof(
    provider: Acme, settings: dict[str, object], promised: bool
) -> None:
    able = provider.capabilities_for(settings)
    assert (able.receipts, able.inbound, able.webhook, able.media) == (promised, promised, promised, True)


async def test_a_provider_checks_what_its_schema_cannot_say_and_opens_with_defaults() -> None:
    acme = Acme()
    assert [problem.field for problem in acme.check_settings({"connections": 9})] == ["connections", "token"]
    assert [acme.check_address(Kind.PUSH, address) for address in ("a" * 20, "a" * 21, "a b")] == [
        None, "is too long", "holds a blank or a control character",
    ]  # fmt: skip
    sender = await acme.open({"timeout": 3}, RecordingContext().context)
    assert isinstance(sender, AcmeSender)
    assert sender.settings == {"timeout": 3, "connections": 40}


async def test_messages_of_a_batch_are_under_way_at_once_and_answered_in_their_order() -> None:
    together = asyncio.Barrier(3)

    async def meet() -> Answer:
        async with asyncio.timeout(10):
            await together.wait()
        return Answer(201, {})

    results = await a_sender(meet).send_batch([sms("a"), sms("b"), sms("c")])
    assert results == [Accepted("a 201"), Accepted("b 201"), Accepted("c 201")]
    assert await a_sender().send_batch([]) == []


@pytest.mark.parametrize(
    ("make", "result"),
    [
        (answering(500), Accepted("x 500")),
        (raising(NotSent("away")), Rejected(RejectReason.UNAVAILABLE, retryable=True, detail="away")),
        (raising(NoAnswer("lost")), Unknown("lost")),
        (rejecting, Rejected(RejectReason.CREDENTIALS, retryable=False, detail="no token")),
    ],
    ids=["whatever is answered", "not sent", "not answered", "rejected before it was sent"],
)
async def test_what_came_of_a_call(make: Make, result: SendResult) -> None:
    assert await a_sender(make).send_batch([sms()]) == [result]


async def test_what_a_call_raises_beside_is_raised() -> None:
    with pytest.raises(LookupError):
        await a_sender(raising(LookupError())).send_batch([sms()])


async def test_content_of_another_kind_is_unsupported() -> None:
    sender = a_sender()
    push = a_message(Kind.PUSH, "token")
    assert await sender.send_batch([push]) == [Unsupported("PushContent")]
    assert sender.calls == 0


@pytest.mark.parametrize(("status", "waits"), [(429, True), (503, True), (500, False), (200, False)])
async def test_who_asks_to_be_left_alone_is_until_it_is_over(status: int, waits: bool) -> None:
    now = NOW
    sender = AcmeSender({}, replace(RecordingContext().context, now=lambda: now), answering(status, retry_after="30"))
    await sender.send_batch([sms()])
    ((second),) = await sender.send_batch([sms()])
    told = Rejected(
        RejectReason.THROTTLED, retryable=True, detail="Acme asked to be left alone until 12:00:30 UTC"
    )  # fmt: skip
    assert (second == told, sender.calls) == (waits, 1 if waits else 2)
    now = NOW + timedelta(seconds=30)
    await sender.send_batch([sms()])
    assert sender.calls == (2 if waits else 3)


async def test_a_status_that_means_one_recipient_holds_nobody_else_back() -> None:
    sender = a_sender(answering(429, retry_after="30"))
    sender.holds_back = frozenset({503})  # type: ignore[misc]  # of this sender alone
    await sender.send_batch([sms()])
    assert await sender.send_batch([sms()]) == [Accepted("x 429")]


async def test_one_of_several_providers_has_a_pause_of_its_own() -> None:
    sender = a_sender(answering(503, retry_after="30"))
    sender.pause = Pause()
    await sender.send_batch([sms()])
    sender.pause = Pause()
    assert await sender.send_batch([sms()]) == [Accepted("x 503")]


async def test_a_closed_sender_does_not_say_that_somebody_wants_to_be_left_alone() -> None:
    sender = a_sender(answering(503, retry_after="30"))
    await sender.send_batch([sms()])
    await sender.close()
    sender.make = raising(NotSent("the channel is closed"))
    assert await sender.send_batch([sms()]) == [
        Rejected(RejectReason.UNAVAILABLE, retryable=True, detail="the channel is closed")
    ]


@pytest.mark.parametrize(
    ("piece", "value", "good"),
    [
        (CA_FILE, "a", True), (CA_FILE, "", False),
        (TIMEOUT, 25, True), (TIMEOUT, 25.1, False), (TIMEOUT, 0.001, True), (TIMEOUT, 0, False),
        (secret_word("x"), "s" * 16, True), (secret_word("x"), "s" * 15, False), (secret_word("x"), "s" * 200, True),
        (secret_word("x"), "s" * 201, False), (secret_word("x"), "s" * 15 + " ", False), (secret_word("x"), "s" * 16 + "\n", False),
    ],
)  # fmt: skip
def test_shared_settings_keep_to_their_range(piece: dict[str, object], value: object, good: bool) -> None:
    assert (problems_of(piece, value) == []) == good  # type: ignore[arg-type]  # a piece is a schema of one value


@pytest.mark.parametrize(("connections", "good"), [(9, False), (10, True), (200, True), (201, False)])
def test_connections_are_enough_for_a_batch_and_not_too_many(connections: int, good: bool) -> None:
    schema: dict[str, Any] = dict(Acme.settings_schema)
    assert (problems_of(schema, {"connections": connections}) == []) == good
    assert secret_fields(schema) == {"token"}


def test_a_word_means_what_it_is_listed_for_and_words_are_cut_at_500() -> None:
    table = meanings(final={GONE: ("a", "b")}, later={RejectReason.THROTTLED: ["c"]})
    assert table == {"a": Meaning(GONE, False), "b": Meaning(GONE, False), "c": Meaning(RejectReason.THROTTLED, True)}
    assert table["c"].rejected("w" * 500) == Rejected(RejectReason.THROTTLED, True, "w" * 500)
    assert table["a"].rejected("w" * 501) == Rejected(GONE, False, "w" * 500)


@pytest.mark.parametrize(
    ("final", "later"),
    [
        ({GONE: (1, 1)}, {}),
        ({GONE: (1,), RejectReason.BLOCKED: (1,)}, {}),
        ({GONE: (1,)}, {RejectReason.REFUSED: (1,)}),
    ],
    ids=["for one reason", "for two", "final and later"],
)
def test_a_word_that_is_listed_twice_is_a_mistake(
    final: dict[RejectReason, tuple[int, ...]], later: dict[RejectReason, tuple[int, ...]]
) -> None:
    with pytest.raises(ValueError, match="1 is listed twice"):
        meanings(final=final, later=later)
