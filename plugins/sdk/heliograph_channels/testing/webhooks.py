"""The contract of webhooks: what `Sender.receive` owes to a world in which anybody may call it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import ClassVar

import pytest

from heliograph_channels.inbound import Forged, Received, WebhookRequest
from heliograph_channels.providers import ChannelProvider, Sender
from heliograph_channels.schema import secret_fields
from heliograph_channels.testing.builders import RecordingContext

__all__ = ["WebhookContract"]

_GARBAGE = {
    "empty": b"",
    "no text": b"\xff\xfe\x00",
    "no object": b"[1, 2",
    "null": b"null",
    "deep": b"[" * 20_000,
    "form": b"a=%zz&&&=",
    "long": b"x" * 1_000_000,
}


class WebhookContract:
    """Inherit in a test class beside `ChannelContract` and override the fixtures.

    `call` is a call as the provider makes it, signed, with at least one receipt or one inbound message. Set
    `public_url` when the signature covers the address called.
    """

    public_url: ClassVar[str] = "https://heliograph.example/hooks/trial/route"
    within: ClassVar[float] = 20.0

    @pytest.fixture
    def provider(self) -> ChannelProvider:
        """Return the provider under test."""
        raise NotImplementedError("override the fixture `provider`")

    @pytest.fixture
    def settings(self) -> Mapping[str, object]:
        """Return good settings."""
        raise NotImplementedError("override the fixture `settings`")

    @pytest.fixture
    def call(self) -> WebhookRequest:
        """Return a signed call."""
        raise NotImplementedError("override the fixture `call`")

    def test_it_says_that_it_takes_webhooks(self, provider: ChannelProvider) -> None:
        able = provider.capabilities
        assert able.webhook
        assert able.receipts or able.inbound

    async def test_a_signed_call_is_understood(
        self, provider: ChannelProvider, settings: Mapping[str, object], call: WebhookRequest
    ) -> None:
        said = await self._receive(provider, settings, call)
        assert said.receipts or said.inbound
        assert 200 <= said.status < 300

    async def test_the_same_call_says_the_same(
        self, provider: ChannelProvider, settings: Mapping[str, object], call: WebhookRequest
    ) -> None:
        first, again = [await self._receive(provider, settings, call) for _ in range(2)]
        assert [one.receipt_id for one in first.receipts] == [one.receipt_id for one in again.receipts]
        assert [one.inbound_id for one in first.inbound] == [one.inbound_id for one in again.inbound]

    async def test_a_call_without_its_headers_is_forged(
        self, provider: ChannelProvider, settings: Mapping[str, object], call: WebhookRequest
    ) -> None:
        await self._is_refused(provider, settings, replace(call, headers={}))

    @pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
    async def test_a_call_with_one_byte_changed_is_forged(
        self, provider: ChannelProvider, settings: Mapping[str, object], call: WebhookRequest, place: float
    ) -> None:
        at = int(len(call.body) * place)
        body = call.body[:at] + bytes([call.body[at] ^ 1]) + call.body[at + 1 :]
        await self._is_refused(provider, settings, replace(call, body=body))

    @pytest.mark.parametrize("body", _GARBAGE.values(), ids=_GARBAGE)
    async def test_garbage_is_refused_and_raises_nothing_else(
        self, provider: ChannelProvider, settings: Mapping[str, object], call: WebhookRequest, body: bytes
    ) -> None:
        await self._is_refused(provider, settings, replace(call, body=body))
        await self._is_refused(provider, settings, WebhookRequest("POST", self.public_url, {}, body))

    async def test_a_refusal_shows_no_secret(
        self, provider: ChannelProvider, settings: Mapping[str, object], call: WebhookRequest
    ) -> None:
        secrets = [str(settings[name]) for name in secret_fields(provider.settings_schema) if settings.get(name)]
        async with _opened(provider, settings, self.public_url) as sender:
            with pytest.raises(Forged) as caught:
                await sender.receive(replace(call, headers={}))
        assert not [secret for secret in secrets if secret in repr(caught.value)]

    async def _receive(
        self, provider: ChannelProvider, settings: Mapping[str, object], call: WebhookRequest
    ) -> Received:
        async with _opened(provider, settings, self.public_url) as sender:
            return await asyncio.wait_for(sender.receive(call), self.within)

    async def _is_refused(
        self, provider: ChannelProvider, settings: Mapping[str, object], call: WebhookRequest
    ) -> None:
        try:
            said = await self._receive(provider, settings, call)
        except Forged:
            return
        assert said.status >= 400
        assert not said.receipts
        assert not said.inbound

    def __init_subclass__(cls, **more: object) -> None:
        """Mark the coroutine tests, so that authors need no particular pytest-asyncio mode."""
        super().__init_subclass__(**more)
        for name, member in vars(WebhookContract).items():
            if name.startswith("test_") and asyncio.iscoroutinefunction(member):
                pytest.mark.asyncio(member)


@asynccontextmanager
async def _opened(provider: ChannelProvider, settings: Mapping[str, object], webhook_url: str) -> AsyncIterator[Sender]:
    recording = RecordingContext(webhook_url=webhook_url)
    sender = await provider.open(settings, recording.context)
    try:
        yield sender
    finally:
        await sender.close()
