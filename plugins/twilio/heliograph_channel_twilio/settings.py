"""Settings both channels share: the account, and how its API is reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from heliograph_channels import Problem
from heliograph_channels.call_settings import call_settings, secret_word
from heliograph_channels.http_client import base_url_problem

__all__ = ["ACCOUNT", "BATCH", "account_problems", "api_url"]

BATCH = 10
"""Messages in one `send_batch`: each is a call of its own, and all of them are under way at once."""

ACCOUNT: dict[str, dict[str, object]] = {
    "account_sid": {
        "type": "string",
        "pattern": "^AC[0-9a-fA-F]{32}$",
        "description": "The account (or subaccount) that sends: AC and 32 hex digits.",
    },
    "auth_token": secret_word(
        "The account's auth token. It also proves that a webhook is Twilio's: without it there are none."
    ),
    "api_key_sid": {
        "type": "string",
        "pattern": "^SK[0-9a-fA-F]{32}$",
        "description": "An API key to send with instead of the auth token.",
    },
    "api_key_secret": secret_word("The API key's secret."),
    "region": {
        "type": "string",
        "enum": ["us1", "ie1", "au1", "jp1"],
        "default": "us1",
        "description": "Where the account's data is processed; auth token and API keys belong to one region.",
    },
    "base_url": {
        "type": "string",
        "minLength": 1,
        "description": "Address of an API that speaks like Twilio's, instead of the region's; http:// for this machine only.",
    },
    **call_settings(
        batch=BATCH,
        connections=40,
        most=200,
        of_connections="Most calls under way at once in one worker; the account's own limit is Twilio's to say.",
    ),
}

# The region's entrance is part of its name (Twilio's guide "Using the REST API in a non-US Region").
_HOSTS = {
    "us1": "api.twilio.com",
    "ie1": "api.dublin.ie1.twilio.com",
    "au1": "api.sydney.au1.twilio.com",
    "jp1": "api.tokyo.jp1.twilio.com",
}


def account_problems(settings: Mapping[str, object]) -> Iterator[Problem]:
    """Say what a schema cannot: which credentials belong together, and where the API may lie."""
    with_key = {name for name in ("api_key_sid", "api_key_secret") if settings.get(name)}
    if len(with_key) == 1:
        (missing,) = {"api_key_sid", "api_key_secret"} - with_key
        yield Problem(missing, "is required with the other half of the API key")
    if not with_key and not settings.get("auth_token"):
        yield Problem("auth_token", "is required when there is no API key")
    url = settings.get("base_url")
    if isinstance(url, str) and url and (problem := base_url_problem(url)):
        yield Problem("base_url", problem)


def api_url(settings: Mapping[str, object]) -> str:
    """Return the address of the account's resources, without a slash at its end. Takes complete settings."""
    base = str(settings.get("base_url") or f"https://{_HOSTS[str(settings['region'])]}").rstrip("/")
    return f"{base}/2010-04-01/Accounts/{settings['account_sid']}"
