"""A Telnyx of our own on loopback: version 2 of the messages API, and signed webhooks."""

from __future__ import annotations

import base64
import json
import re
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from heliograph_channels import WebhookRequest
from tests.plugins.http_peers import Call, HttpPeer, Reply

API_KEY = "KEY0123456789ABCDEF_unmistakable"
PROFILE = "4000eba1-a0c0-4563-9925-b25e842a7cb6"
FROM = "+18445550001"
NAME = "Acme"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC_KEY = base64.b64encode(PRIVATE.public_key().public_bytes_raw()).decode()

_ALLOWED = {"to", "from", "text", "media_urls", "messaging_profile_id", "webhook_url"}


@dataclass
class FakeTelnyx(HttpPeer):
    """The messages of one account by id. Recipients in `refusals` are answered with that error."""

    created: dict[str, dict[str, object]] = field(default_factory=dict)
    refusals: dict[str, Reply] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{self.base_url}/v2"

    def answer(self, call: Call) -> Reply:
        if call.headers.get("authorization") != f"Bearer {API_KEY}":
            return error(401, "10009", "Authentication failed", "The required authentication headers were invalid.")
        if call.method == "GET" and call.target in (
            f"/v2/messaging_profiles/{PROFILE}",
            "/v2/messaging_profiles?page[size]=1",
            "/v2/messaging_profiles?page%5Bsize%5D=1",
        ):
            profile = {"record_type": "messaging_profile", "id": PROFILE, "enabled": True}
            return Reply.of(200, {"data": profile if PROFILE in call.target else [profile]})
        if (call.method, call.target) != ("POST", "/v2/messages"):
            return error(404, "10005", "Resource not found", "The requested resource or URL could not be found.")
        if call.headers.get("content-type") != "application/json":
            return error(415, "10014", "Unsupported Media Type", "Send JSON.")
        try:
            return self._create(call.json)
        except (ValueError, AssertionError):
            return error(400, "10015", "Bad Request", "The request failed because it was not well-formed.")

    def _create(self, body: dict[str, object]) -> Reply:
        if strange := set(body) - _ALLOWED:
            return error(422, "10000", "Invalid parameter", f"unknown: {sorted(strange)}", f"/{min(strange)}")
        to, sender, text, media = body.get("to"), body.get("from"), body.get("text"), body.get("media_urls")
        if not isinstance(to, str) or not re.fullmatch(r"\+[1-9][0-9]{6,14}", to):
            return error(400, "40310", "Invalid 'to' address", f"{to} is no number", "/to")
        if refusal := self.refusals.get(to):
            return refusal
        profile = body.get("messaging_profile_id")
        if profile not in (None, PROFILE):
            return error(400, "10015", "Invalid value", "no such profile", "/messaging_profile_id")
        if sender is None and profile is None:
            return error(400, "10004", "Missing required parameter", "from or messaging_profile_id", "/from")
        if sender == NAME and profile is None:
            return error(400, "40306", "Alpha sender not configured", "no profile", "/from")
        if sender not in (None, FROM, NAME):
            return error(400, "40305", "Invalid 'from' address", f"{sender} is not on the profile", "/from")
        if text == "" or (text is None and not media):
            return error(400, "40316", "No content provided for message", "text or media_urls", "/text")
        if media is not None and (not isinstance(media, list) or not 1 <= len(media) <= 10):
            return error(400, "40317", "Invalid MMS content", "1 to 10 addresses", "/media_urls")
        callback = body.get("webhook_url", "https://unset.example/")
        if not isinstance(callback, str) or not callback.startswith("https://") or len(callback) > 2000:
            return error(400, "10003", "Invalid URL", "The URL provided was invalid.", "/webhook_url")
        id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{len(self.created)} {to}"))
        self.created[id] = body
        return Reply.of(200, {"data": payload(id, body, "queued")})

    def event(self, id: str, status: str, *errors: dict[str, str], kind: str = "message.finalized") -> bytes:
        """Return the body of the webhook that tells a message's state."""
        told = payload(id, self.created[id], status)
        told["errors"] = list(errors)
        told["completed_at"] = "2026-03-01T12:00:05.000+00:00" if kind == "message.finalized" else None
        return event(kind, told)


def payload(id: str, body: dict[str, object], status: str) -> dict[str, object]:
    """Return a message as answers and webhooks show it."""
    media = body.get("media_urls")
    return {
        "record_type": "message",
        "direction": "outbound",
        "id": id,
        "type": "MMS" if media else "SMS",
        "messaging_profile_id": body.get("messaging_profile_id") or PROFILE,
        "from": {"phone_number": body.get("from") or FROM, "carrier": "TELNYX LLC", "line_type": "VoIP"},
        "to": [{"phone_number": body["to"], "status": status, "carrier": "T-MOBILE USA", "line_type": "Wireless"}],
        "cc": [],
        "text": body.get("text", ""),
        "media": [{"url": url, "content_type": None} for url in media] if isinstance(media, list) else [],
        "webhook_url": body.get("webhook_url"),
        "encoding": "GSM-7",
        "parts": 1,
        "tags": [],
        "cost": None,
        "received_at": "2026-03-01T12:00:00.000+00:00",
        "sent_at": None,
        "completed_at": None,
        "errors": [],
    }


def event(kind: str, told: dict[str, object], *, occurred_at: str = "2026-03-01T12:00:06.000Z") -> bytes:
    """Return the body of a webhook."""
    data = {
        "record_type": "event",
        "id": "86f58db9-0fe3-4adc-9d1f-46e66e6e9323",
        "event_type": kind,
        "occurred_at": occurred_at,
        "payload": told,
    }
    return json.dumps({"data": data, "meta": {"attempt": 1, "delivered_to": "https://heliograph.example/"}}).encode()


def signed(
    body: bytes,
    *,
    at: datetime | None = None,
    key: Ed25519PrivateKey = PRIVATE,
    url: str = "https://heliograph.example/hooks",
) -> WebhookRequest:
    """Return a webhook as Telnyx makes it: the signature covers the time, a bar, and the body."""
    stamp = str(int((at or datetime.now(UTC)).timestamp()))
    signature = base64.b64encode(key.sign(f"{stamp}|".encode() + body)).decode()
    headers = {
        "content-type": "application/json",
        "telnyx-timestamp": stamp,
        "telnyx-signature-ed25519": signature,
        "user-agent": "telnyx-webhooks",
    }
    return WebhookRequest("POST", url, headers, body)


def error(status: int, code: str, title: str, detail: str, pointer: str = "") -> Reply:
    """Return an error in Telnyx's words."""
    one: dict[str, object] = {"code": code, "title": title, "detail": detail}
    one["meta"] = {"url": f"https://developers.telnyx.com/docs/overview/errors/{code}"}
    if pointer:
        one["source"] = {"pointer": pointer}
    return Reply.of(status, {"errors": [one]})
