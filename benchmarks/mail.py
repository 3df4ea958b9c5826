"""Figures of the smtp channel alone: sending to a sink with and without signatures, the hash of a body, reading bounces."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from benchmarks.figures import Figure, figure
from benchmarks.letters import HTML
from benchmarks.parts import bare
from heliograph_channel_smtp import SmtpChannel
from heliograph_channel_smtp.bounces import read_bounce
from heliograph_channel_smtp.dkim import canonical_body
from heliograph_channels import Accepted, EmailContent, Kind, OutgoingMessage, ProviderContext, Receipt

MESSAGES = 4000
ROUNDS = 3
_BATCH, _BATCHES_AT_ONCE = 100, 8
_BOUNCE = Path(__file__).parents[1] / "tests" / "plugins" / "bounces" / "postfix-unknown-user.eml"


async def measure() -> list[Figure]:
    """Return the figures of this area."""
    rsa_key, ed_key = rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()
    with bare("sink") as port:
        plain = await _rate(int(port), {})
        by_ed = await _rate(int(port), _signing(ed_key))
        by_rsa = await _rate(int(port), _signing(rsa_key))
    bodies = [_html(number).replace("\n", "\r\n").encode() for number in range(500)]
    hashed, canonical = _time(lambda body: sha256(body).digest(), bodies), _time(canonical_body, bodies)
    bounce, now = _BOUNCE.read_bytes(), datetime.now(UTC)
    read = 1 / _time(lambda raw: read_bounce(raw, verp=None, now=now), [bounce] * 300)
    unsigned = "the same without a signature"
    size = f"{len(bodies[0]) / 1000:.1f} kB"
    return [
        figure(
            "messages to a sink in another process, the channel alone, one process", plain, "messages/s",
            bare=3000, against="the target of the product itself",
        ),
        figure("the same signed with Ed25519", by_ed, "messages/s", bare=plain, against=unsigned),
        figure("the same signed with RSA of 2048 bits", by_rsa, "messages/s", bare=plain, against=unsigned),
        figure(
            f"the relaxed form of a body of {size}", canonical * 1e6, "us", bare=hashed * 1e6, against="its SHA-256 alone",
        ),
        figure(
            "bounces read from their octets", read, "bounces/s", bare=plain, against="messages sent in the same time",
        ),
    ]  # fmt: skip


def _html(number: int) -> str:
    return HTML.replace("{{", f"{number} ").replace("}}", "  ")


def _signing(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> dict[str, object]:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {"dkim_domain": "example.com", "dkim_selector": "s1", "dkim_key": pem.decode()}


async def _rate(port: int, signing: dict[str, object]) -> float:
    """Send in batches as the pipeline does, several at once; the best of a few rounds."""
    settings = {"host": "127.0.0.1", "port": port, "security": "none", "from_address": "shop@example.com"}
    sender = await SmtpChannel().open({**settings, "connections": 16, **signing}, ProviderContext("bench", _nowhere))
    batches = [[_message(start + place) for place in range(_BATCH)] for start in range(0, MESSAGES, _BATCH)]
    best = 0.0
    try:
        for _ in range(ROUNDS):
            waiting = iter(batches)

            async def work(waiting: object = waiting) -> None:
                for batch in waiting:  # type: ignore[attr-defined]
                    results = await sender.send_batch(batch)
                    if not all(isinstance(result, Accepted) for result in results):
                        raise AssertionError("the sink refused a message")

            start = time.perf_counter()
            await asyncio.gather(*(work() for _ in range(_BATCHES_AT_ONCE)))
            best = max(best, MESSAGES / (time.perf_counter() - start))
    finally:
        await sender.close()
    return best


def _message(number: int) -> OutgoingMessage:
    content = EmailContent(subject=f"News for {number}", html=_html(number))
    return OutgoingMessage(f"{number:032x}", Kind.EMAIL, f"ann{number}@example.com", content, "campaign")


def _time(work: Callable[[bytes], object], inputs: Sequence[bytes]) -> float:
    """Return the seconds one call takes, in the best of a few rounds over all inputs."""
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for octets in inputs:
            work(octets)
        best = min(best, (time.perf_counter() - start) / len(inputs))
    return best


async def _nowhere(receipts: Sequence[Receipt]) -> None:
    """There are no receipts."""
