"""The webhook channel against a real HTTP server on loopback: payload, signature, answers, attempts, handshake."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from heliograph_channel_webhook import WebhookChannel, sign, verify
from heliograph_channel_webhook.attempts import combined, pause_after
from heliograph_channels import (
    Accepted,
    ChannelProvider,
    CustomContent,
    Kind,
    OutgoingMessage,
    Rejected,
    RejectReason,
    Sender,
    SendResult,
    Unknown,
)
from heliograph_channels.testing import ChannelContract, RecordingContext, a_message
from tests.plugins.http_peers import Act, Call, HttpPeer, Reply, answering, dribbling, dropping, garbling, silent
from tests.plugins.smtp_servers import make_certificate

SECRET = "an-unmistakable-secret-of-the-receiver"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass
class Receiver(HttpPeer):
    """Somebody's webhook. HEAD is answered with the headers of `known_as`; `posts` are the calls that carry messages."""

    known_as: tuple[tuple[str, str], ...] = ()

    def answer(self, call: Call) -> Reply:
        return Reply(200, headers=self.known_as if call.method == "HEAD" else ())

    @property
    def url(self) -> str:
        return f"{self.base_url}/hook"

    @property
    def posts(self) -> list[Call]:
        return [call for call in self.calls if call.method == "POST"]


@dataclass
class Pauses:
    """The pauses between attempts, which take no time here."""

    taken: list[float] = field(default_factory=list)

    async def sleep(self, seconds: float) -> None:
        self.taken.append(seconds)


def settings_for(url: str, **changes: object) -> dict[str, object]:
    return {"url": url, "secret": SECRET, "allow_insecure_loopback": True, **changes}


@asynccontextmanager
async def sender_for(
    url: str, pauses: Pauses | None = None, recording: RecordingContext | None = None, **changes: object
) -> AsyncIterator[Sender]:
    settings = settings_for(url, **changes)
    channel = WebhookChannel(sleep=(pauses or Pauses()).sleep, jitter=lambda: 0.0)
    assert list(channel.check_settings(settings)) == []
    sender = await channel.open(settings, (recording or RecordingContext("shop")).context)
    try:
        yield sender
    finally:
        await sender.close()


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver().running() as receiver:
        yield receiver


def message(number: int = 1, data: str = "hello", **attributes: str) -> OutgoingMessage:
    return a_message(
        Kind.CUSTOM,
        f"address-{number}",
        message_id=f"{number:032x}",
        content=CustomContent(data, {"ChannelType": "CUSTOM", "Id": f"e{number}", "Attributes": {"a": ["b"]}}),
        attributes={"campaign_id": "c1", "endpoint_id": f"e{number}", **attributes},
    )


class TestWebhookContract(ChannelContract):
    kind = Kind.CUSTOM
    good_address = "anything"
    bad_addresses = ("a b", "x" * 5000)

    @pytest.fixture
    def provider(self) -> ChannelProvider:
        return WebhookChannel()

    @pytest.fixture
    def settings(self, receiver: Receiver) -> Mapping[str, object]:
        return settings_for(receiver.url, idempotent_receiver=True)


# What is sent


async def test_the_payload_is_the_one_of_pinpoints_custom_channel(receiver: Receiver) -> None:
    async with sender_for(receiver.url) as sender:
        await sender.send_batch([message(1, treatment_id="2"), message(2, treatment_id="2")])
    (call,) = receiver.posts
    assert call.headers["content-type"] == "application/json"
    assert call.json == {
        "Message": {},
        "Data": "hello",
        "ApplicationId": "shop",
        "CampaignId": "c1",
        "TreatmentId": "2",
        "ActivityId": "",
        "ScheduledTime": "",
        "MessageIds": {"e1": f"{1:032x}", "e2": f"{2:032x}"},
        "Endpoints": {
            "e1": {"Address": "address-1", "ChannelType": "CUSTOM", "Attributes": {"a": ["b"]}},
            "e2": {"Address": "address-2", "ChannelType": "CUSTOM", "Attributes": {"a": ["b"]}},
        },
    }


async def test_a_call_is_signed_and_the_receiver_can_check_it(receiver: Receiver) -> None:
    async with sender_for(receiver.url) as sender:
        await sender.send_batch([message()])
    (call,) = receiver.posts
    now = time.time()
    assert verify(SECRET, call.headers, call.body, now)
    assert not verify(SECRET, call.headers, call.body + b" ", now)
    assert not verify(SECRET + "x", call.headers, call.body, now)
    assert not verify(SECRET, call.headers, call.body, now + 301)
    assert not verify(SECRET, {}, call.body, now)
    forged = {**call.headers, "x-heliograph-timestamp": str(int(now) + 1)}
    assert not verify(SECRET, forged, call.body, now)
    assert sign(SECRET, 1, b"x") != sign(SECRET, 11, b"x"[1:])


