"""Messages and contexts for tests of channels."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
from collections.abc import Callable, Mapping, Sequence

from heliograph_channels.inbound import InboundMessage
from heliograph_channels.messages import (
    Content,
    CustomContent,
    EmailContent,
    Kind,
    MessageClass,
    OutgoingMessage,
    PushContent,
    SmsContent,
    VoiceContent,
)
from heliograph_channels.providers import ProviderContext
from heliograph_channels.results import Receipt

__all__ = ["RecordingContext", "a_message", "content_for"]

_NUMBER = itertools.count(1)


def content_for(kind: Kind, text: str = "Hello") -> Content:
    """Return a small content that fits the kind."""
    match kind:
        case Kind.EMAIL:
            return EmailContent(subject=text, html=f"<p>{text}</p>", text=text)
        case Kind.SMS:
            return SmsContent(body=text)
        case Kind.PUSH:
            return PushContent(title=text, body=text)
        case Kind.VOICE:
            return VoiceContent(body=text)
        case _:
            return CustomContent(data=text, endpoint={"Address": "somewhere"})


def a_message(
    kind: Kind,
    address: str,
    *,
    message_id: str | None = None,
    content: Content | None = None,
    message_class: MessageClass = "transactional",
    origination: str = "",
    attributes: Mapping[str, str] | None = None,
) -> OutgoingMessage:
    """Build a message; every call without `message_id` makes another one."""
    return OutgoingMessage(
        message_id=message_id or hashlib.blake2b(str(next(_NUMBER)).encode(), digest_size=16).hexdigest(),
        kind=kind,
        address=address,
        content=content if content is not None else content_for(kind),
        message_class=message_class,
        origination=origination,
        attributes=attributes if attributes is not None else {"campaign_id": "c1", "endpoint_id": "e1"},
    )


class RecordingContext:
    """A `ProviderContext` whose reports are kept in `receipts`, and what people sent in `inbound`.

    `failures` = how many reports and deliveries to refuse first.
    """

    def __init__(self, project: str = "trial", *, failures: int = 0, webhook_url: str = "") -> None:
        """Make a context for one project."""
        self.receipts: list[Receipt] = []
        self.inbound: list[InboundMessage] = []
        self.reports: list[int] = []
        self._failures = failures
        self._changed = asyncio.Condition()
        logger = logging.getLogger("heliograph.channel.test")
        self.context = ProviderContext(
            project=project, report=self._report, logger=logger, deliver=self._deliver, webhook_url=webhook_url
        )

    async def wait_for(self, enough: Callable[[Sequence[Receipt]], bool], *, within: float = 10.0) -> list[Receipt]:
        """Wait until the receipts satisfy `enough`, at most `within` seconds.

        Raises:
            TimeoutError: they never did.
        """
        async with asyncio.timeout(within), self._changed:
            await self._changed.wait_for(lambda: enough(self.receipts))
        return self.receipts

    async def wait_for_inbound(self, count: int, *, within: float = 10.0) -> list[InboundMessage]:
        """Wait until `count` inbound messages were handed over, at most `within` seconds.

        Raises:
            TimeoutError: they never were.
        """
        async with asyncio.timeout(within), self._changed:
            await self._changed.wait_for(lambda: len(self.inbound) >= count)
        return self.inbound

    async def _deliver(self, messages: Sequence[InboundMessage]) -> None:
        if self._failures:
            self._failures -= 1
            raise ConnectionError("the test refuses this delivery")
        async with self._changed:
            self.inbound.extend(messages)
            self._changed.notify_all()

    async def _report(self, receipts: Sequence[Receipt]) -> None:
        if self._failures:
            self._failures -= 1
            raise ConnectionError("the test refuses this report")
        async with self._changed:
            self.receipts.extend(receipts)
            self.reports.append(len(receipts))
            self._changed.notify_all()
