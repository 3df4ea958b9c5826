"""Use cases over what holds for all SMS of a project."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import Violations
from heliograph_messaging.domain.countries import sender_id_problem
from heliograph_messaging.domain.spending import month_of
from heliograph_messaging.store import locks
from heliograph_messaging.store.sms_settings import SmsSettingsStore, SpendingStore, StoredSmsSettings

MAX_PRICE_MICROS = 1_000_000_000
MAX_LIMIT_MICROS = 10**15
MAX_REGISTERED = 100
MAX_COUNTRIES = 250
_COUNTRY = re.compile(r"[A-Z]{2}")
_UNDER = "sms_settings"


class SmsSettings:
    """Use cases over SMS settings."""

    def __init__(self, database: Database, store: SmsSettingsStore, spending: SpendingStore, clock: Clock) -> None:
        """Take the settings, what was spent, and the clock."""
        self._database = database
        self._store = store
        self._spending = spending
        self._clock = clock

    async def get(self, project: str) -> tuple[StoredSmsSettings, int]:
        """Return the settings, and what this month's messages cost so far, in millionths."""
        async with self._database.transaction() as conn:
            settings = await self._store.get(conn, project)
            return settings, await self._spending.spent(conn, project, month_of(self._clock.now()))

    async def update(self, project: str, change: Mapping[str, object], *, by: str) -> tuple[StoredSmsSettings, int]:
        """Change fields of the settings, by name.

        Raises:
            InvalidArgument: every violation of the result.
        """
        now = self._clock.now()
        async with self._database.transaction() as conn:
            await locks.exclusive(conn, [locks.numbers_of(project)])
            present = await self._store.get(conn, project)
            settings = replace(present, **change, update_time=now, updated_by=by)  # type: ignore[arg-type]
            _check(settings)
            await self._store.put(conn, project, settings)
            return settings, await self._spending.spent(conn, project, month_of(now))


def _check(settings: StoredSmsSettings) -> None:
    found = Violations()
    if settings.default_sender_id and (problem := sender_id_problem(settings.default_sender_id)):
        found.add(f"{_UNDER}.default_sender_id", problem, "INVALID_ARGUMENT")
    limit = settings.monthly_spend_limit
    if limit is not None and not 0 <= limit <= MAX_LIMIT_MICROS:
        words = f"must be 0 to {MAX_LIMIT_MICROS:,}; leave it out for no limit"
        found.add(f"{_UNDER}.monthly_spend_limit_micros", words, "INVALID_ARGUMENT")
    for country, price in sorted(settings.prices.items()):
        if not _COUNTRY.fullmatch(country):
            found.add(
                f"{_UNDER}.prices_micros", f"{country!r} is no ISO 3166 country, two capitals", "INVALID_ARGUMENT"
            )
        elif not 0 <= price <= MAX_PRICE_MICROS:
            found.add(f"{_UNDER}.prices_micros", f"{country} must be 0 to {MAX_PRICE_MICROS:,}", "INVALID_ARGUMENT")
    if len(settings.registered_sender_ids) > MAX_REGISTERED:
        found.add(f"{_UNDER}.registered_sender_ids", f"must be at most {MAX_REGISTERED}", "INVALID_ARGUMENT")
    for index, (sender_id, countries) in enumerate(settings.registered_sender_ids.items()):
        field = f"{_UNDER}.registered_sender_ids[{index}]"
        if problem := sender_id_problem(sender_id):
            found.add(f"{field}.sender_id", problem, "INVALID_ARGUMENT")
        if not 1 <= len(countries) <= MAX_COUNTRIES or not all(_COUNTRY.fullmatch(one) for one in countries):
            words = f"must be 1 to {MAX_COUNTRIES} ISO 3166 countries, two capitals each"
            found.add(f"{field}.countries", words, "INVALID_ARGUMENT")
    found.check()
