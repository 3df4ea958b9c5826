"""The settings of the ses channel: their schema, and the rules between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from heliograph_channel_ses.addresses import BadField, ascii_address, sender
from heliograph_channels import Problem

__all__ = ["SCHEMA", "endpoint_of", "problems_between"]

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})

SCHEMA: dict[str, object] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "required": ["region", "access_key_id", "secret_access_key", "from_address"],
    "properties": {
        "region": {
            "type": "string",
            "pattern": r"^[a-z]{2}(-[a-z]+)+-[0-9]$",
            "description": "Region of the SES account, like eu-central-1.",
        },
        "access_key_id": {
            "type": "string",
            "pattern": r"^[A-Za-z0-9]{16,128}$",
            "description": "Access key that may call ses:SendEmail (and ses:GetAccount, for the state of health).",
        },
        "secret_access_key": {
            "type": "string",
            "minLength": 1,
            "maxLength": 500,
            "writeOnly": True,
            "description": "Its secret.",
        },
        "session_token": {
            "type": "string",
            "maxLength": 10_000,
            "default": "",
            "writeOnly": True,
            "description": "Token of temporary credentials; empty = they are permanent.",
        },
        "from_address": {
            "type": "string",
            "maxLength": 400,
            "description": "Verified sender of messages that name none: name@domain or Name <name@domain>.",
        },
        "return_path": {
            "type": "string",
            "maxLength": 254,
            "default": "",
            "description": "Verified address that SES forwards bounces to as mail; empty = as the identity says.",
        },
        "configuration_set": {
            "type": "string",
            "pattern": r"^[A-Za-z0-9_-]{0,64}$",
            "default": "",
            "description": "Configuration set of all messages; its event destination tells what became of them.",
        },
        "topic_arn": {
            "type": "string",
            "pattern": r"^(arn:(aws|aws-cn|aws-us-gov):sns:[a-z0-9-]{3,40}:[0-9]{12}:[A-Za-z0-9_.-]{1,256})?$",
            "default": "",
            "description": "SNS topic that the events are published to and our webhook is subscribed to; empty = no receipts.",
        },
        "endpoint_url": {
            "type": "string",
            "maxLength": 500,
            "default": "",
            "description": "Another address of the API (a VPC endpoint); empty = the region's. https, or http to this machine.",
        },
        "connections": {
            "type": "integer",
            "minimum": 1,
            "maximum": 200,
            "default": 16,
            "description": "Most calls at once.",
        },
        "timeout": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 120,
            "default": 20,
            "description": "Most seconds one call may take, answer included.",
        },
    },
}


def endpoint_of(region: str, endpoint_url: str) -> str:
    """Return the address of the API without a slash at its end."""
    if endpoint_url:
        return endpoint_url.rstrip("/")
    return f"https://email.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")


def problems_between(settings: Mapping[str, object]) -> Iterator[Problem]:
    """Find what the schema cannot say. Values of the wrong type are the schema's to report and passed over."""
    words = {name: value for name, value in settings.items() if isinstance(value, str)}
    if "from_address" in words:
        try:
            if not sender(words["from_address"]).isascii():
                yield Problem("from_address", "must be ASCII before the @: SES takes nothing else")
        except BadField:
            yield Problem("from_address", "must be name@domain or Name <name@domain>")
    if words.get("return_path"):
        try:
            ascii_address(words["return_path"])
        except BadField:
            yield Problem("return_path", "must be name@domain")
    if words.get("endpoint_url") and not _is_endpoint(words["endpoint_url"]):
        yield Problem("endpoint_url", "must be an https:// address without path, query and password")


def _is_endpoint(url: str) -> bool:
    if not url.isascii() or any(character <= " " for character in url):
        return False
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.query or parts.fragment or parts.path not in ("", "/"):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)
