"""Routes: the providers of a channel, in the order in which they are tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_messaging.store.channels import ChannelStore, StoredChannel
from heliograph_messaging.tables import routes

MAIN = ""
"""The id of the route that a channel itself describes."""


@dataclass(frozen=True)
class Route:
    """What opening a sender needs. `secrets` is sealed under `seal`."""

    project: str
    kind: str
    route: str
    provider: str
    settings: Mapping[str, object]
    secrets: bytes
    version: int

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from every other route of the installation."""
        return (self.project, self.kind, self.route)

    @property
    def seal(self) -> str:
        """The name its secrets are sealed for, so that they open nowhere else."""
        return seal_of(self.kind, self.route)


@dataclass(frozen=True)
class StoredRoute:
    """A further provider of a channel. The channel's own provider comes before all of them."""

    project: str
    kind: str
    id: str
    provider: str
    settings: Mapping[str, object]
    secrets: bytes
    secret_names: Sequence[str]
    priority: int
    enabled: bool
    version: int
    create_time: datetime
    update_time: datetime
    updated_by: str

    def route(self) -> Route:
        """Return what opens it."""
        return Route(self.project, self.kind, self.id, self.provider, self.settings, self.secrets, self.version)


@dataclass(frozen=True)
class RouteMark:
    """Which route, in which version: enough to see whether anything changed. `enabled`: it and its channel are."""

    project: str
    kind: str
    route: str
    version: int
    enabled: bool

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from every other route of the installation."""
        return (self.project, self.kind, self.route)


def seal_of(kind: str, route: str) -> str:
    """Return the name under which the secrets of a route are sealed."""
    return f"{kind}/{route}" if route else kind


def main_route(channel: StoredChannel) -> Route:
    """Return the route that a channel itself describes."""
    return Route(
        channel.project, channel.kind, MAIN, channel.provider, channel.settings, channel.secrets, channel.version
    )


# An e-mail channel that is off still sends directly (pinpoint-2 1.3).
_MARKS = text(
    """SELECT project, kind, '' AS route, version, enabled OR kind = 'EMAIL' AS enabled FROM messaging.channels
    UNION ALL
    SELECT r.project, r.kind, r.id, r.version, r.enabled AND (c.enabled OR r.kind = 'EMAIL')
    FROM messaging.routes r JOIN messaging.channels c ON c.project = r.project AND c.kind = r.kind"""
)
_COLUMNS = tuple(column.name for column in routes.columns)
_KEY = ("project", "kind", "id")


class RouteStore:
    """Reads and writes routes."""

    async def get(
        self, conn: AsyncConnection, project: str, kind: str, id: str, *, lock: bool = False
    ) -> StoredRoute | None:
        """Return a route, None when there is none."""
        query = select(routes).where(routes.c.project == project, routes.c.kind == kind, routes.c.id == id)
        row = (await conn.execute(query.with_for_update() if lock else query)).one_or_none()
        return None if row is None else _route(row)

    async def of_channel(self, conn: AsyncConnection, project: str, kind: str) -> list[StoredRoute]:
        """Return the routes of a channel in the order in which they are tried, those switched off among them."""
        query = select(routes).where(routes.c.project == project, routes.c.kind == kind)
        return [_route(row) for row in await conn.execute(query.order_by(routes.c.priority, routes.c.id))]

    async def marks(self, conn: AsyncConnection) -> Sequence[RouteMark]:
        """Return which routes there are, of all projects, those that channels themselves describe among them."""
        return [RouteMark(*row) for row in await conn.execute(_MARKS)]

    async def find(self, conn: AsyncConnection, channels: ChannelStore, key: tuple[str, str, str]) -> Route | None:
        """Return what opens a route, also that of the channel itself; None when it is not set up."""
        project, kind, id = key
        if id == MAIN:
            channel = await channels.get(conn, project, kind)
            return None if channel is None else main_route(channel)
        stored = await self.get(conn, project, kind, id)
        return None if stored is None else stored.route()

    async def put(self, conn: AsyncConnection, route: StoredRoute) -> bool:
        """Write a route; False when somebody else wrote the same version first."""
        values = {name: getattr(route, name) for name in _COLUMNS} | {"settings": dict(route.settings)}
        statement = insert(routes).values(**values)
        changed = {name: statement.excluded[name] for name in _COLUMNS if name not in (*_KEY, "create_time")}
        done = await conn.execute(
            statement.on_conflict_do_update(
                index_elements=list(_KEY), set_=changed, where=routes.c.version == route.version - 1
            ).returning(routes.c.version)
        )
        return done.one_or_none() is not None

    async def delete(self, conn: AsyncConnection, project: str, kind: str, id: str) -> StoredRoute | None:
        """Delete a route and return it as it was, None when there was none."""
        query = delete(routes).where(routes.c.project == project, routes.c.kind == kind, routes.c.id == id)
        row = (await conn.execute(query.returning(*routes.columns))).one_or_none()
        return None if row is None else _route(row)


def _route(row: Row[Any]) -> StoredRoute:
    values = {name: getattr(row, name) for name in _COLUMNS}
    return StoredRoute(**{**values, "secrets": bytes(row.secrets)})
