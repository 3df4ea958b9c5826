"""Connections that are kept: bound again after every loss, and shared by whoever submits."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from heliograph_channel_smpp.pdu import Address, Bind, Command, Pdu
from heliograph_channel_smpp.session import NoAnswer, NotTaken, Session, Timing
from heliograph_channel_smpp.statuses import rejection
from heliograph_channels import Rejected, RejectReason

__all__ = ["Account", "Link", "Links", "NoSession", "Role", "reconnect_pause"]

Role = Literal["transceiver", "transmitter", "receiver"]
_BINDS = {
    "transceiver": Command.BIND_TRANSCEIVER,
    "transmitter": Command.BIND_TRANSMITTER,
    "receiver": Command.BIND_RECEIVER,
}
_FIRST_PAUSE = 0.5
# A session that does not live so long, in seconds, counts as a failure when it is not the first.
_SHORT_LIFE = 5.0


class NoSession(Exception):
    """There is no session to be had now; `result` is the answer for a message that wanted one."""

    def __init__(self, result: Rejected) -> None:
        """Keep the result."""
        super().__init__(result.detail)
        self.result = result


@dataclass(frozen=True)
class Account:
    """Where and how to bind. Times are seconds. The password never shows in a repr."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    system_id: str
    password: str
    system_type: str
    address_range: str
    connect_timeout: float
    longest_pause: float
    timing: Timing

    def __repr__(self) -> str:
        """Name the SMSC only."""
        return f"<Account at {self.host}:{self.port}>"


def reconnect_pause(failures: int, jitter: float, longest: float) -> float:
    """Return how long to wait before binding again, in seconds: none after a session that lived, then 0.5 s doubling.

    `jitter` (0..1) takes up to half of it away, so that the many clients of an SMSC that restarts do not come at once.
    """
    if failures == 0:
        return 0.0
    return float(min(longest, _FIRST_PAUSE * 2 ** min(failures - 1, 16)) * (1 - jitter / 2))


class Link:
    """One connection in one role. `session` is None while there is none; then `why` says why, or it is `connecting`."""

    def __init__(self, account: Account, role: Role, links: Links) -> None:
        """Do nothing yet."""
        self.role = role
        self.session: Session | None = None
        self.connecting = True
        self.why = Rejected(RejectReason.UNAVAILABLE, retryable=True, detail="not connected yet")
        self._account = account
        self._links = links

    async def keep(self) -> None:
        """Bind, wait until the session is lost, and begin again, until cancelled."""
        loop = asyncio.get_running_loop()
        failures = short_lives = 0
        while True:
            self.connecting = True
            try:
                session = await self._bind()
            except NoSession as error:
                self.why = error.result
                failures += 1
                self._links.logger.warning("%s: %s", self.role, error)
            else:
                self.session, self.connecting = session, False
                self._links.changed()
                since = loop.time()
                try:
                    await session.wait_lost()
                finally:
                    self.session = None
                self.why = Rejected(RejectReason.UNAVAILABLE, retryable=True, detail=session.lost or "unbound")
                self._links.logger.warning("%s: the session ended: %s", self.role, session.lost)
                # The first short life is bad luck; an SMSC that keeps on closing is not asked at once.
                failures = short_lives
                short_lives += 1
                if loop.time() - since >= _SHORT_LIFE:
                    failures = short_lives = 0
            if pause := reconnect_pause(failures, self._links.jitter(), self._account.longest_pause):
                self.connecting = False
                self._links.changed()
                await asyncio.sleep(pause)

    async def _bind(self) -> Session:
        account, links = self._account, self._links
        session = Session(account.timing, links.incoming, links.changed, links.logger)
        why = f"no session within {account.connect_timeout:g} s"
        try:
            async with asyncio.timeout(account.connect_timeout):
                await asyncio.get_running_loop().create_connection(
                    lambda: session,
                    account.host,
                    account.port,
                    ssl=account.tls,
                    server_hostname=account.host if account.tls else None,
                )
                bind = Bind(
                    account.system_id, account.password, account.system_type, range=Address(0, 0, account.address_range)
                )
                answer = await session.request(_BINDS[self.role], bind.encode())
            if answer.status == 0:
                session.bound = True
                return session
            result = rejection(answer.status, "the bind")
            if not result.retryable:  # whatever is wrong with the bind is not wrong with the messages
                result = Rejected(RejectReason.UNAVAILABLE, retryable=True, detail=result.detail)
            session.abort("not bound")
            await asyncio.sleep(0)
            raise NoSession(result)
        except TimeoutError:
            session.abort(why)
        except (OSError, UnicodeError, NotTaken, NoAnswer) as error:
            why = f"no session: {type(error).__name__}: {error}"
            session.abort(why)
        except BaseException:
            session.abort("not needed")
            raise
        await asyncio.sleep(0)
        raise NoSession(Rejected(RejectReason.UNAVAILABLE, retryable=True, detail=why))


class Links:
    """All connections of one sender, and the queue of those that wait for a place in a window. First come, first served."""

    def __init__(
        self,
        account: Account,
        roles: Sequence[Role],
        *,
        incoming: Callable[[Session, Pdu], None],
        jitter: Callable[[], float],
        logger: logging.Logger,
    ) -> None:
        """Take what the connections need; `start` makes them."""
        self.incoming = incoming
        self.jitter = jitter
        self.logger = logger
        self.all = [Link(account, role, self) for role in roles]
        self._senders = [link for link in self.all if link.role != "receiver"]
        self._waiting: deque[asyncio.Future[Session]] = deque()
        self._tasks: list[asyncio.Task[None]] = []
        self.closed = False

    def start(self) -> None:
        """Begin to connect."""
        self._tasks = [asyncio.create_task(link.keep()) for link in self.all]

    async def slot(self) -> Session:
        """Return a session with a place in its window taken, waiting for one while there is hope.

        Raises:
            NoSession: no connection is bound or about to be.
        """
        if not self._waiting:
            session = self._roomy()
            if session is not None:
                session.take()
                return session
        if (hopeless := self._hopeless()) is not None:
            raise NoSession(hopeless)
        waiter: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                waiter.result().give_back()
            raise

    def bound(self) -> Session | None:
        """Return a session that can send, whether it has room or not; None where none is bound."""
        return next((link.session for link in self._senders if link.session is not None), None)

    def changed(self) -> None:
        """Serve those who wait: there may be room, or no hope any more."""
        while self._waiting:
            if self._waiting[0].done():  # cancelled
                self._waiting.popleft()
                continue
            session = self._roomy()
            if session is None:
                break
            session.take()
            self._waiting.popleft().set_result(session)
        if self._waiting and (hopeless := self._hopeless()) is not None:
            waiting, self._waiting = self._waiting, deque()
            for waiter in waiting:
                if not waiter.done():
                    waiter.set_exception(NoSession(hopeless))

    async def close(self, patience: float) -> None:
        """Unbind everything, giving answers up to `patience` seconds to come."""
        self.closed = True
        self.changed()
        sessions = [link.session for link in self.all if link.session is not None]
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(session.unbind(patience) for session in sessions))
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _roomy(self) -> Session | None:
        best, room = None, 0
        if self.closed:
            return None
        for link in self._senders:
            if link.session is not None and (here := link.session.room()) > room:
                best, room = link.session, here
        return best

    def _hopeless(self) -> Rejected | None:
        if self.closed:
            return Rejected(RejectReason.UNAVAILABLE, retryable=True, detail="the channel is closed")
        for link in self._senders:
            if link.connecting or link.session is not None:
                return None
        return self._senders[0].why
