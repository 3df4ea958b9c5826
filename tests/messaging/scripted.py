"""A channel plugin whose answers a test decides, message by message or call by call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from heliograph_channels import (
    Accepted,
    Capabilities,
    ChannelProvider,
    Forged,
    Health,
    InboundMessage,
    Kind,
    OutgoingMessage,
    ProviderContext,
    Receipt,
    Received,
    Sender,
    SendResult,
    WebhookRequest,
)

Answer = Callable[[OutgoingMessage], SendResult]
Understand = Callable[[WebhookRequest], Awaitable[Received]]


async def _forged(request: WebhookRequest) -> Received:
    raise Forged("nobody signs anything here")


class ScriptedChannel(ChannelProvider):
    """Remembers what it was asked and answers with `answer`, after `before` has run."""

    kinds = frozenset(Kind) - {Kind.IN_APP}
    capabilities = Capabilities(batch_size=10, concurrency=2, receipts=True)
    settings_schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "host": {"type": "string"},
            "port": {"type": "integer", "minimum": 1},
            "password": {"type": "string", "writeOnly": True, "minLength": 4},
            "idempotent": {"type": "boolean", "default": False},
            "webhook": {"type": "boolean"},
            "listens": {"type": "boolean"},
        },
    }

    def __init__(self, name: str = "scripted", *, platforms: frozenset[str] = frozenset()) -> None:
        """Accept everything."""
        self.name = name
        self.platforms = platforms
        self.calls: list[list[OutgoingMessage]] = []
        self.opened_with: list[Mapping[str, object]] = []
        self.answer: Answer = lambda message: Accepted(f"p-{message.message_id}")
        self.whole: Callable[[Sequence[OutgoingMessage]], object] | None = None
        self.hang = False
        self.release = asyncio.Event()
        self.context: ProviderContext | None = None
        self.understand: Understand = _forged
        self.refuses_to_open = 0
        self.closed = 0

    @property
    def sent(self) -> list[OutgoingMessage]:
        """Every message handed over, repetitions included."""
        return [message for call in self.calls for message in call]

    def capabilities_for(self, settings: Mapping[str, object]) -> Capabilities:
        """Promise what the settings say."""
        return replace(
            self.capabilities,
            idempotency_key=bool(settings.get("idempotent")),
            webhook=bool(settings.get("webhook", True)),
            inbound=True,
            listens=bool(settings.get("listens")),
        )

    async def open(self, settings: Mapping[str, object], context: ProviderContext) -> Sender:
        """Open without doing anything, unless it is to fail."""
        if self.refuses_to_open:
            self.refuses_to_open -= 1
            raise OSError("no line")
        self.opened_with.append(dict(settings))
        self.context = context
        return _Sender(self)

    async def report(self, *receipts: Receipt) -> None:
        """Report receipts as a provider does."""
        assert self.context is not None
        await self.context.report(receipts)

    async def deliver(self, *messages: InboundMessage) -> None:
        """Hand people's messages over as a provider does."""
        assert self.context is not None
        await self.context.deliver(messages)


class _Sender(Sender):
    def __init__(self, script: ScriptedChannel) -> None:
        self._script = script

    async def send_batch(self, messages: Sequence[OutgoingMessage]) -> Sequence[SendResult]:
        script = self._script
        script.calls.append(list(messages))
        if script.hang:
            await script.release.wait()
        if script.whole is not None:
            return script.whole(messages)  # type: ignore[return-value]
        return [script.answer(message) for message in messages]

    async def health(self) -> Health:
        return Health(ok=True)

    async def receive(self, request: WebhookRequest) -> Received:
        return await self._script.understand(request)

    async def close(self) -> None:
        self._script.closed += 1
