"""Where bounces are read: a folder of an IMAP server, or a maildir on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from heliograph_channel_smtp.imap import Imap, ImapAccount

__all__ = ["ImapFolder", "Mailbox", "Maildir", "Reading", "Unread"]

_PAGE = 50
_READ_OCTETS = 256 * 1024  # a bounce tells what it has to before it returns the message


@dataclass(frozen=True, slots=True)
class Unread:
    """A mail nobody has dealt with: the key its mailbox knows it by, and its first 256 KiB."""

    key: str
    octets: bytes


class Reading(Protocol):
    """An opened mailbox."""

    async def page(self) -> Sequence[Unread]:
        """Return up to 50 mails that are not done, oldest first; empty = none."""

    async def done(self, keys: Sequence[str], *, remove: bool) -> None:
        """Put mails away: mark them as read, or remove them. Safe to repeat."""

    async def wait(self, seconds: float) -> None:
        """Return when mail may have come, at the latest after `seconds`."""


class Mailbox(Protocol):
    """A mailbox that can be opened; what goes wrong is an ImapError or an OSError."""

    def opened(self) -> AbstractAsyncContextManager[Reading]:
        """Open it for the length of an `async with`."""


class ImapFolder:
    """A folder of an IMAP server."""

    def __init__(self, account: ImapAccount) -> None:
        """Connect nothing yet."""
        self._account = account

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Reading]:
        """Connect and log in."""
        async with Imap.opened(self._account) as imap:
            yield _ImapReading(imap)


class _ImapReading:
    def __init__(self, imap: Imap) -> None:
        self._imap = imap
        self._put_away: set[int] = set()

    async def page(self) -> Sequence[Unread]:
        # A server that forgets marks must not make us read the same mails in a circle.
        uids = [uid for uid in await self._imap.unseen() if uid not in self._put_away][:_PAGE]
        letters = await self._imap.fetch(uids) if uids else []
        self._put_away.update(set(uids) - {letter.uid for letter in letters})
        return [Unread(str(letter.uid), letter.octets) for letter in letters]

    async def done(self, keys: Sequence[str], *, remove: bool) -> None:
        uids = [int(key) for key in keys]
        await self._imap.mark(uids, deleted=remove)
        self._put_away.update(uids)

    async def wait(self, seconds: float) -> None:
        await self._imap.wait(seconds)


class Maildir:
    """A maildir: mails are taken from `new`, and moved to `cur` as seen. A server that delivers into it runs elsewhere."""

    def __init__(self, path: Path) -> None:
        """Read nothing yet."""
        self._path = path

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Reading]:
        """See that it is one.

        Raises:
            OSError: there is no maildir.
        """
        for name in ("new", "cur"):
            if not await asyncio.to_thread((self._path / name).is_dir):
                raise FileNotFoundError(f"the maildir has no folder {name}")
        yield _MaildirReading(self._path)


class _MaildirReading:
    def __init__(self, path: Path) -> None:
        self._path = path

    async def page(self) -> Sequence[Unread]:
        return await asyncio.to_thread(self._read)

    async def done(self, keys: Sequence[str], *, remove: bool) -> None:
        await asyncio.to_thread(self._put_away, keys, remove=remove)

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def _read(self) -> list[Unread]:
        unread: list[Unread] = []
        for path in sorted((self._path / "new").iterdir()):  # names begin with the time of delivery
            if len(unread) == _PAGE:
                break
            with contextlib.suppress(FileNotFoundError):  # another reader was faster
                if not path.name.startswith(".") and (octets := _first_octets(path)) is not None:
                    unread.append(Unread(path.name, octets))
        return unread

    def _put_away(self, keys: Sequence[str], *, remove: bool) -> None:
        for name in keys:
            with contextlib.suppress(FileNotFoundError):
                if remove:
                    (self._path / "new" / name).unlink()
                else:
                    (self._path / "new" / name).rename(self._path / "cur" / f"{name.partition(':')[0]}:2,S")


def _first_octets(path: Path) -> bytes | None:
    """Read the start of a regular file, None for anything else: a pipe would hold the thread for ever."""
    if not stat.S_ISREG(path.lstat().st_mode):
        return None
    with path.open("rb") as file:
        return file.read(_READ_OCTETS)
