"""A channel in another process: the contract, and what goes over whole."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from heliograph_channels import (
    Accepted,
    Attachment,
    ChannelProvider,
    EmailContent,
    Kind,
    PushContent,
    Rejected,
    RejectReason,
    SmsContent,
    WebhookRequest,
)
from heliograph_channels.testing import ChannelContract, RecordingContext, WebhookContract, a_message
from heliograph_messaging.isolation import sender as sender_module
from tests.messaging.isolated import KEY, Load, a_call, opened


class TestSimulatorInAnotherProcess(ChannelContract):
    kind = Kind.EMAIL
    good_address = "ann@example.com"
    bad_addresses = ("nobody", "a@b@c")

    @pytest.fixture
    def provider(self, load: Load) -> ChannelProvider:
        return load("simulator")

    @pytest.fixture(params=[False, True], ids=["forgetful", "idempotent"])
    def settings(self, request: pytest.FixtureRequest) -> Mapping[str, object]:
        return {"idempotent": request.param}


class TestTemplateInAnotherProcess(ChannelContract):
    kind = Kind.CUSTOM
    good_address = "anybody"
    bad_addresses = ("two words",)

    @pytest.fixture
    def provider(self, load: Load) -> ChannelProvider:
        return load("template")

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Mapping[str, object]:
        return {"path": str(tmp_path / "messages.jsonl"), "token": "long-and-unmistakable"}


class TestWebhooksInAnotherProcess(WebhookContract):
    @pytest.fixture
    def provider(self, load: Load) -> ChannelProvider:
        return load("echo")

    @pytest.fixture
    def settings(self) -> Mapping[str, object]:
        return {"key": KEY}

    @pytest.fixture
    def call(self) -> WebhookRequest:
        return a_call(self.public_url)

    async def test_the_answer_for_the_caller_comes_whole(
        self, provider: ChannelProvider, settings: Mapping[str, object], call: WebhookRequest
    ) -> None:
        said = await self._receive(provider, settings, call)
        assert (said.status, said.body, said.content_type) == (202, b"thanks \x00\xff", "application/json")
        assert [receipt.provider_message_id for receipt in said.receipts] == ["m1"]


# -- what goes over


async def test_the_description_of_a_channel_comes_whole(load: Load) -> None:
    echo = load("echo")
    assert echo.kinds == frozenset(Kind)
    assert echo.platforms == {"GCM", "APNS"}
    able = echo.capabilities
    assert (able.batch_size, able.concurrency, able.listens, able.media) == (1000, 200, True, True)
    assert able == echo.capabilities_for({})


CONTENTS = [
    EmailContent(
        "s",
        "<p>h</p>",
        "t",
        {"X-A": "1"},
        ("a@x.com", "b@x.com"),
        (Attachment("a.pdf", "application/pdf", b"\x00\xff"),),
    ),
    EmailContent("", raw=b"Subject: x\r\n\r\n\xff"),
    SmsContent("lone \ud800 surrogate", "PROMOTIONAL", ("https://media.example/1",), "e", "t"),
    PushContent(
        "t", "b", "URL", "https://x", {"k": "v"}, {"campaign_id": "c"}, silent=True, time_to_live_seconds=0, badge=0
    ),
]


@pytest.mark.parametrize("content", CONTENTS, ids=["email", "raw", "sms", "push"])
async def test_a_message_arrives_as_it_was_sent(load: Load, content: EmailContent | SmsContent | PushContent) -> None:
    recording = RecordingContext()
    sender = await opened(load("echo"), recording)
    message = a_message(Kind.EMAIL, "a\u00e4\u20ac", content=content, origination="o", message_class="journey")
    (result,) = await sender.send_batch([message])
    await sender.close()
    assert isinstance(result, Accepted)
    assert result.provider_message_id == hashlib.sha256(repr(message).encode("utf-8", "replace")).hexdigest()
    assert [one.message_id for one in recording.receipts] == [message.message_id]


async def test_an_attachment_of_a_thousand_messages_goes_over_once(load: Load) -> None:
    sender = await opened(load("echo"))
    content = EmailContent("s", "h", attachments=(Attachment("a", "image/png", os.urandom(5_000_000)),))
    results = await sender.send_batch([a_message(Kind.EMAIL, "shared", content=content) for _ in range(1000)])
    await sender.close()
    assert {result.provider_message_id for result in results if isinstance(result, Accepted)} == {"1000-1-5000000"}


async def test_a_batch_too_large_for_a_frame_goes_over_in_parts_and_one_message_that_is_is_refused(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "TO_PLUGIN", 100_000)
    recording = RecordingContext()
    sender = await opened(load("echo"), recording)
    messages = [a_message(Kind.SMS, "x", content=SmsContent("y" * 30_000)) for _ in range(20)]
    messages.insert(7, a_message(Kind.SMS, "x", content=SmsContent("z" * 100_000)))
    results = await sender.send_batch(messages)
    await sender.close()
    assert len(results) == 21
    refused = results[7]
    assert isinstance(refused, Rejected)
    assert (refused.reason, refused.retryable) == (RejectReason.INVALID_CONTENT, False)
    ids = [hashlib.sha256(repr(message).encode()).hexdigest() for message in messages]
    assert [r.provider_message_id for r in results if isinstance(r, Accepted)] == ids[:7] + ids[8:]
    assert len(recording.reports) > 5


async def test_the_product_clock_is_the_plugins_clock(load: Load) -> None:
    recording = RecordingContext()
    then = datetime(2031, 5, 1, 12, tzinfo=UTC)
    context = recording.context.__class__(**{
        name: getattr(recording.context, name) for name in recording.context.__dataclass_fields__
    } | {"now": lambda: then})  # fmt: skip
    sender = await load("echo").open({"key": KEY}, context)
    (result,) = await sender.send_batch([a_message(Kind.SMS, "time")])
    await sender.close()
    assert isinstance(result, Accepted)
    assert timedelta() <= datetime.fromisoformat(result.provider_message_id) - then < timedelta(seconds=5)


async def test_a_report_that_is_not_stored_raises_over_there_and_comes_again(load: Load) -> None:
    recording = RecordingContext(failures=2, webhook_url="https://heliograph.example/hooks/1")
    sender = await opened(load("echo"), recording)
    (hello,) = await recording.wait_for_inbound(1)
    await sender.close()
    assert (hello.kind, hello.body, hello.media_urls) == (Kind.SMS, "hello", ("https://media.example/1",))
    assert hello.attributes["webhook_url"] == "https://heliograph.example/hooks/1"


async def test_hundreds_of_calls_at_once_have_their_own_answers(load: Load) -> None:
    sender = await opened(load("echo"))
    batches = [[a_message(Kind.SMS, f"x{number}")] for number in range(200)]
    answers = await asyncio.gather(*(sender.send_batch(batch) for batch in batches))
    await sender.close()
    for (message,), (result,) in zip(batches, answers, strict=True):
        assert isinstance(result, Accepted)
        assert result.provider_message_id == hashlib.sha256(repr(message).encode()).hexdigest()
