"""Settings of the registrar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from heliograph_channel_telnyx.settings import SCHEMA as OF_CHANNEL
from heliograph_channel_telnyx.settings import public_key
from heliograph_channels import Problem
from heliograph_channels.http_client import base_url_problem

__all__ = ["SCHEMA", "problems"]

_SHARED = cast("Mapping[str, object]", OF_CHANNEL["properties"])

SCHEMA: dict[str, object] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "required": ["api_key", "webhook_url"],
    "properties": {
        **{name: _SHARED[name] for name in ("api_key", "public_key", "base_url", "ca_file", "timeout")},
        "webhook_url": {
            "type": "string",
            "minLength": 1,
            "maxLength": 500,
            "description": "Where Telnyx is to call: <public address>/registrars/telnyx. It carries our mark, by which"
            " papers are found again whose answer was lost; so it is needed without public_key, too.",
        },
        "messaging_profile_id": {
            "type": "string",
            "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
            "description": "The messaging profile that numbers are bought into; without one they send nothing before"
            " they are put into one by hand.",
        },
        "connections": {
            "type": "integer",
            "minimum": 1,
            "maximum": 50,
            "default": 8,
            "description": "Most calls under way at once.",
        },
        "vetting_provider": {
            "type": "string",
            "minLength": 1,
            "maxLength": 10,
            "default": "AEGIS",
            "description": "Who vets (evpId).",
        },
        "vetting_class": {
            "type": "string",
            "minLength": 1,
            "maxLength": 20,
            "default": "STANDARD",
            "description": "What kind of vetting is ordered (vettingClass).",
        },
        "vetting_days": {
            "type": "number",
            "minimum": 1,
            "maximum": 365,
            "default": 30,
            "description": "Days after which a vetting without a score has failed: Telnyx lists those with a score alone.",
        },
        "brand_review_seconds": {
            "type": "number",
            "minimum": 0,
            "maximum": 604_800,
            "default": 3600,
            "description": "How long UNVERIFIED of a brand counts as not decided yet: feedback carries no date, and of a"
            " brand handed in again it is that of before.",
        },
        "auto_renewal": {
            "type": "boolean",
            "default": True,
            "description": "Whether campaigns renew themselves at the end of their time.",
        },
        "mock_brands": {
            "type": "boolean",
            "default": False,
            "description": "Whether brands are registered as mock brands, for trials: they cost nothing and send nothing.",
        },
    },
}


def problems(settings: Mapping[str, object]) -> Iterator[Problem]:
    """Say what a schema cannot: the key, and the addresses."""
    key = settings.get("public_key")
    if isinstance(key, str) and public_key(key) is None:
        yield Problem("public_key", "must be an Ed25519 key: 32 bytes in Base64")
    url = settings.get("base_url")
    if isinstance(url, str) and url and (problem := base_url_problem(url)):
        yield Problem("base_url", problem)
    hook = settings.get("webhook_url")
    if isinstance(hook, str) and hook and not (hook.startswith("https://") and base_url_problem(hook) is None):
        yield Problem("webhook_url", "must be an https:// address without a query")
