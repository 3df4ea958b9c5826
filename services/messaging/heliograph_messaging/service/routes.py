"""Use cases over routes: the further providers of a channel, and how all providers of a channel are."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import Aborted, Violations
from heliograph_kit.names import format_name
from heliograph_messaging.contained import health_of
from heliograph_messaging.errors import ChannelNotFound, RouteNotFound, TooManyRoutes
from heliograph_messaging.providers import CannotOpen, Senders
from heliograph_messaging.service.channels import TRIES
from heliograph_messaging.service.provider_settings import ProviderSettings
from heliograph_messaging.store.channels import ChannelStore
from heliograph_messaging.store.routes import Route, RouteStore, StoredRoute, main_route, seal_of

MAX_ROUTES = 10
MAX_PRIORITY = 1000
DEFAULT_PRIORITY = 100
_ID = re.compile(r"[a-z][a-z0-9-]{0,62}")
_HEALTH_SECONDS = 10.0


@dataclass(frozen=True)
class RouteChange:
    """What a caller changes; None leaves a field as it is. `settings` replaces all but the secrets left out."""

    provider: str | None = None
    settings: Mapping[str, object] | None = None
    priority: int | None = None
    enabled: bool | None = None


@dataclass(frozen=True)
class RouteHealth:
    """How one provider is: what it says, and for how many seconds it is left alone here."""

    route: str
    provider: str
    ok: bool
    detail: str
    paused_seconds: float


class Routes:
    """Use cases over routes."""

    def __init__(
        self,
        database: Database,
        channels: ChannelStore,
        store: RouteStore,
        settings: ProviderSettings,
        senders: Senders,
        clock: Clock,
    ) -> None:
        """Take the stores, what checks plugins' settings, the opened senders and the clock."""
        self._database = database
        self._channels = channels
        self._store = store
        self._settings = settings
        self._senders = senders
        self._clock = clock

    async def get(self, project: str, kind: str, id: str) -> StoredRoute:
        """Return a route.

        Raises:
            RouteNotFound: there is none.
        """
        async with self._database.transaction() as conn:
            route = await self._store.get(conn, project, kind, id)
        if route is None:
            raise RouteNotFound(_name(project, kind, id))
        return route

    async def list(self, project: str, kind: str) -> Sequence[StoredRoute]:
        """Return the routes of a channel in the order in which they are tried."""
        async with self._database.transaction() as conn:
            return await self._store.of_channel(conn, project, kind)

    async def update(self, project: str, kind: str, id: str, change: RouteChange, *, by: str) -> StoredRoute:
        """Set a route up or change it.

        Raises:
            InvalidArgument: a bad id or priority.
            ChannelNotFound: the channel is not set up.
            TooManyRoutes: it has ten already.
            ProviderUnknown, ChannelSettingsInvalid, SecretKeyMissing, Aborted: as for a channel.
        """
        _check(id, change)
        for _ in range(TRIES):
            async with self._database.transaction() as conn:
                present = await self._present(conn, project, kind, id, lock=False)
            # A plugin may take seconds to look at them: nobody's connection and no lock waits for it.
            route = await self._changed(project, kind, id, change, present, by=by)
            async with self._database.transaction() as conn:
                current = await self._present(conn, project, kind, id, lock=True)
                if _version(current) == _version(present) and await self._store.put(conn, route):
                    return route
        raise Aborted("the route is being changed by somebody else; read it and try again")

    async def _present(
        self, conn: AsyncConnection, project: str, kind: str, id: str, *, lock: bool
    ) -> StoredRoute | None:
        """Return a route that may be changed, None when it may be made; the channel's row is what changes wait for.

        Raises:
            ChannelNotFound, TooManyRoutes: it may not.
        """
        if await self._channels.get(conn, project, kind, lock=lock) is None:
            raise ChannelNotFound(format_name(project, "channels", kind))
        present = await self._store.get(conn, project, kind, id)
        if present is None and len(await self._store.of_channel(conn, project, kind)) >= MAX_ROUTES:
            raise TooManyRoutes(format_name(project, "channels", kind), MAX_ROUTES)
        return present

    async def _changed(
        self, project: str, kind: str, id: str, change: RouteChange, present: StoredRoute | None, *, by: str
    ) -> StoredRoute:
        chosen = change.provider or (present.provider if present else "")
        provider = self._settings.provider(kind, chosen, field="route.provider")
        settings, names, sealed = await self._settings.settle(
            project, seal_of(kind, id), provider, change.settings, present, field="route.settings"
        )
        now = self._clock.now()
        before = present.priority if present else DEFAULT_PRIORITY
        return StoredRoute(
            project=project,
            kind=kind,
            id=id,
            provider=provider.name,
            settings=settings,
            secrets=sealed,
            secret_names=names,
            priority=before if change.priority is None else change.priority,
            enabled=change.enabled if change.enabled is not None else bool(present and present.enabled),
            # Not from 1: a route deleted and made again must not look like its old self to a worker.
            version=present.version + 1 if present else int(now.timestamp() * 1000),
            create_time=present.create_time if present else now,
            update_time=now,
            updated_by=by,
        )

    async def delete(self, project: str, kind: str, id: str) -> StoredRoute:
        """Delete a route.

        Raises:
            RouteNotFound: there is none.
        """
        async with self._database.transaction() as conn:
            route = await self._store.delete(conn, project, kind, id)
        if route is None:
            raise RouteNotFound(_name(project, kind, id))
        return route

    async def check(self, project: str, kind: str) -> Sequence[RouteHealth]:
        """Ask every provider of a channel that is used whether it could send now, all at once.

        Raises:
            ChannelNotFound: it was never set up.
        """
        async with self._database.transaction() as conn:
            channel = await self._channels.get(conn, project, kind)
            further = await self._store.of_channel(conn, project, kind)
        if channel is None:
            raise ChannelNotFound(format_name(project, "channels", kind))
        routes = [main_route(channel), *(route.route() for route in further if route.enabled)]
        return await asyncio.gather(*(self._health(route) for route in routes))

    async def _health(self, route: Route) -> RouteHealth:
        try:
            opened = await self._senders.of(route)
        except CannotOpen as error:
            return RouteHealth(route.route, route.provider, ok=False, detail=str(error), paused_seconds=0)
        paused = opened.breaker.pause_left(time.monotonic())
        health = await health_of(opened.provider, opened.sender, opened.secrets, seconds=_HEALTH_SECONDS)
        return RouteHealth(route.route, route.provider, health.ok, health.detail, paused)


def _check(id: str, change: RouteChange) -> None:
    found = Violations()
    if not _ID.fullmatch(id):
        found.add("route.name", f"must end in an id that matches {_ID.pattern}", "INVALID_ARGUMENT")
    if change.priority is not None and not 1 <= change.priority <= MAX_PRIORITY:
        found.add("route.priority", f"must be 1 to {MAX_PRIORITY:,}", "INVALID_ARGUMENT")
    found.check()


def _version(route: StoredRoute | None) -> int:
    return route.version if route else 0


def _name(project: str, kind: str, id: str) -> str:
    return f"{format_name(project, 'channels', kind)}/routes/{id}"
