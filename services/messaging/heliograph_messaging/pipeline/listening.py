"""Keeps channels open whose plugins hear by themselves: a bound session, a mailbox that is looked into."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from datetime import timedelta

from heliograph_kit.database import Database
from heliograph_kit.redelivery import Backoff
from heliograph_kit.working import Bell, until_stopped
from heliograph_messaging.providers import CannotOpen, Senders
from heliograph_messaging.store.channels import ChannelStore
from heliograph_messaging.store.routes import RouteMark, RouteStore

_POLL_SECONDS = 2.0
_RETRY = Backoff(timedelta(seconds=2), timedelta(seconds=60))

_log = logging.getLogger(__name__)


class Listening:
    """Opens listening routes at the start and when they are set up, opens them again when their settings change or opening
    failed, and lets them go when they are switched off or deleted.
    """

    def __init__(self, database: Database, channels: ChannelStore, routes: RouteStore, senders: Senders) -> None:
        """Take the channels with their routes, and what opens these."""
        self._database = database
        self._channels = channels
        self._routes = routes
        self._senders = senders
        self._failures: dict[RouteMark, tuple[int, float]] = {}
        self._deaf: set[RouteMark] = set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Look after the routes until told to stop; those that are open stay open until the process ends."""
        await until_stopped(stopping, Bell(), _POLL_SECONDS, self._look_and_wait)

    async def look(self) -> None:
        """Open what is to listen and is not open, let go what listens and should not."""
        async with self._database.transaction() as conn:
            wanted = {mark for mark in await self._routes.marks(conn) if mark.enabled}
        self._deaf &= wanted
        self._failures = {mark: failed for mark, failed in self._failures.items() if mark in wanted}
        known = wanted - self._deaf
        await asyncio.gather(*(self._open(mark) for mark in known if self._failures.get(mark, (0, 0.0))[1] <= _now()))
        self._senders.let_go({mark.key for mark in known})

    async def _look_and_wait(self) -> bool:
        await self.look()
        return False

    async def _open(self, mark: RouteMark) -> None:
        if self._senders.has(mark.key, mark.version):
            return
        async with self._database.transaction() as conn:
            route = await self._routes.find(conn, self._channels, mark.key)
        if route is None or route.version != mark.version:
            return  # changed meanwhile; the next look sees it
        try:
            if not (await self._senders.capabilities(route)).listens:
                self._deaf.add(mark)
                return
            await self._senders.of(route)
        except CannotOpen as error:
            failures = self._failures.get(mark, (0, 0.0))[0] + 1
            pause = _RETRY.delay(failures, random.random()).total_seconds()  # noqa: S311 (spreads attempts)
            self._failures[mark] = (failures, _now() + pause)
            _log.warning("the channel %s of %s does not listen: %s", mark.kind, mark.project, error)
        else:
            self._failures.pop(mark, None)
            _log.info("the channel %s of %s listens", mark.kind, mark.project)


def _now() -> float:
    return time.monotonic()
