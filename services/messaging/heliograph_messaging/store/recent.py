"""What was read a moment ago, so that a direct send does not read it again: channels, their routes, templates, pools.

What is kept is at most a second old. What this process writes it sees at once, what another process writes within that
second. Absence is never kept. Who changes or shows something uses the `Watched` stores, who sends the `Recent` ones.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Hashable
from datetime import datetime
from typing import Generic, Literal, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.database import Database
from heliograph_messaging.store.channels import ChannelStore, StoredChannel
from heliograph_messaging.store.originations import PoolStore
from heliograph_messaging.store.routes import RouteStore, StoredRoute
from heliograph_messaging.store.templates import StoredTemplate, TemplateStore

V = TypeVar("V")
LIFE_SECONDS = 1.0
_MOST = 10_000
Group = tuple[str, str]


class Recent(Generic[V]):
    """Values for a short while, in groups that are written together; for one event loop."""

    def __init__(self, life: float = LIFE_SECONDS, now: Callable[[], float] = time.monotonic) -> None:
        """Take how many seconds a value lives, and the clock."""
        self._life = life
        self._now = now
        self._kept: dict[Group, dict[Hashable, tuple[float, V]]] = {}
        self._written: dict[Group, float] = {}

    async def get(self, group: Group, key: Hashable, read: Callable[[], Awaitable[V | None]]) -> V | None:
        """Return a value, read when none is kept. None is not kept."""
        began = self._now()
        found = self._kept.get(group, {}).get(key)
        if found is not None and began < found[0]:
            return found[1]
        value = await read()
        # What is read while it is written may be of before the commit, and must not stay.
        if value is not None and began >= self._written.get(group, began):
            if len(self._kept) >= _MOST:
                self._kept.clear()
            self._kept.setdefault(group, {})[key] = (began + self._life, value)
        return value

    def forget(self, group: Group) -> None:
        """Forget what is being written, and keep nothing of it until the write is certainly committed."""
        self._kept.pop(group, None)
        if len(self._written) >= _MOST:
            self._written = {group: until for group, until in self._written.items() if until > self._now()}
        self._written[group] = self._now() + self._life


class Memory:
    """What the stores below share."""

    def __init__(self, life: float = LIFE_SECONDS) -> None:
        """Start empty; `life` in seconds."""
        self.channels: Recent[StoredChannel] = Recent(life)
        self.routes: Recent[list[StoredRoute]] = Recent(life)
        self.templates: Recent[StoredTemplate] = Recent(life)
        self.pools: Recent[Literal[True]] = Recent(life)


class WatchedChannels(ChannelStore):
    """Channels; every write is noted."""

    def __init__(self, memory: Memory) -> None:
        """Take what is to forget."""
        self._memory = memory.channels

    async def put(self, conn: AsyncConnection, channel: StoredChannel) -> bool:
        """Write a channel; False when somebody else wrote the same version first."""
        self._memory.forget((channel.project, channel.kind))
        return await super().put(conn, channel)


class RecentChannels(ChannelStore):
    """Channels as they are, or were a second ago."""

    def __init__(self, memory: Memory, database: Database) -> None:
        """Take what remembers, and the database for reads without a connection."""
        self._memory = memory.channels
        self._database = database

    async def get(self, conn: AsyncConnection, project: str, kind: str, *, lock: bool = False) -> StoredChannel | None:
        """Return a channel, None when it was never set up."""
        read = super().get
        return await self._memory.get((project, kind), None, lambda: read(conn, project, kind, lock=lock))

    async def lately(self, project: str, kind: str) -> StoredChannel | None:
        """Return a channel; a connection is only taken when it is not kept."""
        read = super().get

        async def now() -> StoredChannel | None:
            async with self._database.statement() as conn:
                return await read(conn, project, kind)

        return await self._memory.get((project, kind), None, now)


class WatchedRoutes(RouteStore):
    """Further routes of channels; every write is noted."""

    def __init__(self, memory: Memory) -> None:
        """Take what is to forget."""
        self._memory = memory.routes

    async def put(self, conn: AsyncConnection, route: StoredRoute) -> bool:
        """Write a route; False when somebody else wrote the same version first."""
        self._memory.forget((route.project, route.kind))
        return await super().put(conn, route)

    async def delete(self, conn: AsyncConnection, project: str, kind: str, id: str) -> StoredRoute | None:
        """Delete a route and return it as it was, None when there was none."""
        self._memory.forget((project, kind))
        return await super().delete(conn, project, kind, id)


class RecentRoutes(RouteStore):
    """Further routes of channels as they are, or were a second ago."""

    def __init__(self, memory: Memory) -> None:
        """Take what remembers."""
        self._memory = memory.routes

    async def of_channel(self, conn: AsyncConnection, project: str, kind: str) -> list[StoredRoute]:
        """Return the routes of a channel in the order in which they are tried, those switched off among them."""
        read = super().of_channel
        return await self._memory.get((project, kind), None, lambda: read(conn, project, kind)) or []


class WatchedTemplates(TemplateStore):
    """Templates; every write is noted."""

    def __init__(self, memory: Memory) -> None:
        """Take what is to forget."""
        self._memory = memory.templates

    async def add(self, conn: AsyncConnection, template: StoredTemplate) -> bool:
        """Add a new template with its first version; False when the id is taken."""
        self._memory.forget((template.project, template.id))
        return await super().add(conn, template)

    async def add_version(self, conn: AsyncConnection, template: StoredTemplate) -> None:
        """Add a version, and note the active one."""
        self._memory.forget((template.project, template.id))
        await super().add_version(conn, template)

    async def overwrite(self, conn: AsyncConnection, template: StoredTemplate) -> None:
        """Replace what a version says."""
        self._memory.forget((template.project, template.id))
        await super().overwrite(conn, template)

    async def activate(self, conn: AsyncConnection, project: str, id: str, version: int) -> None:
        """Make a version the active one."""
        self._memory.forget((project, id))
        await super().activate(conn, project, id, version)

    async def delete(self, conn: AsyncConnection, project: str, id: str, *, now: datetime) -> None:
        """Delete a template with all its versions."""
        self._memory.forget((project, id))
        await super().delete(conn, project, id, now=now)

    async def delete_version(
        self, conn: AsyncConnection, project: str, id: str, version: int, *, now: datetime
    ) -> None:
        """Delete one version."""
        self._memory.forget((project, id))
        await super().delete_version(conn, project, id, version, now=now)


class RecentTemplates:
    """Versions of templates as they are, or were a second ago.

    For the check of direct sends only, which hand on the number of the version. What is said is read when it is sent: a
    campaign that begins right after a change says what was changed.
    """

    def __init__(self, memory: Memory, database: Database) -> None:
        """Take what remembers, and the database."""
        self._memory = memory.templates
        self._database = database
        self._store = TemplateStore()

    async def lately(self, project: str, id: str, version: int = 0) -> StoredTemplate | None:
        """Return a template at a version, 0 being the active one; None when there is no such thing."""

        async def now() -> StoredTemplate | None:
            async with self._database.statement() as conn:
                return await self._store.get(conn, project, id, version)

        return await self._memory.get((project, id), version, now)


class WatchedPools(PoolStore):
    """Pools; every write is noted."""

    def __init__(self, memory: Memory) -> None:
        """Take what is to forget."""
        self._memory = memory.pools

    async def delete(self, conn: AsyncConnection, project: str, id: str) -> None:
        """Delete a pool; its numbers are in none then."""
        self._memory.forget((project, id))
        await super().delete(conn, project, id)


class RecentPools:
    """Which pools there are, or were a second ago; for the check of direct sends only."""

    def __init__(self, memory: Memory, database: Database) -> None:
        """Take what remembers, and the database."""
        self._memory = memory.pools
        self._database = database
        self._store = PoolStore()

    async def exists(self, project: str, id: str) -> bool:
        """Tell whether there is a pool of this id."""

        async def now() -> Literal[True] | None:
            async with self._database.statement() as conn:
                return None if await self._store.get(conn, project, id) is None else True

        return bool(await self._memory.get((project, id), None, now))
