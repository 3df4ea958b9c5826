"""What comes from outside: links put into letters, and opens and webhooks taken over HTTP."""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from benchmarks.figures import Figure, figure
from benchmarks.parts import calling, servers
from heliograph.messaging.v1 import edge_pb2, edge_pb2_grpc
from heliograph_messaging.domain.links import Rewriting, mark
from heliograph_messaging.domain.tracking import LinkKind, Signer

_BASE = "https://mail.example.com"
_LINKS = 8
_LINK = '<p>{words}<a class="button" href="https://shop.example.com/products/{n}?utm_source=mail&amp;utm_campaign=x">{n}</a></p>'
_HTML = (
    "<!doctype html><html><body>"
    + "".join(_LINK.format(n=n, words="Fixed words that weigh what words weigh. " * 7) for n in range(_LINKS))
    + "</body></html>"
)
_IDS = 1000
_CONNECTIONS = 16
_SECONDS = 4.0


async def measure() -> list[Figure]:
    """Measure the area."""
    figures = [_links()]
    with servers() as started:
        messaging = started.service("messaging", messaging_public_url=_BASE)
        gateway = started.service("gateway", peer_messaging=f"dns:///{messaging.address}")
        with messaging, gateway:
            async with calling(messaging.address) as channel:
                edge: edge_pb2_grpc.EdgeServiceAsyncStub = edge_pb2_grpc.EdgeServiceStub(channel)
                key = (await edge.GetTrackingKeys(edge_pb2.GetTrackingKeysRequest())).keys[0]
            signer = Signer(key, "", "shop", today=datetime.now(UTC).date(), click_days=1)
            bare = await _rate(gateway.address, ["/livez"])
            for name, kind, target in (
                ("opens over HTTP", LinkKind.OPEN, ""),
                ("clicks over HTTP", LinkKind.CLICK, "https://shop.example.com/x"),
            ):
                stamp = signer.stamp(kind, target)
                paths = [stamp.url(secrets.token_bytes(16)) for _ in range(_IDS)]
                rate = await _rate(gateway.address, paths)
                figures.append(figure(name, rate, "requests/s", bare=bare, against="the same server answering ok"))
    return figures


def _links() -> Figure:
    key = secrets.token_bytes(32)
    signer = Signer(key, _BASE, "shop", today=datetime.now(UTC).date(), click_days=730)
    marked = mark(_HTML, "hgbench", _BASE)
    rewriting = Rewriting(marked, signer, opens=True, clicks=True)
    ids = [secrets.token_hex(16) for _ in range(_IDS)]

    def put_in() -> None:
        for id in ids:
            rewriting.html(marked.source, id)

    def sign() -> None:
        for id in ids:
            message = bytes.fromhex(id)
            for _ in range(_LINKS + 1):
                hmac.digest(key, message, "sha256")

    took, bare = _best(put_in), _best(sign)
    return figure(
        f"{_LINKS} links and a picture put into {len(_HTML) / 1000:.1f} kB of HTML", took, "us/message", bare=bare,
        against=f"{_LINKS + 1} times HMAC-SHA256", target="20",
    )  # fmt: skip


def _best(work: Callable[[], None]) -> float:
    times = []
    for _ in range(15):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times) / _IDS * 1e6


async def _rate(address: str, paths: Sequence[str]) -> float:
    """Ask for paths over several connections, one request after the other on each; return requests a second."""
    host, _, port = address.rpartition(":")
    requests = [f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in paths]
    until = time.perf_counter() + _SECONDS

    async def one(number: int) -> int:
        reader, writer = await asyncio.open_connection(host, int(port))
        done = 0
        while time.perf_counter() < until:
            writer.write(requests[(number + done * _CONNECTIONS) % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            done += 1
        writer.close()
        return done

    began = time.perf_counter()
    counts = await asyncio.gather(*(one(number) for number in range(_CONNECTIONS)))
    return sum(counts) / (time.perf_counter() - began)
