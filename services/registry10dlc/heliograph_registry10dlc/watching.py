"""Watching the history grow: every move once, in order, whoever made it.

Watchers of a project share what is read for them. Moves made in this process wake them at once, those of other processes
are found by one poll for all projects. A watcher that is behind what is shared reads the history by itself, so that
none has to keep up and nothing is buffered without bounds.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.database import Database
from heliograph_kit.outages import is_outage
from heliograph_kit.working import Bell, until_stopped
from heliograph_registry10dlc.domain import Entry, Kind
from heliograph_registry10dlc.errors import RegistrationNotFound
from heliograph_registry10dlc.events import name_of
from heliograph_registry10dlc.moves_store import has_moved, newest_moves
from heliograph_registry10dlc.watch_errors import TooManyWatchers, WatchEnded

_log = logging.getLogger(__name__)

FROM_NOW_ON = -1
"""As `after_move_id`: only what happens from now on."""
PAGE = 500
SHARED = 1_000
"""How many moves of a project are kept for its watchers."""


class History(Protocol):
    """Where moves are read."""

    async def history(
        self, conn: AsyncConnection, project: str, registration_id: str, after: int, limit: int
    ) -> Sequence[Entry]:
        """Read moves behind `after`, oldest first; an empty id reads all of the project."""
        ...


class Watching:
    """Hands moves to watchers. `run` must be under way in the process, also where it does no other work."""

    def __init__(self, *, database: Database, history: History, poll_seconds: float, most_watchers: int) -> None:
        """Take the parts; `poll_seconds` are real seconds, `most_watchers` holds for this process."""
        self._database = database
        self._history = history
        self._poll_seconds = poll_seconds
        self._most = most_watchers
        self._watchers = 0
        self._feeds: dict[str, _Feed] = {}
        self._bell = Bell()
        self._over = False

    @property
    def watchers(self) -> int:
        """How many watch now."""
        return self._watchers

    def wake(self, project: str) -> None:
        """Look for moves of this project now; call it after the commit that made them."""
        if project in self._feeds:
            self._bell.ring()

    async def run(self, stopping: asyncio.Event) -> None:
        """Look for moves until `stopping` is set; then every watcher is sent elsewhere."""
        try:
            await until_stopped(stopping, self._bell, self._poll_seconds, self._look)
        finally:
            if stopping.is_set():
                self._over = True
                for feed in self._feeds.values():
                    feed.tell()

    async def require(self, project: str, kind: Kind, registration_id: str) -> None:
        """Make sure that there is something to watch; what was deleted still has its history.

        Raises:
            RegistrationNotFound: there never was such a registration.
        """
        async with self._database.transaction() as conn:
            if not await has_moved(conn, project, kind, registration_id):
                raise RegistrationNotFound(kind, name_of(project, kind, registration_id))

    async def moves(self, project: str, registration_id: str, after_move_id: int) -> AsyncGenerator[Entry, None]:
        """Yield the moves of a project, or of one registration (an empty id: of all), behind `after_move_id`.

        First those that are there, then each as it is made; none twice, none left out. 0 begins at the beginning, -1 with
        what happens from now on. Ends only by an error or by being closed, which also gives its place free.

        Raises:
            TooManyWatchers: this process has as many as it may have.
            WatchEnded: the service stops; go on with the last move_id.
        """
        with self._place(project) as feed:
            async with self._database.transaction() as conn:
                newest = (await newest_moves(conn, [project]))[project]
            feed.begin(newest)
            cursor = newest if after_move_id == FROM_NOW_ON else after_move_id
            while True:
                if self._over:
                    raise WatchEnded
                news = feed.news
                if feed.holds(cursor):
                    shared, cursor = feed.behind(cursor)
                    for entry in shared:
                        if registration_id in ("", entry.registration_id):
                            yield entry
                    if cursor >= feed.position:
                        await news.wait()
                else:
                    page, cursor = await self._read(project, registration_id, cursor)
                    for entry in page:
                        yield entry

    async def _read(self, project: str, registration_id: str, after: int) -> tuple[Sequence[Entry], int]:
        """Read a page of the history, and return up to which move it is all there is."""
        async with self._database.transaction() as conn:
            # Before the page: what commits in between may be in the page, and is then not missed but counted.
            newest = (await newest_moves(conn, [project]))[project]
            page = await self._history.history(conn, project, registration_id, after, PAGE)
        if len(page) == PAGE:
            return page, page[-1].move_id
        return page, max(after, newest, page[-1].move_id if page else 0)

    async def _look(self) -> bool:
        """Read what is new of every project that is watched; true when there is more already."""
        if not self._feeds:
            return False
        feeds = {project: feed for project, feed in self._feeds.items() if feed.begun}
        more = False
        try:
            async with self._database.transaction() as conn:
                newest = await newest_moves(conn, list(feeds))
                for project, feed in feeds.items():
                    if newest[project] > feed.position:
                        page = await self._history.history(conn, project, "", feed.position, PAGE)
                        feed.add(page)
                        more = more or len(page) == PAGE
        except Exception as error:
            if not is_outage(error):
                raise
            _log.warning("moves cannot be looked for now, watchers wait: %s", error)
            return False
        return more

    @contextmanager
    def _place(self, project: str) -> Iterator[_Feed]:
        if self._over:
            raise WatchEnded
        if self._watchers >= self._most:
            raise TooManyWatchers(self._most)
        feed = self._feeds.setdefault(project, _Feed())
        self._watchers += 1
        feed.watchers += 1
        try:
            yield feed
        finally:
            self._watchers -= 1
            feed.watchers -= 1
            if not feed.watchers:
                del self._feeds[project]


class _Feed:
    """The last moves of one project, for all who watch it."""

    def __init__(self) -> None:
        self.watchers = 0
        self.begun = False
        self.position = 0
        self.news = asyncio.Event()
        # Everything behind `_floor` up to `position` is in `_tail`.
        self._floor = 0
        self._tail: deque[Entry] = deque()

    def begin(self, newest: int) -> None:
        """Share what comes behind this move; only the first to say so counts."""
        if not self.begun:
            self.begun = True
            self.position = self._floor = newest

    def holds(self, cursor: int) -> bool:
        """Tell whether all that is behind the cursor is here."""
        return cursor >= self._floor

    def behind(self, cursor: int) -> tuple[list[Entry], int]:
        """Return what is behind the cursor, oldest first, and the cursor behind that."""
        newer = list(takewhile(lambda entry: entry.move_id > cursor, reversed(self._tail)))
        return newer[::-1], max(cursor, self.position)

    def add(self, page: Sequence[Entry]) -> None:
        """Take in what was read behind `position`."""
        for entry in page:
            self._tail.append(entry)
            self.position = entry.move_id
            if len(self._tail) > SHARED:
                self._floor = self._tail.popleft().move_id
        if page:
            self.tell()

    def tell(self) -> None:
        """Wake everybody who waits for news."""
        self.news.set()
        self.news = asyncio.Event()
