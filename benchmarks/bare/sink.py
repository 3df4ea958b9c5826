"""An SMTP server that takes everything and keeps nothing: measures the sender, not the server.

`python -m benchmarks.bare.sink`; prints its port and serves until it is ended.
"""

from __future__ import annotations

import asyncio
from typing import cast

import uvloop

_END = b"\r\n.\r\n"


class Sink(asyncio.Protocol):
    """One connection; understands pipelining."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = cast(asyncio.Transport, transport)
        self._unread = bytearray()
        self._content = False
        self._transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        """Answer every complete command or message."""
        self._unread += data
        answers = []
        while (end := self._unread.find(_END if self._content else b"\r\n")) >= 0:
            if self._content:
                del self._unread[: end + len(_END)]
                self._content = False
                answers.append(b"250 ok\r\n")
                continue
            command = bytes(self._unread[: min(end, 4)]).upper()
            del self._unread[: end + 2]
            self._content = command == b"DATA"
            greeting = b"250-sink\r\n250 PIPELINING\r\n"
            answers.append({b"EHLO": greeting, b"DATA": b"354 go\r\n"}.get(command, b"250 ok\r\n"))
        if answers:
            self._transport.write(b"".join(answers))


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
