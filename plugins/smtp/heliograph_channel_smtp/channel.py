"""The smtp channel: settings, and batches over the pool."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, cast

from heliograph_channel_smtp.delivery import Delivery, Job
from heliograph_channel_smtp.headers import BadHeader, mailbox
from heliograph_channel_smtp.mime import Frame, frame
from heliograph_channel_smtp.pool import NoConnection, Pool
from heliograph_channel_smtp.wire import Account, Lost
from heliograph_channels import (
    Capabilities,
    ChannelProvider,
    Health,
    Kind,
    OutgoingMessage,
    Problem,
    ProviderContext,
    Sender,
    SendResult,
    Unknown,
    email_problem,
    with_defaults,
)

__all__ = ["SmtpChannel"]


def _seconds(default: float, description: str) -> dict[str, object]:
    return {"type": "number", "exclusiveMinimum": 0, "maximum": 600, "default": default, "description": description}


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
            "enum": ["starttls", "tls", "none"],
            "default": "starttls",
            "description": "starttls: encrypt after the greeting, or do not send; tls: from the start (port 465); none.",
        },
        "ca_file": {
            "type": "string",
            "minLength": 1,
            "description": "PEM file of the authorities to trust instead of the system's.",
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
            "description": "Address that bounces return to; empty = the sender's.",
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
    },
}


class SmtpChannel(ChannelProvider):
    """E-mail over SMTP. Acceptance means that the server took the message; bounces come back as mail."""

    name = "smtp"
    kinds = frozenset({Kind.EMAIL})
    capabilities = Capabilities(batch_size=100, concurrency=16)
    settings_schema = SCHEMA

    def check_settings(self, settings: Mapping[str, object]) -> Sequence[Problem]:
        """Check the schema, the addresses, and that a password does not travel in the clear."""
        problems = list(super().check_settings(settings))
        sender = settings.get("from_address")
        if isinstance(sender, str):
            try:
                mailbox(sender)
            except BadHeader:
                problems.append(Problem("from_address", "must be name@domain or Name <name@domain>"))
        bounces = settings.get("envelope_from")
        if isinstance(bounces, str) and bounces and email_problem(bounces):
            problems.append(Problem("envelope_from", "must be name@domain"))
        if settings.get("security") == "none" and settings.get("username") and not settings.get("allow_insecure_login"):
            problems.append(
                Problem("security", "must not be none with a username, unless allow_insecure_login is true")
            )
        return problems

    async def open(self, settings: Mapping[str, object], context: ProviderContext) -> SmtpSender:
        """Read the certificates; connect with the first message.

        Raises:
            OSError: `ca_file` cannot be read.
        """
        return SmtpSender(with_defaults(self.settings_schema, settings), context)


class SmtpSender(Sender):
    """One project's pool of connections to its server."""

    def __init__(self, settings: Mapping[str, object], context: ProviderContext) -> None:
        """Take complete settings.

        Raises:
            OSError: `ca_file` cannot be read.
        """
        values = cast("Mapping[str, Any]", settings)
        secure = values["security"] != "none"
        self._account = Account(
            host=values["host"],
            port=values["port"],
            security=values["security"],
            helo_name=values["helo_name"],
            username=values["username"],
            password=values["password"],
            tls=ssl.create_default_context(cafile=values.get("ca_file")) if secure else None,
            connect_timeout=values["connect_timeout"],
            command_timeout=values["command_timeout"],
            content_timeout=values["content_timeout"],
        )
        self._size: int = values["connections"]
        self._pool = Pool(
            self._account,
            size=self._size,
            idle_seconds=values["idle_seconds"],
            messages_per_connection=values["messages_per_connection"],
        )
        self._from: str = values["from_address"]
        self._envelope_from: str = values["envelope_from"]
        self._now = context.now

    async def send_batch(self, messages: Sequence[OutgoingMessage]) -> Sequence[SendResult]:
        """Build every message, then send them over as many connections as are free."""
        now = self._now()
        results: list[SendResult | None] = [None] * len(messages)
        jobs: deque[Job] = deque()
        for place, message in enumerate(messages):
            built = frame(message, default_from=self._from, envelope_from=self._envelope_from, now=now)
            if isinstance(built, Frame):
                jobs.append(Job(place, built))
            else:
                results[place] = built
        delivery = Delivery(self._account, jobs, results)
        workers = min(self._size, len(jobs))
        if workers == 1:
            await self._work(delivery)
        elif workers:
            await asyncio.gather(*(self._work(delivery) for _ in range(workers)))
        return [result if result is not None else Unknown("the batch was interrupted") for result in results]

    async def health(self) -> Health:
        """Ask the server whether it listens (NOOP)."""
        try:
            wire = await self._pool.acquire()
        except NoConnection as error:
            return Health(False, error.result.detail)
        clean = False
        try:
            reply = await wire.command("NOOP", min(10.0, self._account.command_timeout))
            clean = reply.code == 250
            return Health(clean, reply.text)
        except Lost as error:
            return Health(False, str(error))
        finally:
            self._pool.release(wire, clean=clean)

    async def close(self) -> None:
        """Let messages under way finish for up to 5 s and close the connections."""
        await self._pool.close()

    async def _work(self, delivery: Delivery) -> None:
        delivery.active += 1
        try:
            while delivery.jobs:
                wire = await self._pool.acquire()
                clean = False
                try:
                    await delivery.run(wire, self._pool.worth_keeping)
                    clean = True
                except Lost:
                    pass  # its jobs have their results or are back in line
                finally:
                    self._pool.release(wire, clean=clean)
        except NoConnection as error:
            # A server may allow fewer connections than we would like: those that work carry the rest.
            if delivery.active == 1:
                delivery.give_up(error.result)
        finally:
            delivery.active -= 1
