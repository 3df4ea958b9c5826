"""Reading the bounce mailbox for as long as the channel is open."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from heliograph_channel_smtp.bounces import read_bounce
from heliograph_channel_smtp.envelopes import Verp
from heliograph_channel_smtp.imap import ImapError
from heliograph_channel_smtp.mailboxes import Mailbox, Reading, Unread
from heliograph_channels import ProviderContext, Receipt

__all__ = ["BounceListener"]

_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 300.0
_SHORTEST_ROUND = 0.5


class _NotStored(Exception):
    """Heliograph did not take the receipts."""


class BounceListener:
    """Turns mails into receipts. A mail is put away only after its receipts are stored, so a crash reads it again.

    Several readers of one mailbox do no harm: what a mail says has the same `receipt_id` whoever reads it.
    """

    def __init__(
        self, mailbox: Mailbox, context: ProviderContext, *, verp: Verp | None, remove: bool, poll_seconds: float
    ) -> None:
        """Take the mailbox; `remove` says whether mails that were understood are deleted or marked as read."""
        self._mailbox = mailbox
        self._context = context
        self._verp = verp
        self._remove = remove
        self._poll_seconds = poll_seconds
        self._task: asyncio.Task[None] | None = None
        self._failures = 0
        self.problem = ""

    def start(self) -> None:
        """Begin to read, in a task of its own."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="bounce mailbox")

    async def close(self) -> None:
        """Stop reading. Safe to repeat."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                async with self._mailbox.opened() as reading:
                    await self._follow(reading)
            except (ImapError, _NotStored) as error:
                self._failed(str(error))
            except OSError as error:
                self._failed(f"{type(error).__name__}: {error}")
            except Exception as error:  # whatever a server thinks of: reading must go on some time
                self._failed(f"unforeseen: {type(error).__name__}")
            await asyncio.sleep(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self._failures - 1, 10)))

    async def _follow(self, reading: Reading) -> None:
        loop = asyncio.get_running_loop()
        while True:
            found = False
            while page := await reading.page():
                found = True
                await self._take(reading, page)
            if self.problem:
                self._context.logger.info("the bounce mailbox can be read again")
            self.problem, self._failures = "", 0
            began, shortest = loop.time(), min(_SHORTEST_ROUND, self._poll_seconds)
            await reading.wait(self._poll_seconds)
            if not found and loop.time() - began < shortest:
                await asyncio.sleep(shortest)  # a server that wakes us for nothing must not keep us busy

    async def _take(self, reading: Reading, page: Sequence[Unread]) -> None:
        told = await asyncio.to_thread(self._understand, page)
        if receipts := [receipt for receipts in told.values() for receipt in receipts]:
            try:
                await self._context.report(receipts)
            except Exception as error:  # it may fail in any way; the mails are still there
                raise _NotStored(f"the receipts could not be stored ({type(error).__name__})") from error
        understood = [key for key, receipts in told.items() if receipts]
        # What a person wrote is never deleted.
        others = [key for key, receipts in told.items() if not receipts]
        if understood:
            await reading.done(understood, remove=self._remove)
        if others:
            await reading.done(others, remove=False)

    def _understand(self, page: Sequence[Unread]) -> dict[str, list[Receipt]]:
        now = self._context.now()
        return {mail.key: read_bounce(mail.octets, verp=self._verp, now=now) for mail in page}

    def _failed(self, why: str) -> None:
        self._failures += 1
        if why != self.problem:
            self._context.logger.warning("the bounce mailbox cannot be read: %s", why)
        self.problem = why
