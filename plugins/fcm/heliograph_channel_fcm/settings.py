"""Settings of the channel, and the service account within them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from heliograph_channels import Problem
from heliograph_channels.call_settings import call_settings
from heliograph_channels.http_client import base_url_problem
from heliograph_channels.jwt import SigningKey, signing_key

__all__ = ["BATCH", "SCHEMA", "ServiceAccount", "problems", "service_account"]

BATCH = 50
"""Messages in one `send_batch`: each is a call of its own, and all of them are under way at once."""
_TOKEN_URL = "https://oauth2.googleapis.com/token"
_PROJECT = re.compile(r"[a-z0-9:.-]{1,100}")

SCHEMA: dict[str, object] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "required": ["service_account"],
    "properties": {
        "service_account": {
            "type": "string",
            "minLength": 2,
            "maxLength": 20000,
            "writeOnly": True,
            "description": "The JSON file of a service account that may send (role Firebase Cloud Messaging API Admin), as text.",
        },
        "shown_by": {
            "type": "string",
            "enum": ["system", "app"],
            "default": "system",
            "description": "Who shows a notification: Android itself, or the app from data keys, as apps with Pinpoint's SDK do.",
        },
        "click_action": {
            "type": "string",
            "minLength": 1,
            "maxLength": 200,
            "pattern": "^[!-~]+$",
            "description": "The intent that a tap on a DEEP_LINK or URL notification starts (shown_by system); unset: the app opens.",
        },
        "base_url": {
            "type": "string",
            "minLength": 1,
            "default": "https://fcm.googleapis.com",
            "description": "Address of the API; http:// for this machine only.",
        },
        "token_url": {
            "type": "string",
            "minLength": 1,
            "description": "Where access tokens come from; unset: what the service account says.",
        },
        **call_settings(
            batch=BATCH,
            connections=100,
            most=1000,
            of_connections="Most calls under way at once in one worker, each on a connection of its own.",
        ),
    },
}


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """Who sends: the parts of the JSON file that sending needs. Shows no key in its repr."""

    project: str
    email: str
    token_url: str
    key_id: str = field(repr=False)
    key: SigningKey = field(repr=False)


def service_account(text: str) -> ServiceAccount | str:
    """Understand the JSON file of a service account; return what is wrong with it instead, without repeating it."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return "must be the JSON of a service account"
    if not isinstance(told, dict) or told.get("type") != "service_account":
        return 'must be the JSON of a service account ("type": "service_account")'
    names = ("project_id", "client_email", "private_key_id", "private_key")
    values = {name: told.get(name) for name in names}
    if missing := [name for name, value in values.items() if not isinstance(value, str) or not value]:
        return f"lacks {', '.join(missing)}"
    if not _PROJECT.fullmatch(str(values["project_id"])):
        return "has a project_id that is none"
    key = signing_key(str(values["private_key"]))
    if key is None:
        return "has a private_key that is no key of 2,048 bits or more"
    token_url = told.get("token_uri", _TOKEN_URL)
    if not isinstance(token_url, str) or base_url_problem(token_url):
        return "has a token_uri that is no https:// address"
    return ServiceAccount(
        str(values["project_id"]), str(values["client_email"]), token_url, str(values["private_key_id"]), key
    )


def problems(settings: Mapping[str, object]) -> Iterator[Problem]:
    """Say what a schema cannot: the service account and the addresses."""
    account = settings.get("service_account")
    if isinstance(account, str) and isinstance(problem := service_account(account), str):
        yield Problem("service_account", problem)
    for name in ("base_url", "token_url"):
        url = settings.get(name)
        if isinstance(url, str) and url and (wrong := base_url_problem(url)):
            yield Problem(name, wrong)
