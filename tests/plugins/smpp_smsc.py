"""An SMSC for the tests that keeps SMPP 3.4 and tells when its client does not; a script decides how it answers."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from heliograph_channel_smpp.pdu import RESPONSE, Address, Bind, Command, Pdu, ShortMessage, Splitter, Tlv, encode
from heliograph_channel_smpp.statuses import Status

SYSTEM_ID, PASSWORD = "heliograph", "s3cret-8"
_BINDS = {
    Command.BIND_RECEIVER: "receiver",
    Command.BIND_TRANSMITTER: "transmitter",
    Command.BIND_TRANSCEIVER: "transceiver",
}


@dataclass
class Submit:
    """One submit_sm as it arrived; `number` counts from 0 over all sessions."""

    number: int
    sequence: int
    session: Bound
    message: ShortMessage

    def answer(self, status: int = 0, id: str | None = None) -> None:
        """Answer it: with a status, or with the id of a taken message."""
        self.session.waiting -= 1
        body = b"" if status else (self.session.smsc.next_id() if id is None else id).encode() + b"\0"
        self.session.write(Pdu(RESPONSE | Command.SUBMIT_SM, status, self.sequence, body))


Script = Callable[[Submit], Awaitable[None]]


async def taking(submit: Submit) -> None:
    """Take everything."""
    submit.answer()


class Bound(asyncio.Protocol):
    """One session. It breaks off, and says so in `smsc.breaches`, when the client breaks the protocol."""

    def __init__(self, smsc: Smsc) -> None:
        self.smsc = smsc
        self.state = "open"
        self.waiting = 0
        self.most_waiting = 0
        self.expected = 1
        self.sequence = 0
        self.answers: dict[int, asyncio.Future[Pdu]] = {}
        self.nacks: list[Pdu] = []
        self.splitter = Splitter()
        self.transport: asyncio.Transport | None = None
        self.number = len(smsc.sessions)
        smsc.sessions.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.state = "closed"
        for answer in self.answers.values():
            if not answer.done():
                answer.set_exception(ConnectionError("the session is gone"))
                answer.exception()
        self.smsc.notify()

    def data_received(self, data: bytes) -> None:
        for pdu in self.splitter.feed(data):
            if self.state == "closed":
                return
            if pdu.command & RESPONSE:
                self._answered(pdu)
            else:
                self._asked(pdu)
        self.smsc.notify()

    @property
    def wire(self) -> asyncio.Transport:
        """The transport of a session that is connected."""
        assert self.transport is not None
        return self.transport

    def write(self, pdu: Pdu) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(encode(pdu))

    def drop(self) -> None:
        """Break off as a process that is killed does."""
        self.state = "closed"
        self.wire.abort()

    async def deliver(self, message: ShortMessage, command: int = Command.DELIVER_SM, body: bytes | None = None) -> int:
        """Bring a message and return the status the client answers."""
        return (await self.ask(command, message.encode() if body is None else body)).status

    async def ask(self, command: int, body: bytes = b"") -> Pdu:
        """Send a request and return its answer."""
        assert self.state in ("receiver", "transceiver", "transmitter"), self.state
        self.sequence += 1
        answer = self.answers[self.sequence] = asyncio.get_running_loop().create_future()
        self.write(Pdu(command, 0, self.sequence, body))
        return await asyncio.wait_for(answer, 10)

    def _answered(self, pdu: Pdu) -> None:
        answer = self.answers.pop(pdu.sequence, None)
        if answer is None:
            if pdu.command == RESPONSE | Command.GENERIC_NACK:
                self.nacks.append(pdu)
            else:
                self._breach(f"an answer to nothing: {pdu.command:#x} {pdu.sequence}")
        elif not answer.done():
            answer.set_result(pdu)

    def _asked(self, pdu: Pdu) -> None:
        if pdu.sequence != self.expected or pdu.status != 0:
            return self._breach(f"sequence {pdu.sequence} and status {pdu.status}, expected {self.expected} and 0")
        self.expected += 1
        if pdu.command in _BINDS:
            return self._bind(pdu)
        if self.state == "open":
            return self._breach(f"command {pdu.command:#x} before a bind")
        if pdu.command == Command.SUBMIT_SM:
            return self._submit(pdu)
        if pdu.body:
            return self._breach(f"command {pdu.command:#x} has a body")
        if pdu.command == Command.ENQUIRE_LINK:
            self.smsc.enquiries += 1
            if self.smsc.answers_enquiries:
                self.write(Pdu(RESPONSE | pdu.command, 0, pdu.sequence))
        elif pdu.command == Command.UNBIND:
            self.smsc.unbinds += 1
            self.write(Pdu(RESPONSE | pdu.command, 0, pdu.sequence))
            self.wire.close()
        else:
            self._breach(f"command {pdu.command:#x} is not for an SMSC")
        return None

    def _bind(self, pdu: Pdu) -> None:
        if self.state != "open":
            return self._breach("a second bind")
        bind = Bind.decode(pdu.body)
        assert bind.interface_version == 0x34
        self.smsc.binds.append(bind)
        if not self.smsc.answers_binds:
            return None
        if status := self.smsc.bind_status:
            self.write(Pdu(RESPONSE | pdu.command, status, pdu.sequence))
            return None
        if (bind.system_id, bind.password) != (SYSTEM_ID, PASSWORD):
            self.write(Pdu(RESPONSE | pdu.command, Status.ESME_RINVPASWD, pdu.sequence))
            return None
        self.state = _BINDS[Command(pdu.command)]
        self.write(Pdu(RESPONSE | pdu.command, 0, pdu.sequence, b"strict\0" + b"\x02\x10\x00\x01\x34"))
        return None

    def _submit(self, pdu: Pdu) -> None:
        if self.state == "receiver":
            return self._breach("a receiver submits")
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        if self.waiting > self.smsc.window:
            return self._breach(f"{self.waiting} submits wait in a window of {self.smsc.window}")
        submit = Submit(len(self.smsc.submits), pdu.sequence, self, ShortMessage.decode(pdu.body))
        self.smsc.submits.append(submit)
        if self.smsc.script is taking:
            submit.answer()
        else:
            self.smsc.spawn(self.smsc.script(submit))
        return None

    def _breach(self, what: str) -> None:
        self.smsc.breaches.append(what)
        self.drop()


@dataclass
class Smsc:
    """The server. `breaches` are what its clients did wrong."""

    script: Script = taking
    window: int = 10
    bind_status: int = 0
    answers_binds: bool = True
    answers_enquiries: bool = True
    hex_ids: bool = False
    sessions: list[Bound] = field(default_factory=list)
    binds: list[Bind] = field(default_factory=list)
    submits: list[Submit] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)
    enquiries: int = 0
    unbinds: int = 0
    port: int = 0
    _ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1000))
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Smsc]:
        """Serve on a free loopback port, or again on the one it had; afterwards no client may have broken the protocol."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Bound(self), "127.0.0.1", self.port, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for session in self.sessions:
                if session.transport is not None:  # None: the handshake of TLS was not over
                    session.transport.abort()
            await asyncio.sleep(0)
        assert self.breaches == []

    def next_id(self) -> str:
        number = next(self._ids)
        return f"{number:X}" if self.hex_ids else str(number)

    def spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def notify(self) -> None:
        self._changed.set()

    async def until(self, condition: Callable[[], bool], within: float = 10.0) -> None:
        """Wait for a condition that changes with what clients do."""
        async with asyncio.timeout(within):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    @property
    def bound(self) -> list[Bound]:
        """The sessions that are bound now."""
        return [session for session in self.sessions if session.state not in ("open", "closed")]

    async def bound_session(self, role: str = "transceiver") -> Bound:
        """Wait for a session in this role."""
        await self.until(lambda: any(session.state == role for session in self.sessions))
        return next(session for session in reversed(self.sessions) if session.state == role)


