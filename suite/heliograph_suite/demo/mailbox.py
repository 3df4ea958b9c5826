"""A mailbox server: real SMTP on loopback that keeps who got what, for demonstrations and tests.

It runs as a process of its own (`python -m heliograph_suite.demo.mailbox DIRECTORY`), announces its port on standard
output, and appends one line per accepted recipient to `DIRECTORY/received.tsv`: recipient, message id, subject.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from email.header import decode_header, make_header
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

_READY = "mailbox ready on "


class Mailbox:
    """Takes every message and writes down its envelope."""

    def __init__(self, directory: Path) -> None:
        """Open the list of what was received."""
        directory.mkdir(parents=True, exist_ok=True)
        self._list = (directory / "received.tsv").open("a", encoding="utf-8", buffering=1 << 16)
        self._headers = BytesHeaderParser()

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        """Offer pipelining: commands are read one after the other from the stream, so it is safe."""
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", responses[-1]]

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keep the message's envelope; it is on disk before the sender hears so."""
        content = envelope.content if isinstance(envelope.content, bytes) else b""
        headers = self._headers.parsebytes(content.partition(b"\r\n\r\n")[0])
        message_id = str(headers.get("Message-ID", "")).strip()
        subject = str(make_header(decode_header(str(headers.get("Subject", "")))))
        for recipient in envelope.rcpt_tos:
            self._list.write(f"{recipient}\t{message_id}\t{subject}\n")
        self._list.flush()
        return "250 2.0.0 kept"


def received(directory: Path) -> list[tuple[str, str, str]]:
    """Read what a mailbox got: recipient, message id, subject of each."""
    path = directory / "received.tsv"
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(to, message_id, subject) for to, message_id, subject in (line.split("\t", 2) for line in lines)]


async def serve(directory: Path) -> None:
    """Serve until SIGTERM or SIGINT."""
    mailbox = Mailbox(directory)
    loop = asyncio.get_running_loop()

    def connection() -> SMTP:
        options: dict[str, Any] = {"enable_SMTPUTF8": True, "data_size_limit": 32 << 20}
        return SMTP(mailbox, hostname="mailbox.localhost", **options)

    server = await loop.create_server(connection, "127.0.0.1", 0)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    port = server.sockets[0].getsockname()[1]
    sys.stdout.write(f"{_READY}127.0.0.1:{port}\n")
    sys.stdout.flush()
    await stop.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