async def test_fifty_endpoints_are_one_call(receiver: Receiver) -> None:
    assert WebhookChannel().capabilities.batch_size == 50
    async with sender_for(receiver.url) as sender:
        results = await sender.send_batch([message(n) for n in range(50)])
    assert [type(result) for result in results] == [Accepted] * 50
    assert [len(call.json["Endpoints"]) for call in receiver.posts] == [50]


async def test_messages_are_grouped_by_data_and_origin_and_no_endpoint_comes_twice_in_a_call(
    receiver: Receiver,
) -> None:
    batch = [
        message(1),
        message(2, data="other"),
        message(3),
        message(4, campaign_id="c2"),
        message(5, endpoint_id="e1"),
    ]
    async with sender_for(receiver.url) as sender:
        results = await sender.send_batch(batch)
    assert [type(result) for result in results] == [Accepted] * 5
    calls = sorted(tuple(call.json["MessageIds"].values()) for call in receiver.posts)
    assert [[int(item, 16) for item in call] for call in calls] == [[1, 3], [2], [4], [5]]


async def test_the_batch_id_is_the_same_when_the_same_messages_are_sent_again(receiver: Receiver) -> None:
    async with sender_for(receiver.url) as sender:
        await sender.send_batch([message(1), message(2)])
        await sender.send_batch([message(2), message(1)])
        await sender.send_batch([message(1)])
    keys = [call.headers["x-pinpoint-batch-id"] for call in receiver.posts]
    assert keys[0] == keys[1] != keys[2]
    assert [call.headers["idempotency-key"] for call in receiver.posts] == keys


async def test_what_json_does_not_know_is_refused_for_that_message_only(receiver: Receiver) -> None:
    bad = [
        a_message(Kind.CUSTOM, "a", content=CustomContent("x", {"value": float("nan")})),
        a_message(Kind.CUSTOM, "a", content=CustomContent("x", {"value": object()})),
        a_message(Kind.CUSTOM, "a", content=CustomContent("\ud800", {})),
    ]
    async with sender_for(receiver.url) as sender:
        results = await sender.send_batch([*bad, message()])
    assert [getattr(result, "reason", "accepted") for result in results] == ["INVALID_CONTENT"] * 3 + ["accepted"]


@pytest.mark.parametrize(
    ("data", "taken"),
    [("x" * 5120, True), ("x" * 5121, False), ("\u20ac" * 1706, True), ("\u20ac" * 1707, False)],
    ids=["5 KiB", "a byte more", "5,118 bytes", "5,121 bytes"],
)
async def test_data_has_at_most_five_kibibytes(receiver: Receiver, data: str, taken: bool) -> None:
    async with sender_for(receiver.url) as sender:
        (result,) = await sender.send_batch([message(data=data)])
    if taken:
        assert isinstance(result, Accepted)
    else:
        assert isinstance(result, Rejected)
        assert (result.reason, result.retryable, receiver.calls) == (RejectReason.INVALID_CONTENT, False, [])
        assert "5,120 bytes" in result.detail


# What answers mean


@pytest.mark.parametrize(
    ("status", "reason", "retryable", "attempts"),
    [
        (301, RejectReason.REFUSED, False, 1),
        (400, RejectReason.REFUSED, False, 1),
        (401, RejectReason.CREDENTIALS, False, 1),
        (403, RejectReason.CREDENTIALS, False, 1),
        (404, RejectReason.REFUSED, False, 1),
        (413, RejectReason.INVALID_CONTENT, False, 1),
        (429, RejectReason.THROTTLED, True, 3),
        (500, RejectReason.UNAVAILABLE, True, 3),
        (503, RejectReason.UNAVAILABLE, True, 3),
    ],
)
async def test_an_answer_means_the_same_for_every_message_of_the_call(
    receiver: Receiver, status: int, reason: RejectReason, retryable: bool, attempts: int
) -> None:
    receiver.acts(*[answering(status, b"", ("Location", f"{receiver.base_url}/elsewhere"))] * 3)
    async with sender_for(receiver.url) as sender:
        results = await sender.send_batch([message(1), message(2)])
    assert [call.target for call in receiver.calls] == ["/hook"] * attempts
    for result in results:
        assert isinstance(result, Rejected)
        assert (result.reason, result.retryable) == (reason, retryable)
        assert str(status) in result.detail


