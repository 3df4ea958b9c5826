"""One HTTP/2 connection, with as many calls at once as the server allows, and the truth about each when it breaks.

A call is certainly not processed (`NotSent`) when its last byte was never handed over, when the server refused its
stream, or when the server's GOAWAY names an earlier one. Every other end without an answer leaves a doubt (`NoAnswer`).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Self, TypeAlias

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    PingAckReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings
from hpack import HeaderTuple

from heliograph_channel_apns.frames import Frames, FramesBroken, GoAway
from heliograph_channel_apns.streams import Moved, Stream
from heliograph_channels.http_client import Answer, NoAnswer, NotSent

__all__ = ["Connection", "Header"]

Header: TypeAlias = HeaderTuple | tuple[str, str]

# At DEBUG hpack writes every block of headers, and with it our provider token: Huffman's code hides nothing.
logging.getLogger("hpack").setLevel(logging.INFO)

_CONNECT_SECONDS = 5.0
_CLOSE_SECONDS = 1.0
_MOST_HEADERS = 32 * 1024


class Connection:
    """A connection that is open until it breaks, is closed, or the server says that it goes. One event loop uses it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most_streams: int) -> None:
        """Take an open connection; `open` makes one."""
        self._reader, self._writer = reader, writer
        self._most = most_streams
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding="latin-1"))
        initial = {
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.MAX_HEADER_LIST_SIZE: _MOST_HEADERS,
        }
        self._h2.local_settings = Settings(client=True, initial_values=initial)
        self._frames = Frames()
        self._streams: dict[int, Stream] = {}
        self._busy = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._window = asyncio.Event()
        self._greeted = asyncio.Event()
        self._pong = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._ended = ""
        self._leaving = ""
        self._h2.initiate_connection()
        self._flush()
        self._task = self._loop.create_task(self._read())

    @classmethod
    async def open(cls, host: str, port: int, tls: ssl.SSLContext, *, within: float, most_streams: int) -> Self:
        """Connect, agree on HTTP/2, and wait for the server's settings: before, nobody knows how many streams it takes.

        Raises:
            NotSent: no connection, no TLS, no HTTP/2, or no time left (at most 5 s).
        """
        try:
            async with asyncio.timeout(min(within, _CONNECT_SECONDS)):
                reader, writer = await asyncio.open_connection(host, port, ssl=tls)
        except OSError as error:  # TimeoutError and ssl.SSLError are some
            raise NotSent(f"no connection: {_words(error)}") from error
        agreed = writer.get_extra_info("ssl_object").selected_alpn_protocol()
        if agreed != "h2":
            writer.transport.abort()
            raise NotSent("the server does not speak HTTP/2")
        connection = cls(reader, writer, most_streams)
        try:
            async with asyncio.timeout(min(within, _CONNECT_SECONDS)):
                await connection._greeted.wait()
        except BaseException as error:
            connection.abort()
            if isinstance(error, TimeoutError):
                raise NotSent("the server sent no settings") from error
            raise
        if connection._ended:
            raise NotSent(f"no connection: {connection._ended}")
        return connection

    @property
    def usable(self) -> bool:
        """Whether a call may be begun here."""
        return not (self._ended or self._leaving)

    @property
    def quiet_seconds(self) -> float:
        """How long nothing came from the server."""
        return self._loop.time() - self._heard

    @property
    def streams(self) -> int:
        """How many calls are under way."""
        return len(self._streams)

    async def call(self, headers: Sequence[Header], content: bytes, *, ends: float) -> Answer:
        """Make one call; `ends` is the loop's time by which it must be answered. May be cancelled at any time.

        Raises:
            Moved: the server did not look at it, because it goes away or takes no more streams.
            NotSent: the server cannot have all of it.
            NoAnswer: the server may have acted on it.
        """
        try:
            async with asyncio.timeout_at(ends):
                await self._take_slot()
        except TimeoutError as error:
            raise NotSent("no stream became free in time") from error
        begun = self._loop.time()
        stream: Stream | None = None
        try:
            stream = self._begin(headers)
            async with asyncio.timeout_at(ends):
                await self._write(stream, content)
                outcome = await stream.outcome
        except TimeoutError as error:
            assert stream is not None
            if self._heard < begun:
                self._leave("the server fell silent")
            if stream.status:
                return stream.answer(whole=False)
            if not stream.complete:
                raise NotSent("time ran out before all of the call was sent") from error
            raise NoAnswer("the call was sent, and no answer came in time") from error
        finally:
            self._give_back(stream)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def alive(self, *, within: float) -> bool:
        """Ask the server for a sign of life."""
        self._pong.clear()
        try:
            self._h2.ping(b"heliogra")
            self._flush()
            async with asyncio.timeout(within):
                await self._pong.wait()
        except (TimeoutError, H2Error):
            return False
        return self.usable

    async def close(self) -> None:
        """Say goodbye and close; calls under way end as they would if the connection broke. Safe to repeat."""
        if not self._ended:
            self._end("the channel is closed")
            try:
                self._h2.close_connection()
                self._flush()
                self._writer.close()
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._writer.wait_closed()
            except (OSError, H2Error, TimeoutError):
                self._writer.transport.abort()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def abort(self) -> None:
        """Break the connection off; calls under way end accordingly."""
        self._end("the connection was given up")
        self._writer.transport.abort()
        self._task.cancel()

    # Streams and their number

    async def _take_slot(self) -> None:
        while True:
            if self._ended or self._leaving:
                raise Moved(self._ended or self._leaving)
            if self._busy < min(self._most, self._h2.remote_settings.max_concurrent_streams):
                self._busy += 1
                return
            turn = self._loop.create_future()
            self._queue.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                self._wake()  # the turn may have been given to us just now: pass it on
                raise

    def _wake(self) -> None:
        free = min(self._most, self._h2.remote_settings.max_concurrent_streams) - self._busy
        while self._queue and (free > 0 or not self.usable):
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                free -= 1

    def _begin(self, headers: Sequence[Header]) -> Stream:
        if not self.usable:
            raise Moved(self._ended or self._leaving)
        try:
            id = self._h2.get_next_available_stream_id()
            self._h2.send_headers(id, headers)
        except H2Error as error:  # no ids are left, or the server allows fewer streams than a moment ago
            self._leave(_words(error))
            raise Moved(_words(error)) from error
        stream = self._streams[id] = Stream(id, self._loop.create_future())
        self._flush()
        return stream

    async def _write(self, stream: Stream, content: bytes) -> None:
        rest = content
        while not stream.outcome.done():
            room = min(self._h2.local_flow_control_window(stream.id), self._h2.max_outbound_frame_size)
            if rest and room <= 0:
                await self._window.wait()
                continue
            piece, rest = rest[:room], rest[room:]
            self._h2.send_data(stream.id, piece, end_stream=not rest)
            # From here on the server may have all of it, however the flush ends.
            stream.complete = not rest
            self._flush()
            if stream.complete:
                return

    def _give_back(self, stream: Stream | None) -> None:
        if stream is not None:
            self._streams.pop(stream.id, None)
            given_up = stream.outcome.cancelled() or not stream.outcome.done()
            if (given_up or not stream.complete) and not self._ended:
                try:
                    self._h2.reset_stream(stream.id, ErrorCodes.CANCEL)
                    self._flush()
                except H2Error:
                    pass  # the server closed it first
        self._busy -= 1
        self._wake()
        self._close_when_left()

    # What comes from the server

    async def _read(self) -> None:
        words = "the server closed the connection"
        try:
            while data := await self._reader.read(65536):
                self._heard = self._loop.time()
                for piece in self._frames.feed(data):
                    if isinstance(piece, GoAway):
                        self._go_away(piece)
                    else:
                        for event in self._h2.receive_data(piece):
                            self._on(event)
                self._flush()
        except (OSError, H2Error, FramesBroken) as error:
            words = _words(error)
            self._flush()
        finally:
            self._end(words)
            self._writer.close()

    def _on(self, event: Event) -> None:
        match event:
            case RemoteSettingsChanged():
                self._greeted.set()
                self._open_window()
                self._wake()
            case WindowUpdated():
                self._open_window()
            case PingAckReceived():
                self._pong.set()
            case ResponseReceived():
                if stream := self._streams.get(event.stream_id):
                    stream.begin(event)
            case DataReceived():
                self._h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
                if stream := self._streams.get(event.stream_id):
                    stream.extend(event.data)
            case StreamEnded():
                if stream := self._streams.get(event.stream_id):
                    self._settle(stream, stream.answer(whole=True))
            case StreamReset():
                if stream := self._streams.get(event.stream_id):
                    self._settle(stream, stream.after_reset(event))

    def _go_away(self, told: GoAway) -> None:
        """Let the streams that the server still answers be answered; it never looked at the others."""
        self._leave(f"the server goes away: {told.words}")
        for stream in list(self._streams.values()):
            if stream.id > told.last_stream:
                self._settle(stream, Moved(self._leaving))
        self._open_window()

    def _leave(self, words: str) -> None:
        self._leaving = self._leaving or words
        self._greeted.set()
        self._wake()
        self._close_when_left()

    def _close_when_left(self) -> None:
        if self._leaving and not self._streams and not self._ended:
            self._end(self._leaving)
            self._writer.close()

    def _end(self, words: str) -> None:
        if self._ended:
            return
        self._ended = self._leaving or words
        for stream in list(self._streams.values()):
            self._settle(stream, stream.after_break(self._ended))
        self._greeted.set()
        self._pong.set()
        self._open_window()
        self._wake()

    def _settle(self, stream: Stream, outcome: Answer | NotSent | NoAnswer) -> None:
        if not stream.outcome.done():
            stream.outcome.set_result(outcome)
            if not stream.complete:
                self._open_window()  # its writer may wait for room

    def _open_window(self) -> None:
        """Wake every writer that waits for room; each looks for itself."""
        self._window.set()
        self._window = asyncio.Event()

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and not self._writer.transport.is_closing():
            self._writer.write(data)


def _words(error: BaseException) -> str:
    text = str(error)
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__
