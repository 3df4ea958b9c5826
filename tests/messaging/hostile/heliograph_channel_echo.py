"""A well-behaved channel with everything a channel can have: webhooks, receipts, answers, a session that listens.

It answers with what it was given, so that a test sees what arrived on the far side of a process boundary.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from heliograph_channels import (
    Accepted,
    Capabilities,
    ChannelProvider,
    EmailContent,
    Forged,
    Health,
    InboundMessage,
    Kind,
    OutgoingMessage,
    ProviderContext,
    Receipt,
    ReceiptKind,
    Received,
    Rejected,
    RejectReason,
    Sender,
    SendResult,
    WebhookRequest,
    hookimpl,
)

time.sleep(float(os.environ.get("ECHO_IMPORT_SECONDS", "0")))
if os.environ.get("ECHO_IMPORT_EXITS"):
    os._exit(5)


class EchoChannel(ChannelProvider):
    name = os.environ.get("ECHO_NAME", "echo")
    kinds = frozenset(Kind)
    platforms = frozenset({"GCM", "APNS"})
    capabilities = Capabilities(
        batch_size=1000, concurrency=200, receipts=True, inbound=True, webhook=True, listens=True, media=True
    )
    settings_schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"key": {"type": "string", "writeOnly": True, "minLength": 6, "description": "Signs calls."}},
    }

    async def open(self, settings: Mapping[str, object], context: ProviderContext) -> EchoSender:
        return EchoSender(str(settings.get("key", "")), context)


class EchoSender(Sender):
    def __init__(self, key: str, context: ProviderContext) -> None:
        self._key = key.encode()
        self._context = context
        self._closed = False
        self._session = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        """Say hello once, until it is stored: as a session that comes up."""
        hello = InboundMessage(
            f"hello-{os.getpid()}", Kind.SMS, "+12065550100", "+12065550101", "hello", self._context.now(),
            ("https://media.example/1",), {"pid": str(os.getpid()), "webhook_url": self._context.webhook_url},
        )  # fmt: skip
        while True:
            try:
                return await self._context.deliver([hello])
            except ConnectionError:
                await asyncio.sleep(0.05)

    async def send_batch(self, messages: Sequence[OutgoingMessage]) -> Sequence[SendResult]:
        if self._closed:
            return [Rejected(RejectReason.UNAVAILABLE, retryable=True, detail="closed")] * len(messages)
        if messages and messages[0].address == "slow":
            await asyncio.sleep(3600)
        if messages and messages[0].address == "environment":
            return [Accepted("x", {"variables": ",".join(sorted(os.environ))[:128]})]
        if messages and messages[0].address == "time":
            return [Accepted(self._context.now().isoformat())]
        if messages and messages[0].address == "modules":
            return [Accepted("x", {name: "" for name in sorted(sys.modules) if name.startswith("heliograph_")})]
        if messages and messages[0].address == "shared":
            data = [m.content.attachments[0].data for m in messages if isinstance(m.content, EmailContent)]
            return [Accepted(f"{len(data)}-{len({id(item) for item in data})}-{len(data[0])}")] * len(messages)
        reports = [
            Receipt(f"r-{message.message_id}", ReceiptKind.DELIVERED, self._context.now(), message.message_id)
            for message in messages
        ]
        await self._context.report(reports)
        return [Accepted(hashlib.sha256(repr(message).encode("utf-8", "replace")).hexdigest()) for message in messages]

    async def health(self) -> Health:
        return Health(not self._closed, "closed" if self._closed else "listening")

    async def receive(self, request: WebhookRequest) -> Received:
        signed = hmac.new(self._key, request.url.encode() + request.body, "sha256").hexdigest()
        if not hmac.compare_digest(signed.encode(), request.headers.get("x-signature", "").encode("utf-8", "replace")):
            raise Forged("wrong signature")
        said: Any = json.loads(request.body)
        receipt = Receipt(said["id"], ReceiptKind.OPENED, self._context.now(), provider_message_id=said["about"])
        return Received([receipt], status=202, body=b"thanks \x00\xff", content_type="application/json")

    async def close(self) -> None:
        self._closed = True
        self._session.cancel()
        await asyncio.gather(self._session, return_exceptions=True)


@hookimpl
def heliograph_channels() -> Sequence[ChannelProvider]:
    return [EchoChannel()]
