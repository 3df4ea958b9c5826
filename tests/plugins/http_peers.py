"""HTTP servers for the tests: strict about what comes in, and scripted in how they misbehave."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qsl

import h11

__all__ = [
    "Act",
    "Call",
    "Exchange",
    "HttpPeer",
    "Reply",
    "answering",
    "dribbling",
    "dropping",
    "garbling",
    "losing",
    "silent",
]


@dataclass(frozen=True)
class Call:
    """A request as it arrived; names of headers are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        parsed = json.loads(self.body)
        assert isinstance(parsed, dict)
        return parsed

    @property
    def form(self) -> list[tuple[str, str]]:
        return parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=True, errors="strict")


@dataclass(frozen=True)
class Reply:
    """An answer. `headers` are further ones; the length is always told."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, status: int, value: object, *headers: tuple[str, str]) -> Reply:
        return cls(status, json.dumps(value).encode(), headers=headers)


@dataclass
class Exchange:
    """One call and the means to answer it, well or badly."""

    peer: HttpPeer
    call: Call
    connection: h11.Connection
    writer: asyncio.StreamWriter

    def send(self, reply: Reply) -> None:
        fields = [
            ("Content-Type", reply.content_type),
            ("Content-Length", str(len(reply.body))),
            *reply.headers,
        ]
        response = h11.Response(status_code=reply.status, headers=fields)
        self._write(self.connection.send(response))
        self._write(self.connection.send(h11.Data(data=reply.body)))
        self._write(self.connection.send(h11.EndOfMessage()))

    def raw(self, data: bytes) -> None:
        self.writer.write(data)

    def abort(self) -> None:
        self.writer.transport.abort()

    def _write(self, data: bytes | None) -> None:
        if data:
            self.writer.write(data)


Act = Callable[[Exchange], Awaitable[None]]


@dataclass
class HttpPeer:
    """A server on loopback. Each call is answered by the next act of `script`; when there is none, by `answer`.

    What is not HTTP/1.1 is answered 400 and noted in `violations`, which is checked at the end: our client must never
    cause one.
    """

    script: deque[Act] = field(default_factory=deque)
    calls: list[Call] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    connections: int = 0
    most_at_once: int = 0
    port: int = 0
    _at_once: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def answer(self, call: Call) -> Reply:
        """Answer a call as the provider does."""
        return Reply()

    def acts(self, *acts: Act) -> Self:
        """Add acts for the next calls."""
        self.script.extend(acts)
        return self

    @asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Self]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await self._settle()
        assert self.violations == []

    async def _settle(self) -> None:
        """End what is under way, and let the loop close every socket: those still shaking hands are known to it alone."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for _ in range(50):
            await asyncio.sleep(0)
            for writer in self._writers:
                writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        self._tasks.add(asyncio.get_running_loop().create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        try:
            while (call := await self._read(connection, reader)) is not None:
                self.calls.append(call)
                self._at_once += 1
                self.most_at_once = max(self.most_at_once, self._at_once)
                exchange = Exchange(self, call, connection, writer)
                try:
                    if self.script:
                        await self.script.popleft()(exchange)
                    else:
                        await self.first()
                        exchange.send(self.answer(call))
                finally:
                    self._at_once -= 1
                if writer.transport.is_closing() or connection.our_state is not h11.DONE:
                    break
                connection.start_next_cycle()
        except h11.RemoteProtocolError as error:
            self.violations.append(str(error))
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        except ConnectionError:
            pass
        writer.close()

    async def first(self) -> None:
        """Wait before a call is answered as usual; a test may replace it to hold calls back."""

    @staticmethod
    async def _read(connection: h11.Connection, reader: asyncio.StreamReader) -> Call | None:
        request: h11.Request | None = None
        body: list[bytes] = []
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                data = await reader.read(65536)
                if not data and connection.their_state is h11.IDLE:
                    return None
                connection.receive_data(data)
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                assert request is not None
                headers: dict[str, str] = {}
                for name, value in request.headers:
                    headers[name.decode()] = value.decode()
                return Call(request.method.decode(), request.target.decode(), headers, b"".join(body))
            else:
                return None


def answering(
    status: int, body: bytes = b"{}", *headers: tuple[str, str], content_type: str = "application/json"
) -> Act:
    """Answer this, whatever the call."""

    async def act(exchange: Exchange) -> None:
        exchange.send(Reply(status, body, content_type, headers))

    return act


async def losing(exchange: Exchange) -> None:
    """Do what the call asks for, and break the connection instead of answering."""
    exchange.peer.answer(exchange.call)
    exchange.abort()


async def dropping(exchange: Exchange) -> None:
    """Read the call, do nothing, break the connection."""
    exchange.abort()


async def silent(exchange: Exchange) -> None:
    """Do what the call asks for and never answer."""
    exchange.peer.answer(exchange.call)
    await asyncio.Event().wait()


async def garbling(exchange: Exchange) -> None:
    """Answer something that is not HTTP."""
    exchange.raw(b"\x00\x01 no protocol at all\r\n\r\n")
    exchange.writer.close()


def dribbling(status: int) -> Act:
    """Tell the status at once and then a byte every 50 ms, without end."""

    async def act(exchange: Exchange) -> None:
        exchange.peer.answer(exchange.call)
        head = f"HTTP/1.1 {status} Words\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
        exchange.raw(head.encode())
        while True:
            exchange.raw(b" ")
            await asyncio.sleep(0.05)

    return act
