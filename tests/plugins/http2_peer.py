"""An HTTP/2 server for the tests, over TLS: strict about what comes in, and scripted in how it misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, RemoteSettingsChanged, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import H2Error, ProtocolError
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame

from tests.plugins.http_peers import Call, Reply

__all__ = ["Act", "Exchange", "Http2Peer", "tls_of"]


def tls_of(certificate: tuple[Path, Path], *, protocol: str = "h2", clients: Path | None = None) -> ssl.SSLContext:
    """Return a server's context; with `clients` it wants a certificate that this file vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.set_alpn_protocols([protocol])
    if clients:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@dataclass
class Conversation:
    """One connection of a client."""

    peer: Http2Peer
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    h2: H2Connection
    heads: dict[int, dict[str, str]] = field(default_factory=dict)
    bodies: dict[int, bytearray] = field(default_factory=dict)
    resets: list[int] = field(default_factory=list)
    window: asyncio.Event = field(default_factory=asyncio.Event)

    def flush(self) -> None:
        if data := self.h2.data_to_send():
            self.writer.write(data)

    def go_away(self, last_stream: int, reason: bytes = b'{"reason":"Shutdown"}') -> None:
        """Say that no stream above `last_stream` is looked at; those below are still answered (h2 would not let us)."""
        self.flush()
        frame = GoAwayFrame(0, last_stream_id=last_stream, error_code=0, additional_data=reason)
        self.writer.write(frame.serialize())

    def abort(self) -> None:
        self.writer.transport.abort()


@dataclass
class Exchange:
    """One call and the means to answer it, well or badly."""

    peer: Http2Peer
    call: Call
    stream: int
    conversation: Conversation

    def send(self, reply: Reply) -> None:
        if self.stream in self.conversation.resets or self.conversation.writer.transport.is_closing():
            return
        headers = [(":status", str(reply.status)), *reply.headers]
        if reply.body:
            headers.append(("content-type", reply.content_type))
        with contextlib.suppress(H2Error):  # the client may have given the stream up
            self.conversation.h2.send_headers(self.stream, headers, end_stream=not reply.body)
            if reply.body:
                self.conversation.h2.send_data(self.stream, reply.body, end_stream=True)
            self.conversation.flush()

    def reset(self, code: ErrorCodes) -> None:
        self.conversation.h2.reset_stream(self.stream, code)
        self.conversation.flush()


Act = Callable[[Exchange], Awaitable[None]]


@dataclass
class Http2Peer:
    """A server on loopback. Each call is answered by the next act of `script`; when there is none, by `answer`.

    `most_streams` is what it announces, `window` what it lets a stream send. What is not HTTP/2 is noted in
    `violations`, which is checked at the end: our client must never cause one.
    """

    most_streams: int = 1000
    window: int = 65535
    script: deque[Act] = field(default_factory=deque)
    calls: list[Call] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    conversations: list[Conversation] = field(default_factory=list)
    connections: int = 0
    at_once: int = 0
    most_at_once: int = 0
    port: int = 0
    open_windows: bool = True
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def answer(self, call: Call) -> Reply:
        """Answer a call as the service does."""
        return Reply()

    async def first(self) -> None:
        """Wait before a call is answered as usual; a test may replace it to hold calls back."""

    def acts(self, *acts: Act) -> Self:
        """Add acts for the next calls."""
        self.script.extend(acts)
        return self

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    @asynccontextmanager
    async def running(self, tls: ssl.SSLContext) -> AsyncIterator[Self]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for _ in range(20):
                await asyncio.sleep(0)
                for conversation in self.conversations:
                    conversation.abort()
        assert self.violations == []

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        conversation = Conversation(self, reader, writer, h2)
        self.conversations.append(conversation)
        self._start(self._serve(conversation))

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, conversation: Conversation) -> None:
        h2 = conversation.h2
        initial = {
            SettingCodes.MAX_CONCURRENT_STREAMS: self.most_streams,
            SettingCodes.INITIAL_WINDOW_SIZE: self.window,
        }
        h2.local_settings = Settings(client=False, initial_values=initial)
        h2.initiate_connection()
        conversation.flush()
        try:
            while data := await conversation.reader.read(65536):
                for event in h2.receive_data(data):
                    self._on(conversation, event)
                conversation.flush()
        except ProtocolError as error:
            self.violations.append(repr(error))
            conversation.flush()
        except OSError:
            pass
        conversation.writer.close()

    def _on(self, conversation: Conversation, event: Event) -> None:
        match event:
            case RequestReceived():
                conversation.heads[event.stream_id] = {str(name): str(value) for name, value in event.headers or ()}
                conversation.bodies[event.stream_id] = bytearray()
            case DataReceived():
                conversation.bodies[event.stream_id].extend(event.data)
                if self.open_windows:
                    conversation.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
            case StreamReset():
                conversation.resets.append(event.stream_id)
            case RemoteSettingsChanged():
                pass
            case StreamEnded():
                head = conversation.heads[event.stream_id]
                call = Call(head[":method"], head[":path"], head, bytes(conversation.bodies[event.stream_id]))
                self.calls.append(call)
                self._start(self._answer(Exchange(self, call, event.stream_id, conversation)))

    async def _answer(self, exchange: Exchange) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.script:
                await self.script.popleft()(exchange)
            else:
                await self.first()
                exchange.send(self.answer(exchange.call))
        finally:
            self.at_once -= 1
