"""An opened channel webpush with a key of its own, against a push service of ours."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from heliograph_channel_webpush import WebPush
from heliograph_channels import Kind, OutgoingMessage, PushContent, Sender
from heliograph_channels.jwt import base64url
from heliograph_channels.testing import RecordingContext, a_message
from tests.plugins.push_service import Browser, FakePushService, point

KEY = ec.generate_private_key(ec.SECP256R1())
PRIVATE = base64url(KEY.private_numbers().private_value.to_bytes(32, "big"))
PUBLIC = base64url(point(KEY))
ID = "0123456789abcdef" * 2
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def settings_for(peer: FakePushService, trusted: tuple[Path, Path], **changes: object) -> dict[str, object]:
    return {
        "vapid_private_key": PRIVATE,
        "subject": "mailto:push@example.com",
        "hosts": [f"localhost:{peer.port}"],
        "allow_networks": ["127.0.0.0/8", "::1/128"],
        "ca_file": str(trusted[0]),
        **changes,
    }


@asynccontextmanager
async def sender_for(
    peer: FakePushService, trusted: tuple[Path, Path], recording: RecordingContext | None = None, **changes: object
) -> AsyncIterator[Sender]:
    settings = settings_for(peer, trusted, **changes)
    assert list(WebPush().check_settings(settings)) == []
    sender = await WebPush().open(settings, (recording or RecordingContext()).context)
    try:
        yield sender
    finally:
        await sender.close()


def push(browser: Browser | str, content: PushContent | None = None) -> OutgoingMessage:
    address = browser if isinstance(browser, str) else browser.address
    return a_message(Kind.PUSH, address, message_id=ID, content=content or PushContent("Hello", "you"))


def subscription(**changes: object) -> str:
    told = json.loads(Browser("https://fcm.googleapis.com/fcm/send/secret").address)
    for name, value in changes.items():
        (told["keys"] if name in ("p256dh", "auth") else told)[name] = value
    return json.dumps(told, separators=(",", ":"))
