"""The smtp channel: settings, and batches over the pool."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from heliograph_channel_smtp.delivery import Delivery, Job
from heliograph_channel_smtp.dkim import Identity, load_key
from heliograph_channel_smtp.envelopes import Finish, Verp
from heliograph_channel_smtp.imap import ImapAccount
from heliograph_channel_smtp.listener import BounceListener
from heliograph_channel_smtp.mailboxes import ImapFolder, Mailbox, Maildir
from heliograph_channel_smtp.mime import Frame, frame
from heliograph_channel_smtp.pool import NoConnection, Pool
from heliograph_channel_smtp.settings import SCHEMA, listens, problems_between
from heliograph_channel_smtp.wire import Account, Lost
from heliograph_channels import (
    Capabilities,
    ChannelProvider,
    Health,
    Kind,
    OutgoingMessage,
    Problem,
    ProviderContext,
    Rejected,
    Sender,
    SendResult,
    Unknown,
    with_defaults,
)

__all__ = ["SmtpChannel"]


class SmtpChannel(ChannelProvider):
    """E-mail over SMTP. Acceptance means that the server took the message; bounces come back as mail."""

    name = "smtp"
    kinds = frozenset({Kind.EMAIL})
    capabilities = Capabilities(batch_size=100, concurrency=16)
    settings_schema = SCHEMA

    def check_settings(self, settings: Mapping[str, object]) -> Sequence[Problem]:
        """Check the schema, the addresses, the keys, and that a password does not travel in the clear."""
        return [*super().check_settings(settings), *problems_between(settings)]

    def capabilities_for(self, settings: Mapping[str, object]) -> Capabilities:
        """Promise receipts when there is a mailbox to read bounces from."""
        return replace(self.capabilities, receipts=True, listens=True) if listens(settings) else self.capabilities

    async def open(self, settings: Mapping[str, object], context: ProviderContext) -> SmtpSender:
        """Read the certificates; connect with the first message. A bounce mailbox is read from now on.

        Raises:
            OSError: `ca_file` cannot be read.
        """
        sender = SmtpSender(with_defaults(self.settings_schema, settings), context)
        sender.listen()
        return sender


class SmtpSender(Sender):
    """One project's pool of connections to its server."""

    def __init__(self, settings: Mapping[str, object], context: ProviderContext) -> None:
        """Take complete settings.

        Raises:
            OSError: `ca_file` cannot be read.
        """
        values = cast("Mapping[str, Any]", settings)
        self._account = Account(
            host=values["host"],
            port=values["port"],
            security=values["security"],
            helo_name=values["helo_name"],
            username=values["username"],
            password=values["password"],
            tls=_encryption(values["security"], values.get("ca_file")),
            connect_timeout=values["connect_timeout"],
            command_timeout=values["command_timeout"],
            content_timeout=values["content_timeout"],
            notices=values["delivery_notices"],
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
        verp = Verp(values["envelope_from"], values["verp_delimiter"]) if values["verp_delimiter"] else None
        self._finish = Finish(_identities(values), verp)
        self._listener = _listener(values, context, verp)

    def listen(self) -> None:
        """Begin to read the bounce mailbox, where there is one."""
        if self._listener is not None:
            self._listener.start()

    async def send_batch(self, messages: Sequence[OutgoingMessage]) -> Sequence[SendResult]:
        """Build every message, then send them over as many connections as are free."""
        now = self._now()
        results: list[SendResult | None] = [None] * len(messages)
        frames: list[tuple[str, Frame]] = []
        places: list[int] = []
        for place, message in enumerate(messages):
            built = frame(message, default_from=self._from, envelope_from=self._envelope_from, now=now)
            if isinstance(built, Frame):
                frames.append((message.message_id, built))
                places.append(place)
            else:
                results[place] = built
        jobs: deque[Job] = deque()
        for place, finished in zip(places, await self._finished(frames, int(now.timestamp())), strict=True):
            if isinstance(finished, Frame):
                jobs.append(Job(place, finished))
            else:
                results[place] = finished
        delivery = Delivery(self._account, jobs, results)
        workers = min(self._size, len(jobs))
        if workers == 1:
            await self._work(delivery)
        elif workers:
            await asyncio.gather(*(self._work(delivery) for _ in range(workers)))
        return [result if result is not None else Unknown("the batch was interrupted") for result in results]

    async def health(self) -> Health:
        """Ask the server whether it listens (NOOP); tell what is wrong with the bounce mailbox, which hinders no message."""
        try:
            wire = await self._pool.acquire()
        except NoConnection as error:
            return Health(False, error.result.detail)
        clean = False
        try:
            reply = await wire.command("NOOP", min(10.0, self._account.command_timeout))
            clean = reply.code == 250
            problem = self._listener.problem if self._listener is not None else ""
            return Health(clean, reply.text + (f"; the bounce mailbox cannot be read: {problem}" if problem else ""))
        except Lost as error:
            return Health(False, str(error))
        finally:
            self._pool.release(wire, clean=clean)

    async def close(self) -> None:
        """Stop reading bounces, let messages under way finish for up to 5 s and close the connections."""
        if self._listener is not None:
            await self._listener.close()
        await self._pool.close()

    async def _finished(self, frames: Sequence[tuple[str, Frame]], when: int) -> list[Frame | Rejected]:
        """Stamp and sign. RSA takes its time and lets go of the interpreter meanwhile: other batches go on."""
        if frames and self._finish.is_costly:
            return await asyncio.to_thread(self._finish.all, frames, when)
        return self._finish.all(frames, when)

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


def _encryption(security: str, ca_file: str | None) -> ssl.SSLContext | None:
    if security == "none":
        return None
    context = ssl.create_default_context(cafile=ca_file)
    if security == "opportunistic":  # better than nothing, and no more than that (RFC 7435)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _identities(values: Mapping[str, Any]) -> list[Identity]:
    pairs = [(values["dkim_selector"], values["dkim_key"]), (values["dkim_second_selector"], values["dkim_second_key"])]
    return [Identity(values["dkim_domain"], selector, load_key(key)) for selector, key in pairs if key]


def _listener(values: Mapping[str, Any], context: ProviderContext, verp: Verp | None) -> BounceListener | None:
    place: Mailbox
    if values["bounce_imap_host"]:
        account = ImapAccount(
            host=values["bounce_imap_host"],
            port=values["bounce_imap_port"],
            security=values["bounce_imap_security"],
            username=values["bounce_imap_username"],
            password=values["bounce_imap_password"],
            folder=values["bounce_imap_folder"],
            tls=_encryption(values["bounce_imap_security"], values.get("ca_file")),
            timeout=values["command_timeout"],
        )
        place = ImapFolder(account)
    elif values["bounce_maildir"]:
        place = Maildir(Path(values["bounce_maildir"]))
    else:
        return None
    return BounceListener(
        place, context, verp=verp, remove=values["bounce_remove"], poll_seconds=values["bounce_poll_seconds"]
    )
