"""What both channels have in common: an account, forms that create something in it, and signed webhooks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from functools import partial
from typing import ClassVar, TypeAlias

from heliograph_channel_twilio.account import Account, outcome
from heliograph_channel_twilio.settings import account_problems
from heliograph_channel_twilio.signatures import checked_fields
from heliograph_channels import (
    Forged,
    Health,
    OutgoingMessage,
    Problem,
    ProviderContext,
    Received,
    Rejected,
    SendResult,
    Unsupported,
    WebhookRequest,
    callback_url,
)
from heliograph_channels.calls import C, CallProvider, CallSender, Values

__all__ = ["AccountProvider", "AccountSender", "Fields"]

Fields: TypeAlias = list[tuple[str, str]]


class AccountProvider(CallProvider):
    """A channel of an account. Only the auth token proves that a webhook is Twilio's, so without it there are none."""

    proof = "auth_token"

    def further_problems(self, settings: Mapping[str, object]) -> Iterable[Problem]:
        """Check the credentials and the address of the API."""
        return account_problems(settings)


class AccountSender(CallSender[C]):
    """One project's account. A subclass says what it creates and what a webhook tells."""

    provider = "Twilio"
    resource: ClassVar[str]
    """`Messages` or `Calls`."""

    def __init__(self, settings: Values, context: ProviderContext) -> None:
        """Take complete settings.

        Raises:
            OSError: `ca_file` cannot be read.
        """
        super().__init__(context)
        self._settings = settings
        self._account = Account(settings)
        self._token = str(settings.get("auth_token") or "")

    @abstractmethod
    def fields(self, message: OutgoingMessage, content: C) -> Fields | Rejected | Unsupported:
        """Return the form that creates the message, or why there is none. Pure."""

    @abstractmethod
    def told(self, fields: Mapping[str, str], request: WebhookRequest) -> Received:
        """Understand the fields of a checked webhook."""

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._account.is_closed

    async def send(self, message: OutgoingMessage, content: C) -> SendResult:
        """Create it, and have its end told."""
        fields = self.fields(message, content)
        if not isinstance(fields, list):
            return fields
        if self._context.webhook_url and self._token:
            fields.append(("StatusCallback", callback_url(self._context.webhook_url, message.message_id)))
        return await self.exchange(
            lambda: self._account.create(self.resource, fields), partial(outcome, message_id=message.message_id)
        )

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
