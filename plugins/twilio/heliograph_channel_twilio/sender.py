"""What both channels' senders have in common: every message is one call, and all of a batch go at once."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, TypeAlias

from heliograph_channel_twilio.account import Account
from heliograph_channel_twilio.signatures import checked_fields
from heliograph_channels import (
    Forged,
    Health,
    OutgoingMessage,
    ProviderContext,
    Received,
    Rejected,
    RejectReason,
    Sender,
    SendResult,
    Unsupported,
    WebhookRequest,
    callback_url,
)

__all__ = ["AccountSender", "Fields", "refused"]

Fields: TypeAlias = list[tuple[str, str]]


class AccountSender(Sender):
    """One project's account. A subclass says what it creates and what a webhook tells."""

    resource: ClassVar[str]
    """`Messages` or `Calls`."""

    def __init__(self, settings: Mapping[str, object], context: ProviderContext) -> None:
        """Take complete settings.

        Raises:
            OSError: `ca_file` cannot be read.
        """
        self._settings = settings
        self._context = context
        self._account = Account(settings, context)
        self._token = str(settings.get("auth_token") or "")

    @abstractmethod
    def fields(self, message: OutgoingMessage) -> Fields | Rejected | Unsupported:
        """Return the form that creates the message, or why there is none. Pure."""

    @abstractmethod
    def told(self, fields: Mapping[str, str], request: WebhookRequest) -> Received:
        """Understand the fields of a checked webhook."""

    async def send_batch(self, messages: Sequence[OutgoingMessage]) -> Sequence[SendResult]:
        """Create them all; each answer is its own message's."""
        return await asyncio.gather(*map(self._send, messages))

    async def health(self) -> Health:
        """Ask the account, without creating anything."""
        return await self._account.health(self.resource)

    async def receive(self, request: WebhookRequest) -> Received:
        """Check the signature, then understand.

        Raises:
            Forged: there is no auth token to check with, or the signature is missing or wrong.
        """
        if not self._token:
            raise Forged("without the setting auth_token nobody can tell whether a call is Twilio's")
        return self.told(checked_fields(request, self._token), request)

    async def close(self) -> None:
        """Close the connections. Safe to repeat."""
        await self._account.close()

    async def _send(self, message: OutgoingMessage) -> SendResult:
        fields = self.fields(message)
        if not isinstance(fields, list):
            return fields
        if self._context.webhook_url and self._token:
            fields.append(("StatusCallback", callback_url(self._context.webhook_url, message.message_id)))
        return await self._account.create(self.resource, fields, message.message_id)


def refused(reason: RejectReason, detail: str) -> Rejected:
    """Return the result for a message that Twilio would refuse as well, so it is not even asked."""
    return Rejected(reason, retryable=False, detail=detail)
