"""Servers that imports read from: one of the web over TLS, and one that speaks S3 and checks signatures."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import Popen
from sys import executable

import httpx
import pytest
import trustme

from heliograph_kit.embedded import free_port


class Web:
    """A server on loopback with a certificate of its own authority."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        # What goes wrong with the next requests of a path: a status, or "breaks off".
        self.troubles: dict[str, list[str]] = {}
        self.asked: list[tuple[str, str]] = []
        self.host = ""

    @contextmanager
    def serving(self, authority: trustme.CA) -> Iterator[None]:
        """Serve inside of the block."""
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        self.host = f"localhost:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer a request as the test said."""
        self.asked.append((request.command, request.path))
        path = request.path.partition("?")[0]
        trouble = self.troubles[path].pop(0) if self.troubles.get(path) else ""
        content = self.objects.get(path, b"")
        if trouble.isdigit():
            status = int(trouble)
        elif path in self.redirects:
            status = 302
        else:
            status = 200 if path in self.objects else 404
        request.send_response(status)
        if status == 302:
            request.send_header("Location", self.redirects[path])
        sent = content if status == 200 else b""
        request.send_header("Content-Length", str(len(sent)))
        request.end_headers()
        request.wfile.write(sent[: len(sent) // 2] if trouble == "breaks off" else sent)


@pytest.fixture
def web(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A server of the web whose certificate this process trusts."""
    authority, web = trustme.CA(), Web()
    trusted = tmp_path_factory.mktemp("trusted") / "authority.pem"
    authority.cert_pem.write_to_path(str(trusted))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with web.serving(authority):
        yield web


class Buckets:
    """A server of buckets over a folder; each folder in it is a bucket."""

    secret = "very-secret-indeed"

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"

    def put(self, name: str, content: bytes) -> None:
        """Put an object, `{bucket}/{key}`."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.fixture
def buckets(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Buckets]:
    """A server of the buckets `audience`, `shared` and `exports`, to which the environment has the keys."""
    folder = tmp_path_factory.mktemp("buckets")
    for name in ("audience", "shared", "exports"):
        (folder / name).mkdir()
    found = Buckets(folder, free_port())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", found.secret)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    command = [str(Path(executable).with_name("rclone")), "serve", "s3", "--config=", "--dir-cache-time=0s"]
    command += [f"--addr={found.url.removeprefix('http://')}", f"--auth-key=tests,{found.secret}", str(folder)]
    with (folder.parent / "buckets.log").open("wb") as log, Popen(command, stdout=log, stderr=log) as server:
        try:
            _wait_for(found.url)
            yield found
        finally:
            server.terminate()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 15
    while True:
        try:
            httpx.get(url)
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
