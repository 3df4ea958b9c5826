"""Apple's push service on loopback: HTTP/2, provider tokens, topics, and its reasons."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from h2.settings import SettingCodes

from tests.plugins.http2_peer import Http2Peer
from tests.plugins.http_peers import Call, Reply

TEAM = "ABCDE12345"
KEY_ID = "KEYID67890"
BUNDLE = "com.example.app"
PRIVATE = ec.generate_private_key(ec.SECP256R1())
PEM = PRIVATE.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()

_TOPICS = re.compile(
    re.escape(BUNDLE)
    + r"(|\.voip|\.complication|\.pushkit\.fileprovider|\.location-query|\.push-type\.liveactivity|\.voip-ptt)"
)
_HEADERS = {
    ":method", ":scheme", ":authority", ":path", "content-type", "user-agent", "authorization", "apns-id", "apns-topic",
    "apns-push-type", "apns-priority", "apns-expiration", "apns-collapse-id",
}  # fmt: skip


@dataclass
class FakeApple(Http2Peer):
    """One environment. Tokens in `refusals` are answered with status and reason. `sent` is what would be delivered.

    Like Apple's it may allow one stream until it has seen a good provider token (`streams_when_known`).
    """

    sent: list[Call] = field(default_factory=list)
    refusals: dict[str, tuple[int, str]] = field(default_factory=dict)
    tokens: list[str] = field(default_factory=list)
    streams_when_known: int = 0
    by_certificate: bool = False
    now: datetime | None = None

    def answer(self, call: Call) -> Reply:
        assert call.headers[":scheme"] == "https"
        assert call.headers[":authority"] == f"localhost:{self.port}"
        if strange := set(call.headers) - _HEADERS:
            self.violations.append(f"unknown header fields: {sorted(strange)}")
        apns_id = call.headers.get("apns-id", "")
        status, reason = self._judge(call)
        if status == 200:
            self.sent.append(call)
            self._know()
            return Reply(200, headers=(("apns-id", apns_id),))
        told: dict[str, object] = {"reason": reason}
        if status == 410:
            told["timestamp"] = 1772366400000
        return Reply(status, json.dumps(told).encode(), headers=(("apns-id", apns_id),))

    def _judge(self, call: Call) -> tuple[int, str]:
        if not self.by_certificate and (refused := self._judge_token(call.headers.get("authorization", ""))):
            return refused
        if call.method != "POST":
            return 405, "MethodNotAllowed"
        match = re.fullmatch(r"/3/device/([0-9a-fA-F]+)", call.target)
        if not match:
            return 404, "BadPath"
        headers = call.headers
        if str(uuid.UUID(headers["apns-id"])) != headers["apns-id"]:
            return 400, "BadMessageId"
        if not _TOPICS.fullmatch(headers.get("apns-topic", "")):
            return 400, "TopicDisallowed"
        push_type = headers.get("apns-push-type", "")
        if push_type == "voip" and not headers["apns-topic"].endswith(".voip"):
            return 400, "BadTopic"
        if headers.get("apns-priority") not in ("5", "10") or (
            push_type == "background" and headers["apns-priority"] != "5"
        ):
            return 400, "BadPriority"
        if not re.fullmatch(r"\d{1,10}", headers.get("apns-expiration", "0")):
            return 400, "BadExpirationDate"
        if len(headers.get("apns-collapse-id", "").encode()) > 64:
            return 400, "BadCollapseId"
        if len(call.body) > (5120 if push_type == "voip" else 4096):
            return 413, "PayloadTooLarge"
        if not call.body or not isinstance(call.json, dict):
            return 400, "PayloadEmpty"
        token = match[1]
        if refusal := self.refusals.get(token):
            return refusal
        if len(token) < 64 or set(token) == {"0"}:
            return 400, "BadDeviceToken"
        return 200, ""

    def _judge_token(self, authorization: str) -> tuple[int, str] | None:
        kind, _, token = authorization.partition(" ")
        if kind != "bearer":
            return 403, "MissingProviderToken"
        try:
            header = jwt.get_unverified_header(token)
            claims = jwt.decode(token, PRIVATE.public_key(), algorithms=["ES256"], options={"verify_iat": False})
        except jwt.PyJWTError:
            return 403, "InvalidProviderToken"
        if header.get("kid") != KEY_ID or claims.get("iss") != TEAM:
            return 403, "InvalidProviderToken"
        age = (self.now or datetime.now(UTC)).timestamp() - claims["iat"]
        if not -60 <= age < 3600:
            return 403, "ExpiredProviderToken"
        if token not in self.tokens:
            self.tokens.append(token)
        return None

    def _know(self) -> None:
        if self.streams_when_known:
            for conversation in self.conversations:
                conversation.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: self.streams_when_known})
                conversation.flush()
            self.streams_when_known = 0
