"""A Google of our own on loopback: the token endpoint, and `projects.messages.send` of FCM's HTTP v1."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.plugins.http_peers import Call, HttpPeer, Reply

PROJECT = "acme-1234"
EMAIL = "push@acme-1234.iam.gserviceaccount.com"
KEY_ID = "0123456789abcdef0123456789abcdef01234567"
PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = PRIVATE.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()

_MESSAGE = {"name", "data", "notification", "android", "webpush", "apns", "fcm_options", "token", "topic", "condition"}
_ANDROID = {
    "collapse_key",
    "priority",
    "ttl",
    "restricted_package_name",
    "data",
    "notification",
    "fcm_options",
    "direct_boot_ok",
}
_NOTIFICATION = {"title", "body", "image"}
_SHOWN = {
    "title", "body", "icon", "color", "sound", "tag", "click_action", "body_loc_key", "body_loc_args", "title_loc_key",
    "title_loc_args", "channel_id", "image",
}  # fmt: skip


def account(**changes: object) -> str:
    """Return the JSON file of the service account, with changes; None takes a member out."""
    told: dict[str, object] = {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": KEY_ID,
        "private_key": PEM,
        "client_email": EMAIL,
        "client_id": "100000000000000000000",
        "token_uri": "https://oauth2.googleapis.com/token",
        **changes,
    }
    return json.dumps({name: value for name, value in told.items() if value is not None})


@dataclass
class FakeGoogle(HttpPeer):
    """The messages of one project in `sent`. Tokens in `refusals` are answered with that error.

    `valid` are the access tokens it takes; while `granting` is not set, it gives no new one. `now` is its clock, `lasts` how long a token is good.
    """

    sent: list[dict[str, Any]] = field(default_factory=list)
    refusals: dict[str, Reply] = field(default_factory=dict)
    grants: list[dict[str, Any]] = field(default_factory=list)
    valid: set[str] = field(default_factory=set)
    grant: Reply | None = None
    granting: asyncio.Event = field(default_factory=asyncio.Event)
    lasts: int = 3599
    now: datetime | None = None

    def __post_init__(self) -> None:
        self.granting.set()

    async def first(self) -> None:
        if self.calls[-1].target == "/token":
            await self.granting.wait()

    @property
    def token_url(self) -> str:
        return f"{self.base_url}/token"

    @property
    def sends(self) -> list[Call]:
        return [call for call in self.calls if call.target.endswith(":send")]

    def answer(self, call: Call) -> Reply:
        if (call.method, call.target) == ("POST", "/token"):
            return self._grant(call)
        if (call.method, call.target) != ("POST", f"/v1/projects/{PROJECT}/messages:send"):
            return Reply(404, b"<html>not found</html>", "text/html")
        if call.headers.get("authorization", "").removeprefix("Bearer ") not in self.valid:
            return error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        if call.headers.get("content-type") != "application/json":
            return error(400, "INVALID_ARGUMENT", "Send JSON.")
        return self._send(call.json)

    def _grant(self, call: Call) -> Reply:
        form = dict(call.form)
        assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        try:
            header = jwt.get_unverified_header(form["assertion"])
            claims = jwt.decode(
                form["assertion"],
                PRIVATE.public_key(),
                algorithms=["RS256"],
                audience=self.token_url,
                options={"require": ["iss", "aud", "iat", "exp"], "verify_exp": False, "verify_iat": False},
            )
        except jwt.PyJWTError as failure:
            return Reply.of(400, {"error": "invalid_grant", "error_description": str(failure)})
        now = (self.now or datetime.now(UTC)).timestamp()
        if claims["iss"] != EMAIL or header["kid"] != KEY_ID or not claims["iat"] - 5 <= now < claims["exp"]:
            return Reply.of(400, {"error": "invalid_grant", "error_description": "Invalid JWT: not ours, or too old"})
        assert claims["exp"] - claims["iat"] <= 3600
        assert claims["scope"] == "https://www.googleapis.com/auth/firebase.messaging"
        self.grants.append(claims)
        if self.grant is not None:
            return self.grant
        token = f"ya29.unmistakable-access-token-{len(self.grants)}"
        self.valid.add(token)
        return Reply.of(200, {"access_token": token, "expires_in": self.lasts, "token_type": "Bearer"})

    def _send(self, body: dict[str, Any]) -> Reply:
        message = body.get("message")
        if set(body) - {"message", "validate_only"} or not isinstance(message, dict):
            return violation("", "Invalid JSON payload received.")
        for found, known, place in (
            (message, _MESSAGE, "message"),
            (message.get("notification", {}), _NOTIFICATION, "message.notification"),
            (message.get("android", {}), _ANDROID, "message.android"),
            (message.get("android", {}).get("notification", {}), _SHOWN, "message.android.notification"),
        ):
            if strange := set(found) - known:
                return violation(place, f"Unknown name: {sorted(strange)}")
        if any(not isinstance(value, str) for value in message.get("data", {}).values()):
            return violation("message.data[0].value", "Invalid value (TYPE_STRING)")
        android = message.get("android", {})
        if "ttl" in android and not re.fullmatch(r"\d+(\.\d{1,9})?s", android["ttl"]):
            return violation("message.android.ttl", "Illegal duration format")
        if android.get("priority", "NORMAL") not in ("NORMAL", "HIGH"):
            return violation("message.android.priority", "Invalid value")
        if body.get("validate_only"):
            return Reply.of(200, {"name": f"projects/{PROJECT}/messages/fake_message_id"})
        token = message.get("token", "")
        if refusal := self.refusals.get(token):
            return refusal
        if "topic" in message or not re.fullmatch(r"[A-Za-z0-9_:-]{20,}", token):
            return violation("message.token", "The registration token is not a valid FCM registration token")
        self.sent.append(message)
        return Reply.of(200, {"name": f"projects/{PROJECT}/messages/0:1500415314455276%{len(self.sent):08x}"})


def error(status: int, word: str, message: str, code: str = "", *details: object) -> Reply:
    """Return an error in Google's form; `code` is FCM's own."""
    told: list[object] = list(details)
    if code:
        told.append({"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code})
    return Reply.of(status, {"error": {"code": status, "message": message, "status": word, "details": told}})


def violation(field: str, message: str) -> Reply:
    """Return what FCM says about a malformed request."""
    bad = {
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{"field": field, "description": message}],
    }
    return error(400, "INVALID_ARGUMENT", message, "INVALID_ARGUMENT", bad)
