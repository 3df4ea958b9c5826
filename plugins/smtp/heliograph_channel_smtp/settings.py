"""The settings of the smtp channel: their schema, and the rules between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from heliograph_channel_smtp.dkim import BadKey, load_key
from heliograph_channel_smtp.envelopes import Verp
from heliograph_channel_smtp.headers import BadHeader, mailbox
from heliograph_channels import Problem, email_problem

__all__ = ["SCHEMA", "listens", "problems_between"]


def _seconds(default: float, description: str) -> dict[str, object]:
    return {"type": "number", "exclusiveMinimum": 0, "maximum": 600, "default": default, "description": description}


_SELECTOR = {"type": "string", "pattern": r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$", "default": ""}
_KEY = {"type": "string", "maxLength": 20_000, "default": "", "writeOnly": True}

SCHEMA: dict[str, object] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "required": ["host", "from_address"],
    "properties": {
        "host": {
            "type": "string",
            "pattern": r"^[A-Za-z0-9._:-]{1,253}$",
            "description": "Name or address of the server.",
        },
        "port": {
            "type": "integer",
            "minimum": 1,
            "maximum": 65535,
            "default": 587,
            "description": "Port of the server.",
        },
        "security": {
            "type": "string",
            "enum": ["starttls", "tls", "opportunistic", "none"],
            "default": "starttls",
            "description": "starttls: encrypt after the greeting, or do not send; tls: from the start (port 465); "
            "opportunistic: encrypt when the server offers it, whoever it is; none.",
        },
        "ca_file": {
            "type": "string",
            "minLength": 1,
            "description": "PEM file of the authorities to trust instead of the system's, for SMTP and for IMAP.",
        },
        "username": {"type": "string", "maxLength": 500, "default": "", "description": "Login; empty = none."},
        "password": {
            "type": "string",
            "maxLength": 500,
            "default": "",
            "writeOnly": True,
            "description": "Its password.",
        },
        "allow_insecure_login": {
            "type": "boolean",
            "default": False,
            "description": "Whether the password may travel unencrypted. For a server on this machine only.",
        },
        "from_address": {
            "type": "string",
            "maxLength": 400,
            "description": "Sender of messages that name none: name@domain or Name <name@domain>.",
        },
        "envelope_from": {
            "type": "string",
            "maxLength": 254,
            "default": "",
            "description": "Address that bounces return to (Return-Path); empty = the sender's.",
        },
        "verp_delimiter": {
            "type": "string",
            "enum": ["", "+", "-"],
            "default": "",
            "description": "What stands between envelope_from and a message id put behind its name, so that every bounce "
            "comes to an address of its own (bounces+id@example.com); empty = bounces all come to envelope_from.",
        },
        "delivery_notices": {
            "type": "string",
            "enum": ["", "failure", "delivery"],
            "default": "",
            "description": "Notifications to ask for where the server offers DSN: failure, or delivery as well; empty = none.",
        },
        "dkim_domain": {
            "type": "string",
            "pattern": r"^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9-]{2,63}$|^$",
            "maxLength": 253,
            "default": "",
            "description": "Domain that signs (d=); it should be the sender's, or one above it.",
        },
        "dkim_selector": {
            **_SELECTOR,
            "description": "Selector under which the public key is published: <selector>._domainkey.<domain>.",
        },
        "dkim_key": {
            **_KEY,
            "description": "Private key for DKIM: RSA or Ed25519 in PEM, or an Ed25519 seed in base64; empty = no signature.",
        },
        "dkim_second_selector": {**_SELECTOR, "description": "Selector of a second signature."},
        "dkim_second_key": {
            **_KEY,
            "description": "Key of a second signature: Ed25519 beside RSA, for receivers that know both.",
        },
        "helo_name": {
            "type": "string",
            "pattern": r"^[A-Za-z0-9.\[\]:-]{1,253}$",
            "default": "localhost",
            "description": "Name this machine gives itself in EHLO.",
        },
        "connections": {
            "type": "integer",
            "minimum": 1,
            "maximum": 100,
            "default": 8,
            "description": "Most connections at once.",
        },
        "messages_per_connection": {
            "type": "integer",
            "minimum": 0,
            "default": 1000,
            "description": "After how many messages a connection is replaced; 0 = never.",
        },
        "idle_seconds": _seconds(30, "How long an unused connection is kept, in seconds."),
        "connect_timeout": _seconds(15, "Most seconds until a connection is encrypted and logged in."),
        "command_timeout": _seconds(60, "Most seconds to wait for the answer to a command."),
        "content_timeout": _seconds(120, "Most seconds to wait for the answer to a message."),
        "bounce_imap_host": {
            "type": "string",
            "pattern": r"^[A-Za-z0-9._:-]{0,253}$",
            "default": "",
            "description": "IMAP server of the mailbox that bounces come to; empty = bounces are not read by IMAP.",
        },
        "bounce_imap_port": {
            "type": "integer",
            "minimum": 1,
            "maximum": 65535,
            "default": 993,
            "description": "Its port.",
        },
        "bounce_imap_security": {
            "type": "string",
            "enum": ["tls", "starttls", "none"],
            "default": "tls",
            "description": "tls: encrypted from the start; starttls: encrypt after the greeting, or do not read; none.",
        },
        "bounce_imap_username": {
            "type": "string",
            "maxLength": 500,
            "default": "",
            "description": "Login of the mailbox.",
        },
        "bounce_imap_password": {
            "type": "string",
            "maxLength": 500,
            "default": "",
            "writeOnly": True,
            "description": "Its password.",
        },
        "bounce_imap_folder": {
            "type": "string",
            "minLength": 1,
            "maxLength": 200,
            "pattern": r"^[^\x00-\x1f\x7f]*$",
            "default": "INBOX",
            "description": "Folder of the mailbox.",
        },
        "bounce_maildir": {
            "type": "string",
            "maxLength": 1000,
            "pattern": r"^(/[^\x00]*)?$",
            "default": "",
            "description": "Maildir on this machine that bounces are delivered to, as an absolute path; empty = none.",
        },
        "bounce_remove": {
            "type": "boolean",
            "default": False,
            "description": "Whether a bounce is deleted once it is stored; otherwise it is marked as read.",
        },
        "bounce_poll_seconds": _seconds(60, "How often the mailbox is looked at, in seconds; with IDLE also at once."),
    },
}


def listens(settings: Mapping[str, object]) -> bool:
    """Whether a bounce mailbox is to be read."""
    return bool(settings.get("bounce_imap_host") or settings.get("bounce_maildir"))


def problems_between(settings: Mapping[str, object]) -> Iterator[Problem]:
    """Find what the schema cannot say. Values of the wrong type are the schema's to report and passed over."""
    words = {name: value for name, value in settings.items() if isinstance(value, str)}
    yield from _of_addresses(words)
    yield from _of_logins(settings, words)
    yield from _of_signing(words)
    yield from _of_bounces(words)


