"""A minimal SMTP sink in a process of its own, for measuring the sender and not the server."""

from __future__ import annotations

import asyncio
from typing import cast


class Sink(asyncio.Protocol):
    """Takes everything; understands pipelining."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.unread = b""
        self.content = False
        self.transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self.unread += data
        answers = []
        while True:
            if self.content:
                end = self.unread.find(b"\r\n.\r\n")
                if end < 0:
                    break
                self.unread = self.unread[end + 5 :]
                self.content = False
                answers.append(b"250 ok\r\n")
                continue
            end = self.unread.find(b"\r\n")
            if end < 0:
                break
            line, self.unread = self.unread[:end].upper(), self.unread[end + 2 :]
            if line.startswith(b"EHLO"):
                answers.append(b"250-sink\r\n250 PIPELINING\r\n")
            elif line == b"DATA":
                self.content = True
                answers.append(b"354 go\r\n")
            else:
                answers.append(b"250 ok\r\n")
        if answers:
            self.transport.write(b"".join(answers))


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
