"""Bases of a channel whose provider takes one message a call, as most HTTP APIs do.

What is the same in all of them stands here: every message of a batch is under way at once, a provider that asked to be left
alone is, and a call that did not arrive is told from one that nobody knows of. A channel says what its call is and what an
answer means. Needs the extra `http` (`heliograph-channel-sdk[http]`), as `http_client` does.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Generic, TypeVar, cast

from heliograph_channels.http_client import Answer, NoAnswer, NotSent, Pause
from heliograph_channels.messages import Content, Kind, OutgoingMessage
from heliograph_channels.providers import Capabilities, ChannelProvider, ProviderContext, Sender
from heliograph_channels.results import Rejected, RejectReason, SendResult, Unknown, Unsupported
from heliograph_channels.schema import Problem, with_defaults

__all__ = ["CallProvider", "CallSender", "Values", "refused"]

Values = Mapping[str, Any]
"""Settings that `check_settings` found good, complete with defaults."""
C = TypeVar("C", bound=Content)


class CallProvider(ChannelProvider):
    """A channel that makes one call per message.

    `room` names the setting that says how many calls may be under way at once; as many batches go at once as fit into it.
    `proof` names the setting without which a webhook proves nothing: receipts and answers are promised only with it. Empty:
    the capabilities promise what they say.
    """

    room: ClassVar[str] = "connections"
    proof: ClassVar[str] = ""

    @abstractmethod
    def sender(self, settings: Values, context: ProviderContext) -> Sender:
        """Return the sender for complete settings. It connects with its first message.

        Raises:
            OSError: a local resource (a file, a certificate) is missing.
        """

    def further_problems(self, settings: Mapping[str, object]) -> Iterable[Problem]:
        """Say what a schema cannot; settings may be incomplete, and of any type."""
        return ()

    def check_settings(self, settings: Mapping[str, object]) -> Sequence[Problem]:
        """Check the schema, then what it cannot say."""
        return [*super().check_settings(settings), *self.further_problems(settings)]

    def further_address_problem(self, address: str) -> str | None:
        """Say why a printable address can never be one of this provider's, as a clause, or None."""
        return None

    def check_address(self, kind: Kind, address: str) -> str | None:
        """Check what every address of its kind keeps to, then what this provider's do."""
        return super().check_address(kind, address) or self.further_address_problem(address)

    def capabilities_for(self, settings: Mapping[str, object]) -> Capabilities:
        """Let as many batches go at once as there is room for, and promise no webhooks that nobody could check."""
        able = self.capabilities
        room = with_defaults(self.settings_schema, settings).get(self.room)
        if isinstance(room, int):
            able = replace(able, concurrency=max(1, room // able.batch_size))
        if self.proof and not settings.get(self.proof):
            able = replace(able, receipts=False, inbound=False, webhook=False)
        return able

    async def open(self, settings: Mapping[str, object], context: ProviderContext) -> Sender:
        """Connect with the first message.

        Raises:
            OSError: a local resource (a file, a certificate) is missing.
        """
        return self.sender(with_defaults(self.settings_schema, settings), context)


class CallSender(Sender, Generic[C]):
    """An opened channel that makes one call per message.

    `takes` is the content it sends, `provider` the name by which people know who is called. `holds_back` are the statuses
    whose `Retry-After` is meant for everybody and not for one recipient.
    """

    takes: ClassVar[type[Any]]
    provider: ClassVar[str]
    holds_back: ClassVar[frozenset[int]] = frozenset({429, 503})

    def __init__(self, context: ProviderContext) -> None:
        """Take the project's context; begin without a pause."""
        self._context = context
        self._pause = Pause()

    @property
    @abstractmethod
    def is_closed(self) -> bool:
        """Whether `close` was called. A closed sender says so, and not that somebody wants to be left alone."""

    @abstractmethod
    async def send(self, message: OutgoingMessage, content: C) -> SendResult:
        """Check one message, make its call with `exchange`, and say what became of it."""

    async def send_batch(self, messages: Sequence[OutgoingMessage]) -> Sequence[SendResult]:
        """Make one call per message, all at once; each answer is its own message's."""
        return await asyncio.gather(*map(self._send, messages))

    async def exchange(
        self,
        call: Callable[[], Awaitable[Answer | Rejected]],
        meaning: Callable[[Answer], SendResult],
        *,
        pause: Pause | None = None,
    ) -> SendResult:
        """Make a call unless the provider asked to be left alone, and say what came of it.

        `call` may reject the message before anything is sent (no access token). `pause` is that of one of several providers,
        this sender's own otherwise. What `call` raises beside `NotSent` and `NoAnswer` is raised.
        """
        pause = pause or self._pause
        if (until := pause.ends(self._context.now())) and not self.is_closed:
            detail = f"{self.provider} asked to be left alone until {until:%H:%M:%S} UTC"
            return Rejected(RejectReason.THROTTLED, retryable=True, detail=detail)
        try:
            answer = await call()
        except NotSent as error:
            return Rejected(RejectReason.UNAVAILABLE, retryable=True, detail=str(error))
        except NoAnswer as error:
            return Unknown(str(error))
        if isinstance(answer, Rejected):
            return answer
        if answer.status in self.holds_back:
            pause.note(answer, self._context.now())
        return meaning(answer)

    async def _send(self, message: OutgoingMessage) -> SendResult:
        if not isinstance(message.content, self.takes):
            return Unsupported(type(message.content).__name__)
        return await self.send(message, cast(C, message.content))


def refused(reason: RejectReason, detail: str) -> Rejected:
    """Return the result for a message that the provider would refuse for good, so it is not even asked."""
    return Rejected(reason, retryable=False, detail=detail)
