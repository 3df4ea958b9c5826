"""Settings of the channel."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from heliograph_channels import Problem
from heliograph_channels.call_settings import call_settings, secret_word
from heliograph_channels.http_client import base_url_problem

__all__ = ["BATCH", "SCHEMA", "SENDER", "is_name", "problems", "public_key"]

BATCH = 10
"""Messages in one `send_batch`: each is a call of its own, and all of them are under way at once."""
SENDER = re.compile(r"\+[1-9][0-9]{6,14}|[0-9]{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 ]{1,11}")
"""A number, a short code, or a name: 1 to 11 letters, digits and blanks, of which one is a letter."""

SCHEMA: dict[str, object] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "required": ["api_key"],
    "properties": {
        "api_key": secret_word("API key of version 2 of the API (KEY...)."),
        "public_key": {
            "type": "string",
            "pattern": "^[A-Za-z0-9+/]{43}=$",
            "description": "The account's public key, which proves that a webhook is Telnyx's: without it there are none.",
        },
        "sender": {
            "type": "string",
            "minLength": 1,
            "maxLength": 16,
            "description": "Who messages come from that name nobody: a number, a short code or an alphanumeric sender.",
        },
        "messaging_profile_id": {
            "type": "string",
            "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
            "description": "The messaging profile: needed for its number pool and for alphanumeric senders.",
        },
        "base_url": {
            "type": "string",
            "minLength": 1,
            "default": "https://api.telnyx.com/v2",
            "description": "Address of the API; http:// for this machine only.",
        },
        **call_settings(
            batch=BATCH,
            connections=40,
            most=200,
            of_connections="Most calls under way at once in one worker; the account's own limit is Telnyx's to say.",
        ),
    },
}


def problems(settings: Mapping[str, object]) -> Iterator[Problem]:
    """Say what a schema cannot: the key, the address of the API, and what a name as sender needs."""
    key, url, sender = settings.get("public_key"), settings.get("base_url"), settings.get("sender")
    if isinstance(key, str) and public_key(key) is None:
        yield Problem("public_key", "must be an Ed25519 key: 32 bytes in Base64")
    if isinstance(url, str) and url and (problem := base_url_problem(url)):
        yield Problem("base_url", problem)
    if not isinstance(sender, str) or not sender:
        return
    if not SENDER.fullmatch(sender):
        yield Problem("sender", "must be a number like +12065550100, a short code, or a name of at most 11 characters")
    elif is_name(sender) and not settings.get("messaging_profile_id"):
        yield Problem("messaging_profile_id", "is required with an alphanumeric sender")


def is_name(sender: str) -> bool:
    """Tell whether a sender is a name and no number."""
    return any(character.isalpha() for character in sender)


def public_key(text: str) -> Ed25519PublicKey | None:
    """Return the key, None when the text is none."""
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text, validate=True))
    except (ValueError, binascii.Error):
        return None
