"""The two classes a channel plugin writes: a provider that describes the channel, and a sender that does the work."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from heliograph_channels.addresses import address_problem
from heliograph_channels.inbound import InboundMessage, Received, WebhookRequest
from heliograph_channels.messages import Kind, OutgoingMessage
from heliograph_channels.results import Receipt, SendResult
from heliograph_channels.schema import Problem, problems_of

__all__ = ["Capabilities", "ChannelProvider", "Deliver", "Health", "ProviderContext", "Report", "Sender"]

Report = Callable[[Sequence[Receipt]], Awaitable[None]]
"""Hands receipts to Heliograph; returns when they are stored, raises when they must be reported again."""
Deliver = Callable[[Sequence[InboundMessage]], Awaitable[None]]
"""Hands over what people sent to us; returns when it is stored, raises when it must be handed over again."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the channel can do; Heliograph plans its work by it.

    `batch_size` (1..1000): the most messages one `send_batch` may carry. `concurrency` (1..1000): how many `send_batch`
    calls of one sender may be under way at once. `idempotency_key`: sending a `message_id` a second time does not send
    a second message. `receipts`: what becomes of messages is reported, through `context.report` or a webhook.
    `inbound`: people's answers are handed over, through `context.deliver` or a webhook. `webhook`: `Sender.receive`
    understands the provider's calls. `listens`: receipts or answers come in by themselves while the sender is open (a
    bound session, a mailbox), so it is kept open from the start. `media`: an SMS may carry `media_urls`.

    Raises:
        ValueError: a number is out of range.
    """

    batch_size: int = 100
    concurrency: int = 1
    idempotency_key: bool = False
    receipts: bool = False
    inbound: bool = False
    webhook: bool = False
    listens: bool = False
    media: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers nobody could plan with."""
        if not 1 <= self.batch_size <= 1000:
            raise ValueError("batch_size must be from 1 to 1000")
        if not 1 <= self.concurrency <= 1000:
            raise ValueError("concurrency must be from 1 to 1000")


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a sender could send now. `detail` is for the operator and holds no secret."""

    ok: bool
    detail: str = ""


_LOGGER = logging.getLogger("heliograph.channel")


async def _nobody_listens(messages: Sequence[InboundMessage]) -> None:  # noqa: ARG001 (the signature of Deliver)
    raise ConnectionError("nobody takes inbound messages here")


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class ProviderContext:
    """What Heliograph gives an opened channel: whose it is, where to log, how to report, what time it is.

    `report` takes receipts, `deliver` what people sent to us. `webhook_url` is the public address that the provider is
    to call for this channel; empty when the installation has none.
    """

    project: str
    report: Report
    logger: logging.Logger = _LOGGER
    now: Callable[[], datetime] = _utc_now
    deliver: Deliver = _nobody_listens
    webhook_url: str = ""


class Sender(ABC):
    """An opened channel of one project. One event loop uses it; up to `concurrency` calls at once."""

    @abstractmethod
    async def send_batch(self, messages: Sequence[OutgoingMessage]) -> Sequence[SendResult]:
        """Send up to `batch_size` messages and answer one result per message, in the same order.

        What goes wrong with a message is its result, never an exception; an exception says that the fate of the whole
        batch is unknown. An empty batch answers an empty list. May be cancelled at any await: the sender must stay
        usable. After `close` every message is `Rejected(UNAVAILABLE, retryable=True)`.
        """

    @abstractmethod
    async def health(self) -> Health:
        """Say whether a message could be sent now, without sending one. Answers within seconds and never raises."""

    async def receive(self, request: WebhookRequest) -> Received:
        """Understand a call of the provider to our webhook: check its signature, return what it says.

        Reads only; Heliograph stores what is returned and then answers the caller. The same call may come again and at
        the same time: it says the same, with the same `receipt_id`s and `inbound_id`s. Nothing in a request may make it
        raise anything but `Forged`.

        Raises:
            Forged: the signature is missing, wrong or too old (5 minutes, where the provider signs a time).
        """
        return Received(status=404, body=b"this channel takes no webhooks")

    @abstractmethod
    async def close(self) -> None:
        """Give back connections, files and tasks. Safe to repeat; never raises for a provider that is gone."""


class ChannelProvider(ABC):
    """A channel as a plugin offers it: stateless, created once per process, opened once per project and settings.

    `name` is what operators choose the channel by: 1 to 63 of a-z, 0-9 and hyphen, starting with a letter, unique over
    all plugins. `settings_schema` is a JSON schema (draft 2020-12) of an object; a property with `"writeOnly": true` is
    a secret. `platforms` are the kinds of device that a PUSH channel reaches (`GCM`, `APNS` ...); empty: any.
    """

    name: str
    kinds: frozenset[Kind]
    platforms: frozenset[str] = frozenset()
    capabilities: Capabilities
    settings_schema: Mapping[str, object]

    def check_settings(self, settings: Mapping[str, object]) -> Sequence[Problem]:
        """List everything wrong with `settings`, at once; empty = good. No input or output; repeats no values.

        The default checks `settings_schema`. Override it for rules between fields, and call this one first.
        """
        return problems_of(self.settings_schema, settings)

    def capabilities_for(self, settings: Mapping[str, object]) -> Capabilities:
        """Return the capabilities under these settings. Heliograph asks here; most channels keep the default.

        A provider may take an idempotency key on one plan and not on another; then `capabilities` is the weaker promise.
        """
        return self.capabilities

    def check_address(self, kind: Kind, address: str) -> str | None:
        """Say why `address` can never be sent to (a clause like "is empty"), or None. No input or output.

        The default knows the syntax of e-mail addresses and telephone numbers; anything else is a printable token.
        """
        if kind not in self.kinds:
            return f"is of kind {kind}, which channel {self.name} does not serve"
        return address_problem(kind, address)

    def check_addresses(self, kind: Kind, addresses: Sequence[str]) -> Sequence[str | None]:
        """Say the same of many addresses, in their order. Override it only where asking at once is cheaper."""
        return [self.check_address(kind, address) for address in addresses]

    @abstractmethod
    async def open(self, settings: Mapping[str, object], context: ProviderContext) -> Sender:
        """Open the channel for one project with settings that `check_settings` found good.

        It need not connect: a provider that is away shows in `health` and in the results.

        Raises:
            OSError: a local resource (a file, a certificate) is missing.
        """