async def test_a_receiver_that_is_not_there_certainly_has_nothing() -> None:
    async with Receiver().running() as receiver:
        url = receiver.url
    async with sender_for(url) as sender:
        (result,) = await sender.send_batch([message()])
        assert isinstance(result, Rejected)
        assert (result.reason, result.retryable) == (RejectReason.UNAVAILABLE, True)
        assert not (await sender.health()).ok


async def test_the_receivers_attributes_come_back_for_journeys_to_branch_on(receiver: Receiver) -> None:
    many = {f"k{n}": "v" for n in range(9)}
    told = {
        "e1": {"EventAttributes": {"paid": "yes", "n": 1, "long": "x" * 129, "x" * 129: "long"}},
        "e2": {"EventAttributes": many},
        "e3": 7,
    }
    receiver.acts(answering(200, json.dumps(told).encode()))
    async with sender_for(receiver.url) as sender:
        first, second, third = await sender.send_batch([message(1), message(2), message(3)])
    assert first == Accepted(f"{1:032x}", {"paid": "yes"})
    assert isinstance(second, Accepted)
    assert len(second.attributes) == 5
    assert third == Accepted(f"{3:032x}")


@pytest.mark.parametrize(
    "act",
    [
        answering(200, b"not json"),
        answering(200, b"[" * 5000),
        answering(200, b"x" * 10_000_000),
        answering(200, b"{}", ("Content-Encoding", "gzip")),
        dribbling(200),
    ],
    ids=["no json", "deep", "10 MB", "packed", "never ends"],
)
async def test_a_useless_answer_does_not_undo_the_success(receiver: Receiver, act: Act) -> None:
    receiver.acts(act)
    async with sender_for(receiver.url, timeout=2) as sender:
        assert await sender.send_batch([message()]) == [Accepted(f"{1:032x}")]
    assert len(receiver.calls) == 1


async def test_https_checks_the_certificate_against_the_name(tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    async with Receiver().running(tls) as receiver:
        url = f"https://localhost:{receiver.port}/hook"
        async with sender_for(url, ca_file=str(cert)) as sender:
            (result,) = await sender.send_batch([message()])
            assert isinstance(result, Accepted), result
            assert receiver.calls[0].headers["host"] == f"localhost:{receiver.port}"
        async with sender_for(url) as sender:
            (result,) = await sender.send_batch([message()])
            assert isinstance(result, Rejected)
            assert "certificate" in result.detail.lower()
            assert len(receiver.calls) == 1


# Attempts


@pytest.mark.parametrize(
    ("act", "timeout"),
    [(dropping, 15), (silent, 2), (garbling, 15), (answering(503), 15), (answering(429), 15)],
    ids=["dropped", "silent", "no http", "503", "429"],
)
async def test_a_call_is_made_again_with_the_same_batch_id_and_a_signature_of_its_time(
    receiver: Receiver, act: Act, timeout: float
) -> None:
    clock = iter(range(1_000_000, 2_000_000))
    recording = RecordingContext("shop")
    recording.context = replace(recording.context, now=lambda: datetime.fromtimestamp(next(clock), UTC))
    pauses = Pauses()
    receiver.acts(act, act)
    async with sender_for(receiver.url, pauses, recording, timeout=timeout) as sender:
        assert await sender.send_batch([message()]) == [Accepted(f"{1:032x}")]
    assert len({call.headers["x-pinpoint-batch-id"] for call in receiver.posts}) == 1
    assert len({call.body for call in receiver.posts}) == 1
    stamps = [int(call.headers["x-heliograph-timestamp"]) for call in receiver.posts]
    assert len(stamps) == len(set(stamps)) == 3
    for call, stamp in zip(receiver.posts, stamps, strict=True):
        assert verify(SECRET, call.headers, call.body, stamp)
    assert pauses.taken == [0.5, 1.0]


async def test_three_attempts_without_an_answer_leave_a_doubt(receiver: Receiver) -> None:
    receiver.acts(silent, dropping, garbling)
    async with sender_for(receiver.url, timeout=2) as sender:
        results = await sender.send_batch([message(1), message(2)])
    assert all(isinstance(result, Unknown) and "3 attempts" in result.detail for result in results), results
    assert len(receiver.posts) == 3


async def test_one_attempt_is_all_there_is_when_the_settings_say_so(receiver: Receiver) -> None:
    receiver.acts(dropping)
    async with sender_for(receiver.url, attempts=1) as sender:
        (result,) = await sender.send_batch([message()])
    assert isinstance(result, Unknown)
    assert len(receiver.posts) == 1


async def test_a_refusal_after_a_lost_answer_does_not_end_the_doubt(receiver: Receiver) -> None:
    receiver.acts(dropping, answering(400))
    async with sender_for(receiver.url) as sender:
        (result,) = await sender.send_batch([message()])
    assert isinstance(result, Unknown)


async def test_no_attempt_begins_that_the_patience_would_not_see_end(receiver: Receiver) -> None:
    pauses = Pauses()
    receiver.acts(answering(503, b"", ("Retry-After", "60")))
    async with sender_for(receiver.url, pauses) as sender:
        (result,) = await sender.send_batch([message()])
    assert isinstance(result, Rejected)
    assert (len(receiver.posts), pauses.taken) == (1, [])


async def test_a_receiver_that_asks_for_time_gets_it(receiver: Receiver) -> None:
    pauses = Pauses()
    recording = RecordingContext("shop")
    recording.context = replace(recording.context, now=lambda: NOW)
    receiver.acts(answering(429, b"", ("Retry-After", "7")))
    async with sender_for(receiver.url, pauses, recording) as sender:
        assert await sender.send_batch([message()]) == [Accepted(f"{1:032x}")]
    assert pauses.taken == [7.0]


@pytest.mark.parametrize(
    ("attempt", "jitter", "asked", "seconds"),
    [(1, 0.0, 0.0, 0.5), (1, 0.5, 0.0, 0.75), (2, 0.0, 0.0, 1.0), (3, 0.0, 0.0, 2.0), (9, 0.0, 0.0, 4.0), (1, 0.0, 3.0, 3.0)],
)  # fmt: skip
def test_pauses_grow_and_are_never_shorter_than_asked(
    attempt: int, jitter: float, asked: float, seconds: float
) -> None:
    assert pause_after(attempt, jitter, asked) == seconds


TAKEN = Accepted("call")
DOUBT = Unknown("lost")
AWAY = Rejected(RejectReason.UNAVAILABLE, retryable=True, detail="503")
NEVER = Rejected(RejectReason.REFUSED, retryable=False, detail="400")


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([TAKEN], TAKEN),
        ([DOUBT, TAKEN], TAKEN),
        ([AWAY, DOUBT, TAKEN], TAKEN),
        ([AWAY], AWAY),
        ([AWAY, NEVER], replace(NEVER, detail="400 (2 attempts)")),
        ([DOUBT, NEVER], Unknown("lost (2 attempts)")),
        ([DOUBT, AWAY, AWAY], Unknown("lost (3 attempts)")),
        ([AWAY, AWAY, DOUBT], Unknown("lost (3 attempts)")),
    ],
)
def test_attempts_together_are_taken_or_in_doubt_or_refused(outcomes: list[SendResult], expected: SendResult) -> None:
    assert combined(outcomes) == expected


