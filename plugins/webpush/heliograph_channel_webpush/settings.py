"""Settings of the channel: our key to push services, and which of them messages may go to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from cryptography.hazmat.primitives.asymmetric import ec

from heliograph_channel_webpush.encryption import point_of
from heliograph_channel_webpush.subscriptions import decoded
from heliograph_channels import Problem
from heliograph_channels.call_settings import call_settings
from heliograph_channels.destinations import network_problem
from heliograph_channels.jwt import base64url

__all__ = ["BATCH", "KNOWN_HOSTS", "SCHEMA", "HostList", "problems", "vapid_key"]

BATCH = 50
"""Messages in one `send_batch`: each is a call of its own, and all of them are under way at once."""
KNOWN_HOSTS = (
    "fcm.googleapis.com",  # Chrome, Opera, Samsung and others
    "jmt17.google.com",  # Chrome, where the one above is not reached
    "updates.push.services.mozilla.com",  # Firefox
    "*.push.services.mozilla.com",
    "*.notify.windows.com",  # Edge
    "web.push.apple.com",  # Safari
    "*.push.apple.com",
)
_HOST = re.compile(r"(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*(:[1-9][0-9]{0,4})?")

SCHEMA: dict[str, object] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "required": ["vapid_private_key", "subject"],
    "properties": {
        "vapid_private_key": {
            "type": "string",
            "maxLength": 100,
            "writeOnly": True,
            "description": "Our key (VAPID): 32 bytes in Base64url, as tools for Web Push make it.",
        },
        "vapid_public_key": {
            "type": "string",
            "maxLength": 200,
            "description": "What pages subscribe with (applicationServerKey), 65 bytes in Base64url; only compared with our key.",
        },
        "subject": {
            "type": "string",
            "maxLength": 500,
            "pattern": "^(mailto:[!-~]+@[!-~]+|https://[!-~]+)$",
            "description": "Whom a push service may write to about our messages: mailto:push@example.com or https://...",
        },
        "hosts": {
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "default": list(KNOWN_HOSTS),
            "description": "Push services messages may go to: host, host:port, or *.domain for all below it.",
        },
        "allow_networks": {
            "type": "array",
            "items": {"type": "string"},
            "default": [],
            "description": "Private networks (like 10.1.0.0/16) that hosts may be in. Public addresses always may.",
        },
        "time_to_live_seconds": {
            "type": "integer",
            "minimum": 0,
            "maximum": 2419200,
            "default": 2419200,
            "description": "How long a push service keeps a message for a browser that is away, if the message does not say.",
        },
        **call_settings(
            batch=BATCH, connections=100, most=1000, of_connections="Most calls under way at once in one worker."
        ),
    },
}


class HostList:
    """The push services that messages may go to."""

    def __init__(self, hosts: Iterator[str] | list[str] | tuple[str, ...]) -> None:
        """Take entries that `problems` found good. One without a port allows 443 alone."""
        entries = [entry if ":" in entry else f"{entry}:443" for entry in hosts]
        self._exact = frozenset(entry for entry in entries if not entry.startswith("*"))
        self._below = tuple(entry[1:] for entry in entries if entry.startswith("*"))

    def allows(self, host: str, port: int) -> bool:
        """Tell whether a host in its ASCII form is one of them."""
        place = f"{host.lower()}:{port}"
        return place in self._exact or any(place.endswith(below) and place != below for below in self._below)


def problems(settings: Mapping[str, object]) -> Iterator[Problem]:
    """Say what a schema cannot: the keys, the hosts and the networks."""
    private, public = settings.get("vapid_private_key"), settings.get("vapid_public_key")
    key = vapid_key(private) if isinstance(private, str) else None
    if isinstance(private, str) and key is None:
        yield Problem("vapid_private_key", "must be a key of P-256: 32 bytes in Base64url")
    if isinstance(public, str):
        point = decoded(public)
        if point is None or len(point) != 65:
            yield Problem("vapid_public_key", "must be a key of P-256: 65 bytes in Base64url")
        elif key is not None and point != point_of(key.public_key()):
            yield Problem(
                "vapid_public_key", f"is not that of vapid_private_key: {base64url(point_of(key.public_key()))}"
            )
    for index, host in enumerate(_texts(settings.get("hosts"))):
        if not _HOST.fullmatch(host) or int(host.rpartition(":")[2] if ":" in host else 443) > 65535:
            yield Problem(
                f"hosts[{index}]", "must be like push.example.com, push.example.com:8443 or *.push.example.com"
            )
    for index, network in enumerate(_texts(settings.get("allow_networks"))):
        if problem := network_problem(network):
            yield Problem(f"allow_networks[{index}]", problem)


def vapid_key(text: str) -> ec.EllipticCurvePrivateKey | None:
    """Return the key, None when the text is none."""
    number = decoded(text)
    if number is None or len(number) != 32:
        return None
    try:
        return ec.derive_private_key(int.from_bytes(number, "big"), ec.SECP256R1())
    except ValueError:
        return None


def _texts(value: object) -> list[str]:
    return [item if isinstance(item, str) else "x" for item in value] if isinstance(value, list | tuple) else []
