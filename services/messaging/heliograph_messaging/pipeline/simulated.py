"""The simulator's numbers, answered here: what goes to them leaves the installation through no provider (pinpoint-2 2.4)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from heliograph_channels import (
    SIMULATOR_NUMBERS,
    Accepted,
    Capabilities,
    ChannelProvider,
    Health,
    Kind,
    OutgoingMessage,
    ProviderContext,
    Receipt,
    ReceiptKind,
    Rejected,
    RejectReason,
    Sender,
    SendResult,
)
from heliograph_messaging.domain.breaker import Breaker
from heliograph_messaging.pipeline.lanes import Lane
from heliograph_messaging.providers import OpenChannel, ReportTo

ROUTE = "~simulated"
"""No route of a channel can have this id."""
SIMULATOR = "simulator"
"""The plugin that answers these numbers itself, and is therefore handed them."""


class SimulatedPhones(ChannelProvider):
    """A provider of simulator numbers only: each message is accepted, then delivered or invalid as the number says."""

    name = "simulated"
    kinds = frozenset({Kind.SMS})
    capabilities = Capabilities(batch_size=1000, concurrency=64, idempotency_key=True, receipts=True)
    settings_schema: Mapping[str, object] = {"type": "object", "additionalProperties": False, "properties": {}}

    async def open(self, settings: Mapping[str, object], context: ProviderContext) -> Sender:
        """Open for one project."""
        return _Phones(context.report, context.now)


class _Phones(Sender):
    def __init__(self, report: Callable[[Sequence[Receipt]], Awaitable[None]], now: Callable[[], datetime]) -> None:
        self._report = report
        self._now = now

    async def send_batch(self, messages: Sequence[OutgoingMessage]) -> Sequence[SendResult]:
        """Report what becomes of the messages and accept them; a receipt waits for the outcome of its message."""
        known = [message for message in messages if message.address in SIMULATOR_NUMBERS]
        await self._report([self._receipt(message) for message in known])
        return [
            Accepted(message.message_id)
            if message.address in SIMULATOR_NUMBERS
            else Rejected(RejectReason.INVALID_ADDRESS, retryable=False, detail="not a simulator number")
            for message in messages
        ]

    async def health(self) -> Health:
        """Be well."""
        return Health(ok=True)

    async def close(self) -> None:
        """Hold nothing."""

    def _receipt(self, message: OutgoingMessage) -> Receipt:
        kind = ReceiptKind.DELIVERED if SIMULATOR_NUMBERS[message.address] else ReceiptKind.FAILED
        detail = "delivered (simulated)" if kind is ReceiptKind.DELIVERED else "INVALID (simulated)"
        return Receipt(
            f"{message.message_id}-{kind.lower()}", kind, self._now(), message_id=message.message_id, detail=detail
        )


class SimulatedLanes:
    """The way to the simulator's numbers, one for each project."""

    def __init__(self, report: ReportTo, now: Callable[[], datetime]) -> None:
        """Take where receipts go and the product's clock."""
        self._report = report
        self._now = now
        self._provider = SimulatedPhones()
        self._lanes: dict[str, Lane] = {}

    def of(self, project: str) -> Lane:
        """Return the lane of a project."""
        lane = self._lanes.get(project)
        if lane is None:
            lane = self._lanes[project] = self._open(project)
        return lane

    def _open(self, project: str) -> Lane:
        async def report(receipts: Sequence[Receipt]) -> None:
            await self._report(project, self._provider.name, receipts)

        able = self._provider.capabilities
        phones = _Phones(report, self._now)
        slots = asyncio.Semaphore(able.concurrency)
        opened = OpenChannel(ROUTE, self._provider, able, phones, 0, slots, Breaker())
        return Lane(ROUTE, self._provider, opened)


def leaves(lane: Lane, address: str) -> bool:
    """Tell whether a message on this lane would carry a simulator number out of the installation."""
    return address in SIMULATOR_NUMBERS and lane.provider is not None and lane.provider.name != SIMULATOR
