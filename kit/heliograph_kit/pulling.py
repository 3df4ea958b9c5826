"""A pull subscription of our own: returns what is there at once, waits only for the first message, notices silence.

The client's `fetch(n)` waits for a full batch until its timeout once it had to wait for the first message, and after a
server restart it sits out its whole timeout. This one asks in two steps and has the server send heartbeats.
"""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Self

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import Header

from heliograph_kit.bus import Bus

_log = logging.getLogger(__name__)

_HEARTBEAT = 1.0
_SILENCE = 2.6 * _HEARTBEAT
_ANSWER = 2.0
_IDLE, _NOT_FOUND, _TIMEOUT, _CONFLICT, _NO_RESPONDERS = "100", "404", "408", "409", "503"


class Silent(Exception):
    """The server did not answer the pull: connection, subscription or consumer is gone, or was replaced."""


class PullSubscription:
    """One inbox through which messages of one consumer are pulled; used by one task at a time."""

    def __init__(self, bus: Bus, stream: str, consumer: str, inbox: str, subscription: Subscription) -> None:
        """Use `open`."""
        self._bus = bus
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._inbox = inbox
        self._subscription = subscription
        self._requests = 0
        self._taken: list[Msg] = []

    @classmethod
    async def open(cls, bus: Bus, stream: str, consumer: str) -> Self:
        """Subscribe to a fresh inbox."""
        inbox = bus.client.new_inbox()
        # Every request has its own reply subject below the inbox: a late status of an old one cannot end a new one.
        subscription = await bus.client.subscribe(
            f"{inbox}.*", pending_msgs_limit=65536, pending_bytes_limit=256 * 1024 * 1024
        )
        return cls(bus, stream, consumer, inbox, subscription)

    async def fetch(self, batch: int, linger: timedelta) -> list[Msg]:
        """Return up to `batch` messages: what is there now, else wait up to `linger` for the first.

        Raises:
            Silent: neither message nor status came; open a new subscription and look at the consumer.
        """
        # Kept on the object: a fetch that is cancelled half way leaves what it took for `close` to give back.
        self._taken = []
        try:
            await self._pull(batch, None)
            if not self._taken:
                await self._pull(1, linger)
                if self._taken and batch > 1:
                    await self._pull(batch - 1, None)
        except Silent:
            if not self._taken:
                raise
        taken, self._taken = self._taken, []
        return taken

    async def close(self) -> None:
        """Give back what was pulled and not taken, and unsubscribe."""
        try:
            for message in self._taken:
                await message.nak()
            self._taken = []
            while self._subscription.pending_msgs:
                message = await self._subscription.next_msg(timeout=0.05)
                if _status(message) is None:
                    await message.nak()
            await self._subscription.unsubscribe()
        except Exception as error:
            _log.debug("leaving a subscription: %s", error)

    async def _pull(self, batch: int, linger: timedelta | None) -> None:
        self._requests += 1
        reply = f"{self._inbox}.{self._requests}"
        request: dict[str, object] = {"batch": batch}
        if linger is None:
            request["no_wait"] = True
        else:
            request["expires"] = int(linger.total_seconds() * 1e9)
            if linger.total_seconds() > 2 * _HEARTBEAT:
                request["idle_heartbeat"] = int(_HEARTBEAT * 1e9)
        await self._bus.client.publish(self._next, json.dumps(request).encode(), reply=reply)
        patience = _ANSWER if linger is None else min(linger.total_seconds() + 1, _SILENCE)
        wanted = len(self._taken) + batch
        while len(self._taken) < wanted:
            try:
                message = await self._subscription.next_msg(timeout=patience)
            except TimeoutError:
                raise Silent from None
            status = _status(message)
            if status is None:
                self._taken.append(message)
            elif message.subject != reply or status == _IDLE:
                continue
            elif status in (_NOT_FOUND, _TIMEOUT):
                return
            else:
                # 409: consumer deleted or leadership changed; 503: no such consumer.
                raise Silent(status)


def _status(message: Msg) -> str | None:
    if message.headers is None or message.data:
        return None
    return message.headers.get(Header.STATUS.value)