def settings_for(port: int, **changes: object) -> dict[str, object]:
    """Return settings for an SMSC on this port."""
    base = {"host": "127.0.0.1", "port": port, "security": "none", "system_id": SYSTEM_ID, "password": PASSWORD}
    return {**base, "from": "+12065550199", "reconnect_seconds": 0.2, **changes}


def a_receipt(id: str, state: str = "DELIVRD", *, error: str = "000", done: str = "2611270412") -> ShortMessage:
    """Return a receipt in the form of appendix B, without TLVs."""
    text = f"id:{id} sub:001 dlvrd:001 submit date:2611270411 done date:{done} stat:{state} err:{error} text:Hello id:9"
    return ShortMessage(Address(1, 1, "12065550100"), Address(1, 1, "12065550199"), text.encode(), esm_class=0x04)


def a_tlv_receipt(id: str, state: int = 2) -> ShortMessage:
    """Return a receipt that says everything in TLVs."""
    tlvs = ((int(Tlv.RECEIPTED_MESSAGE_ID), id.encode() + b"\0"), (int(Tlv.MESSAGE_STATE), bytes((state,))))
    return ShortMessage(Address(1, 1, "12065550100"), Address(1, 1, "12065550199"), esm_class=0x04, tlvs=tlvs)


def from_a_person(text: bytes, **more: object) -> ShortMessage:
    """Return a message from a person."""
    return ShortMessage(Address(1, 1, "12065550100"), Address(1, 1, "12065550199"), text, **more)  # type: ignore[arg-type]
