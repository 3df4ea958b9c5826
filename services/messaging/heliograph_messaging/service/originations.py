"""Use cases over numbers: what messaging does with them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import Violations
from heliograph_kit.names import format_name
from heliograph_messaging.domain.countries import CountryRules
from heliograph_messaging.domain.pools import Setup
from heliograph_messaging.errors import RouteNotFound
from heliograph_messaging.number_errors import (
    OptOutListNotFound,
    OriginationNotFound,
    PooledNumber,
    TwoWayNotEnabled,
    TwoWayNotSupported,
)
from heliograph_messaging.store import locks
from heliograph_messaging.store.opt_outs import OptOutStore
from heliograph_messaging.store.originations import OriginationStore, StoredOrigination
from heliograph_messaging.store.routes import RouteStore

_COUNTRY = re.compile(r"[A-Z]{2}")


@dataclass(frozen=True)
class SetupChange:
    """What a caller changes of what numbers in a pool share; None leaves a field as it is."""

    message_type: str | None = None
    opt_out_list: str | None = None
    two_way: bool | None = None
    self_managed_opt_outs: bool | None = None

    def __bool__(self) -> bool:
        """Tell whether it changes anything."""
        return self != SetupChange()

    def over(self, setup: Setup) -> Setup:
        """Return a setup with the change."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return replace(setup, **given)


@dataclass(frozen=True)
class NumberChange:
    """What a caller changes of a number. `route` empty: the channel's own provider; `country` empty: none is set."""

    setup: SetupChange = SetupChange()
    country: str | None = None
    route: str | None = None
    any_route: bool = False


class Originations:
    """Use cases over numbers."""

    def __init__(
        self,
        database: Database,
        store: OriginationStore,
        opt_outs: OptOutStore,
        routes: RouteStore,
        rules: CountryRules,
        clock: Clock,
    ) -> None:
        """Take the numbers, the opt-out lists, the channel's routes, the country rules and the clock."""
        self._database = database
        self._store = store
        self._opt_outs = opt_outs
        self._routes = routes
        self._rules = rules
        self._clock = clock

    @property
    def rules(self) -> CountryRules:
        """The country rules of this installation."""
        return self._rules

    async def get(self, project: str, number: str) -> StoredOrigination:
        """Return a number.

        Raises:
            OriginationNotFound: the project has none of that name.
        """
        async with self._database.transaction() as conn:
            found = await self._store.get(conn, project, number)
        if found is None:
            raise OriginationNotFound(format_name(project, "originations", number))
        return found

    async def page(self, project: str, *, after: str | None, size: int) -> Sequence[StoredOrigination]:
        """Return up to `size` numbers above `after`, by number."""
        async with self._database.transaction() as conn:
            return await self._store.page(conn, project, after=after, size=size)

    async def update(self, project: str, number: str, change: NumberChange, *, by: str) -> StoredOrigination:
        """Change what messaging does with a number.

        Raises:
            OriginationNotFound, OptOutListNotFound, RouteNotFound: there is no such number, list or route.
            InvalidArgument: a country that is none, or of a number whose country follows from itself.
            PooledNumber: its pool decides.
            TwoWayNotEnabled, TwoWayNotSupported: as the number and its country are.
        """
        name = format_name(project, "originations", number)
        async with self._database.transaction() as conn:
            await locks.exclusive(conn, [locks.numbers_of(project)])
            present = await self._store.get(conn, project, number)
            if present is None:
                raise OriginationNotFound(name)
            _check_country(present, change)
            settings = present.settings
            if settings.pool and change.setup:
                raise PooledNumber(number, format_name(project, "pools", settings.pool))
            setup = change.setup.over(settings.setup)
            if change.setup.opt_out_list and not await self._opt_outs.has_list(conn, project, setup.opt_out_list):
                raise OptOutListNotFound(format_name(project, "optOutLists", setup.opt_out_list))
            if change.route and await self._routes.get(conn, project, "SMS", change.route) is None:
                raise RouteNotFound(f"{format_name(project, 'channels', 'SMS')}/routes/{change.route}")
            changed = replace(
                settings,
                country=settings.country if change.country is None else change.country,
                setup=setup,
                route=None if change.any_route else settings.route if change.route is None else change.route,
                update_time=self._clock.now(),
                updated_by=by,
            )
            stored = replace(present, settings=changed)
            check_two_way(name, change.setup, setup, [stored], self._rules)
            await self._store.put(conn, project, number, changed)
        return stored


def check_two_way(
    name: str, change: SetupChange, setup: Setup, numbers: Sequence[StoredOrigination], rules: CountryRules
) -> None:
    """Check that numbers can be two-way as they are to be.

    Raises:
        TwoWayNotEnabled: self-managed opt-outs without two-way.
        TwoWayNotSupported: two-way is switched on in a country where numbers do not receive.
    """
    if setup.self_managed_opt_outs and not setup.two_way:
        raise TwoWayNotEnabled(name)
    if change.two_way:
        for number in numbers:
            # Toll-free and 10DLC numbers are of the US, which the rules know.
            if not rules.of(number.country).two_way:
                raise TwoWayNotSupported(number.number, number.country or "no country")


def _check_country(number: StoredOrigination, change: NumberChange) -> None:
    found = Violations()
    if change.country:
        if number.kind != "SHORT_CODE":
            found.add(
                "origination.country", "follows from the number; only a short code's can be set", "INVALID_ARGUMENT"
            )
        elif not _COUNTRY.fullmatch(change.country):
            found.add("origination.country", "must be an ISO 3166 country, two capitals", "INVALID_ARGUMENT")
    found.check()
