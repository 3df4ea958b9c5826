"""An SMSC that takes everything and keeps nothing, and the least that submits to it.

`python -m benchmarks.bare.smsc` prints its port and serves until it is ended; with `<port> <messages> <window>` it is the
client instead: one connection, each PDU put together as it is sent, ids kept; prints messages per second.
"""

from __future__ import annotations

import asyncio
import struct
import sys
import time
from typing import cast

import uvloop

_HEADER = struct.Struct("!IIII")
_SUBMIT, _BIND, _ANSWER = 0x04, 0x09, 0x80000000
_FROM, _AFTER = b"\0\1\00112065550199\0\1\1", b"\0\0\0\1\0\0\1\0\0\0"


class Smsc(asyncio.Protocol):
    """One connection; answers every request, submits with an id."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin at the border of a PDU."""
        self._transport = cast(asyncio.Transport, transport)
        self._unread = b""
        self._number = 0

    def data_received(self, data: bytes) -> None:
        """Answer every complete request, all of them in one write."""
        self._unread += data
        at, answers = 0, []
        while len(self._unread) - at >= 16:
            length, command, _, sequence = _HEADER.unpack_from(self._unread, at)
            if len(self._unread) - at < length:
                break
            at += length
            if command & _ANSWER:
                continue
            self._number += 1
            body = b"%d\0" % self._number if command == _SUBMIT else b"sink\0" if command == _BIND else b""
            answers.append(_HEADER.pack(16 + len(body), _ANSWER | command, 0, sequence) + body)
        self._unread = self._unread[at:]
        if answers:
            self._transport.write(b"".join(answers))


class Client(asyncio.Protocol):
    """Keeps the window full until everything is answered."""

    def __init__(self, messages: int, window: int) -> None:
        """Take how many to send, and how many at once."""
        self._messages = [(f"1206555{number:04}", "x" * 100) for number in range(messages)]
        self._window = window
        self._sent = 0
        self._ids: dict[int, bytes] = {}
        self._unread = b""
        self.done: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Bind."""
        self._transport = cast(asyncio.Transport, transport)
        body = b"bench\0bench\0\0\x34\0\0\0"
        self._transport.write(_HEADER.pack(16 + len(body), _BIND, 0, 1) + body)

    def data_received(self, data: bytes) -> None:
        """Count answers and send as many."""
        self._unread += data
        at = 0
        while len(self._unread) - at >= 16:
            length, command, status, sequence = _HEADER.unpack_from(self._unread, at)
            if len(self._unread) - at < length:
                break
            body = self._unread[at + 16 : at + length - 1]
            at += length
            if status:
                raise ValueError("the sink refused a message")
            if command == _ANSWER | _BIND:
                self._began = time.perf_counter()
            else:
                self._ids[sequence] = body
        self._unread = self._unread[at:]
        free = self._window - (self._sent - len(self._ids))
        some = self._messages[self._sent : self._sent + free]
        self._transport.write(b"".join([self._submit(*message) for message in some]))
        if len(self._ids) == len(self._messages) and not self.done.done():
            self.done.set_result(self._sent / (time.perf_counter() - self._began))

    def _submit(self, number: str, text: str) -> bytes:
        self._sent += 1
        content = text.encode()
        body = b"".join((_FROM, number.encode(), _AFTER, bytes((len(content),)), content))
        return _HEADER.pack(16 + len(body), _SUBMIT, 0, 1 + self._sent) + body


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Smsc, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _submit(port: int, messages: int, window: int) -> None:
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_connection(lambda: Client(messages, window), "127.0.0.1", port)
    print(await client.done)
    transport.close()


if __name__ == "__main__":
    uvloop.run(_submit(*map(int, sys.argv[1:4])) if len(sys.argv) > 1 else _serve())
