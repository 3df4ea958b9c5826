"""A push service of browsers on loopback (RFC 8030), and the browsers behind it: they read what was encrypted for them."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from heliograph_channels.jwt import base64url
from tests.plugins.http_peers import Call, HttpPeer, Reply


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


@dataclass
class Browser:
    """One subscription, with the keys that never leave the browser."""

    endpoint: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    auth: bytes = field(default_factory=lambda: os.urandom(16))

    @property
    def address(self) -> str:
        """What `JSON.stringify(subscription)` gives."""
        keys = {"p256dh": base64url(point(self.key)), "auth": base64url(self.auth)}
        told = {"endpoint": self.endpoint, "expirationTime": None, "keys": keys}
        return json.dumps(told, separators=(",", ":"))

    def read(self, body: bytes) -> bytes:
        """Decrypt a message of one record (RFC 8188 2, RFC 8291 3), written against the RFCs and not against our code."""
        salt, record_size, length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
        sender, record = body[21 : 21 + length], body[21 + length :]
        assert len(body) <= 4096
        assert record_size >= len(record)
        their_key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender)
        info = b"WebPush: info\0" + point(self.key) + sender
        secret = HKDF(hashes.SHA256(), 32, self.auth, info).derive(self.key.exchange(ec.ECDH(), their_key))
        key = HKDF(hashes.SHA256(), 16, salt, b"Content-Encoding: aes128gcm\0").derive(secret)
        nonce = HKDF(hashes.SHA256(), 12, salt, b"Content-Encoding: nonce\0").derive(secret)
        text = AESGCM(key).decrypt(nonce, record, None).rstrip(b"\0")
        assert text[-1:] == b"\x02"
        return text[:-1]


@dataclass
class FakePushService(HttpPeer):
    """Browsers by path; `delivered` is what each of them read. Paths in `refusals` are answered with that."""

    browsers: dict[str, Browser] = field(default_factory=dict)
    delivered: list[tuple[Browser, bytes]] = field(default_factory=list)
    refusals: dict[str, Reply] = field(default_factory=dict)
    server_key: ec.EllipticCurvePublicKey | None = None
    salts: set[bytes] = field(default_factory=set)
    host: str = "localhost"

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self.port}"

    def browser(self, path: str = "/push/v2/secret") -> Browser:
        """Subscribe a browser."""
        browser = self.browsers[path] = Browser(f"{self.url}{path}")
        return browser

    def answer(self, call: Call) -> Reply:
        headers = call.headers
        assert headers["host"] == f"{self.host}:{self.port}"
        if refusal := self.refusals.get(call.target):
            return refusal
        if call.method != "POST" or not headers.get("ttl", "").isdigit():
            return Reply.of(400, {"errno": 110, "message": "Missing TTL"})
        if headers.get("content-encoding") != "aes128gcm" or len(headers.get("topic", "")) > 32:
            return Reply.of(400, {"errno": 110, "message": "Bad headers"})
        if headers.get("urgency", "normal") not in ("very-low", "low", "normal", "high"):
            return Reply.of(400, {"errno": 110, "message": "Bad urgency"})
        if not self._is_known(headers.get("authorization", "")):
            return Reply.of(401, {"errno": 109, "message": "VAPID authentication error"})
        if len(call.body) > 4096:
            return Reply.of(413, {"errno": 104, "message": "Payload too large"})
        browser = self.browsers.get(call.target)
        if browser is None:
            return Reply.of(410, {"errno": 106, "message": "No such subscription"})
        assert call.body[:16] not in self.salts
        self.salts.add(call.body[:16])
        self.delivered.append((browser, browser.read(call.body)))
        return Reply(201, headers=(("Location", f"{self.url}/m/{len(self.delivered):04d}"),))

    def _is_known(self, authorization: str) -> bool:
        scheme, _, rest = authorization.partition(" ")
        given: dict[str, Any] = dict(part.strip().split("=", 1) for part in rest.split(","))
        assert scheme == "vapid"
        padded = given["k"] + "=" * (-len(given["k"]) % 4)
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), base64.urlsafe_b64decode(padded))
        claims = jwt.decode(
            given["t"], key, algorithms=["ES256"], audience=self.url, options={"require": ["aud", "exp", "sub"]}
        )
        assert claims["sub"].startswith(("mailto:", "https://"))
        return self.server_key is None or self.server_key == key
