"""Settings of the channel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from heliograph_channels import Problem
from heliograph_channels.call_settings import CA_FILE
from heliograph_channels.destinations import network_problem, url_problem

__all__ = ["SCHEMA", "problems"]

SCHEMA: dict[str, object] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "required": ["url", "secret"],
    "properties": {
        "url": {"type": "string", "description": "Where the calls go: an https:// address."},
        "secret": {
            "type": "string",
            "minLength": 16,
            "maxLength": 500,
            "writeOnly": True,
            "description": "Key of the signature; the receiver knows it, too.",
        },
        "timeout": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 60,
            "default": 15,
            "description": "Most seconds one attempt of a call may take, answer included.",
        },
        "attempts": {
            "type": "integer",
            "minimum": 1,
            "maximum": 3,
            "default": 3,
            "description": "How often a call is made that is not answered, or answered 429 or 5xx; with 1 it is never repeated.",
        },
        "patience": {
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 590,
            "default": 28,
            "description": "Most seconds all attempts of a call may take; below HELIOGRAPH_MESSAGING_SEND_TIMEOUT_SECONDS (30).",
        },
        "account_id": {
            "type": "string",
            "minLength": 1,
            "maxLength": 128,
            "pattern": "^[!-~]+$",
            "description": "What the receiver answers to HEAD in X-Amz-Pinpoint-AccountId before it gets a call; unset: not asked.",
        },
        "idempotent_receiver": {
            "type": "boolean",
            "default": False,
            "description": "Whether the receiver drops message ids it has seen, so that calls in doubt may be repeated.",
        },
        "allow_networks": {
            "type": "array",
            "items": {"type": "string"},
            "default": [],
            "description": "Private networks (like 10.1.0.0/16) that calls may go to. Public addresses always may.",
        },
        "allow_insecure_loopback": {
            "type": "boolean",
            "default": False,
            "description": "Whether calls may go to this machine, also by http://. For trials.",
        },
        "ca_file": CA_FILE,
    },
}


def problems(settings: Mapping[str, object]) -> Iterator[Problem]:
    """Say what a schema cannot: the URL and the networks."""
    url = settings.get("url")
    if isinstance(url, str):
        loopback = settings.get("allow_insecure_loopback") is True
        if problem := url_problem(url, insecure_loopback=loopback):
            yield Problem("url", problem)
    networks = settings.get("allow_networks")
    for index, network in enumerate(networks if isinstance(networks, list | tuple) else ()):
        if isinstance(network, str) and (problem := network_problem(network)):
            yield Problem(f"allow_networks[{index}]", problem)