def _of_addresses(words: Mapping[str, str]) -> Iterator[Problem]:
    if "from_address" in words:
        try:
            mailbox(words["from_address"])
        except BadHeader:
            yield Problem("from_address", "must be name@domain or Name <name@domain>")
    bounces = words.get("envelope_from", "")
    if bounces and email_problem(bounces):
        yield Problem("envelope_from", "must be name@domain")
    elif (delimiter := words.get("verp_delimiter", "")) and (problem := Verp.problem(bounces, delimiter)):
        yield Problem("envelope_from", problem)


def _of_logins(settings: Mapping[str, object], words: Mapping[str, str]) -> Iterator[Problem]:
    if settings.get("allow_insecure_login") is True:
        return
    # Opportunistic encryption asks for nobody's papers: whoever stands in between gets the password.
    if words.get("security") in ("none", "opportunistic") and words.get("username"):
        yield Problem(
            "security", f"must not be {words['security']} with a username, unless allow_insecure_login is true"
        )
    if words.get("bounce_imap_security") == "none" and words.get("bounce_imap_host"):
        yield Problem("bounce_imap_security", "must not be none, unless allow_insecure_login is true")


def _of_signing(words: Mapping[str, str]) -> Iterator[Problem]:
    for key, selector in (("dkim_key", "dkim_selector"), ("dkim_second_key", "dkim_second_selector")):
        if not words.get(key):
            if words.get(selector):
                yield Problem(key, f"is required with {selector}")
            continue
        for name in ("dkim_domain", selector):
            if not words.get(name):
                yield Problem(name, f"is required with {key}")
        try:
            load_key(words[key])
        except BadKey as error:
            yield Problem(key, str(error))
    if words.get("dkim_second_selector") and words["dkim_second_selector"] == words.get("dkim_selector"):
        yield Problem("dkim_second_selector", "must differ from dkim_selector")


def _of_bounces(words: Mapping[str, str]) -> Iterator[Problem]:
    if words.get("bounce_imap_host"):
        if words.get("bounce_maildir"):
            yield Problem("bounce_maildir", "must not be given beside bounce_imap_host: one mailbox is read")
        for name in ("bounce_imap_username", "bounce_imap_password"):
            if not words.get(name):
                yield Problem(name, "is required with bounce_imap_host")
