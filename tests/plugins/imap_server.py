"""A real IMAP server (pymap) in a process of its own, and a look into its mailbox with the standard library's client."""

from __future__ import annotations

import argparse
import asyncio
import imaplib
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

USER, PASSWORD = "bounces", "twelve-drums-in-the-deep"


@dataclass
class ImapServer:
    """A server that runs; `security` is what a client must speak."""

    port: int
    security: str
    certificate: Path

    @contextmanager
    def client(self) -> Iterator[imaplib.IMAP4]:
        """Log in with a client that is not ours."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        connection: imaplib.IMAP4
        if self.security == "tls":
            connection = imaplib.IMAP4_SSL("127.0.0.1", self.port, ssl_context=context)
        else:
            connection = imaplib.IMAP4("127.0.0.1", self.port)
            if self.security == "starttls":
                connection.starttls(context)
        connection.login(USER, PASSWORD)
        try:
            yield connection
        finally:
            connection.logout()

    def put(self, *mails: bytes, folder: str = "INBOX") -> None:
        """Deliver mails."""
        with self.client() as client:
            for mail in mails:
                status, _ = client.append(f'"{folder}"', "", None, mail)
                assert status == "OK"

    def create(self, folder: str) -> None:
        with self.client() as client:
            assert client.create(f'"{folder}"')[0] == "OK"

    def flags(self, folder: str = "INBOX") -> list[set[str]]:
        """Return the flags of every mail, in order."""
        with self.client() as client:
            client.select(f'"{folder}"', readonly=True)
            _, found = client.uid("FETCH", "1:*", "(FLAGS)")
            lines = [line for line in found if isinstance(line, bytes)]
            return [{flag.decode() for flag in imaplib.ParseFlags(line)} - {"\\Recent"} for line in lines]


@contextmanager
def running(
    certificate: tuple[Path, Path], *, security: str = "tls", idle: bool = True, port: int = 0
) -> Iterator[ImapServer]:
    """Run a server with an empty mailbox on a free loopback port (or on `port`)."""
    program = [sys.executable, __file__, "--security", security, "--port", str(port)]
    program += ["--cert", str(certificate[0]), "--key", str(certificate[1])]
    program += [] if idle else ["--no-idle"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            yield ImapServer(int(child.stdout.readline()), security, certificate[0])
        finally:
            child.kill()


async def serve(arguments: argparse.Namespace) -> None:
    from proxyprotocol.reader import ProxyProtocolReader
    from pymap.backend.dict import DictBackend
    from pymap.imap import IMAPServer

    # The server's own command line knows STARTTLS only; TLS from the start is the same server behind another socket.
    options = argparse.Namespace(
        host="127.0.0.1", port=0, debug=False, cert=arguments.cert, key=arguments.key,
        tls=arguments.security == "starttls", demo_data=False, demo_user=USER, demo_password=PASSWORD,
        passlib_cfg=None, proxy_protocol="noop", inherited_sockets=None,
    )  # fmt: skip
    backend, config = await DictBackend.init(options, disable_idle=arguments.no_idle)
    config.apply_context()
    tls = None
    if arguments.security == "tls":
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(arguments.cert, arguments.key)
    accept = ProxyProtocolReader(config.proxy_protocol).get_callback(IMAPServer(backend.login, config))
    server = await asyncio.start_server(accept, "127.0.0.1", arguments.port, ssl=tls)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--security", choices=["tls", "starttls", "none"])
    parser.add_argument("--port", type=int)
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--no-idle", action="store_true")
    asyncio.run(serve(parser.parse_args()))