# Handshake


KNOWN = (("X-Amz-Pinpoint-AccountId", "123456789012"),)


async def test_a_receiver_that_names_the_account_is_called(receiver: Receiver) -> None:
    receiver.known_as = KNOWN
    async with sender_for(receiver.url, account_id="123456789012") as sender:
        assert (await sender.health()).ok
        for number in (1, 2):
            (result,) = await sender.send_batch([message(number)])
            assert isinstance(result, Accepted)
    assert [call.method for call in receiver.calls] == ["HEAD", "HEAD", "POST", "POST"]


@pytest.mark.parametrize("known_as", [(), (("X-Amz-Pinpoint-AccountId", "999999999999"),)], ids=["nobody", "other"])
async def test_a_receiver_that_does_not_name_the_account_gets_nothing(
    receiver: Receiver, known_as: tuple[tuple[str, str], ...]
) -> None:
    receiver.known_as = known_as
    async with sender_for(receiver.url, account_id="123456789012") as sender:
        results = await sender.send_batch([message(1), message(2)])
        health = await sender.health()
    for result in results:
        assert isinstance(result, Rejected)
        assert (result.reason, result.retryable) == (RejectReason.REFUSED, False)
        assert "account_id" in result.detail
    assert (health.ok, receiver.posts) == (False, [])


@pytest.mark.parametrize("act", [answering(503, b""), answering(429, b""), dropping], ids=["503", "429", "dropped"])
async def test_a_receiver_that_cannot_be_asked_is_asked_again_later(receiver: Receiver, act: Act) -> None:
    receiver.known_as = KNOWN
    receiver.acts(act)
    async with sender_for(receiver.url, account_id="123456789012") as sender:
        (result,) = await sender.send_batch([message()])
        assert isinstance(result, Rejected), result
        assert (result.reason, result.retryable) == (RejectReason.UNAVAILABLE, True)
        (result,) = await sender.send_batch([message()])
        assert isinstance(result, Accepted)


async def test_without_an_account_nobody_is_asked(receiver: Receiver) -> None:
    async with sender_for(receiver.url) as sender:
        await sender.send_batch([message()])
    assert [call.method for call in receiver.calls] == ["POST"]
