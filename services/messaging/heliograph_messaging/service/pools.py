"""Use cases over pools (pinpoint-2 3.3)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import RequestIdReused, Violations
from heliograph_kit.names import format_name
from heliograph_messaging.domain.countries import CountryRules, sender_id_problem
from heliograph_messaging.domain.pools import MAX_MEMBERS, MAX_POOLS, mismatches
from heliograph_messaging.number_errors import (
    AlreadyInPool,
    LastPhoneNumber,
    NotInPool,
    OptOutListNotFound,
    OriginationNotFound,
    PoolExists,
    PoolFull,
    PoolMismatch,
    PoolNotFound,
    TooManyPools,
)
from heliograph_messaging.service.drafts import MAX_REQUEST_ID
from heliograph_messaging.service.originations import SetupChange, check_two_way
from heliograph_messaging.store import locks
from heliograph_messaging.store.channels import RequestStore
from heliograph_messaging.store.keywords import NUMBER, POOL, KeywordStore, Owner
from heliograph_messaging.store.opt_outs import OptOutStore
from heliograph_messaging.store.originations import OriginationStore, PoolStore, StoredOrigination, StoredPool

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Pools:
    """Use cases over pools. Changes of a project's numbers and pools are made one after the other."""

    def __init__(
        self,
        database: Database,
        store: PoolStore,
        originations: OriginationStore,
        keywords: KeywordStore,
        opt_outs: OptOutStore,
        requests: RequestStore,
        rules: CountryRules,
        clock: Clock,
    ) -> None:
        """Take the stores, the country rules and the clock."""
        self._database = database
        self._store = store
        self._originations = originations
        self._keywords = keywords
        self._opt_outs = opt_outs
        self._requests = requests
        self._rules = rules
        self._clock = clock

    async def create(
        self, project: str, id: str, number: str, *, shared_routes: bool, request_id: str, fingerprint: str, by: str
    ) -> StoredPool:
        """Make a pool with its first number, whose setup and keywords it takes; the same for the same request.

        Raises:
            InvalidArgument: a bad id.
            OriginationNotFound, PoolExists, AlreadyInPool, TooManyPools: as things are.
            RequestIdReused: the request id belongs to another request.
        """
        found = Violations()
        if not _ID.fullmatch(id):
            found.add("pool_id", f"must match {_ID.pattern}", "INVALID_ARGUMENT")
        if len(request_id) > MAX_REQUEST_ID:
            found.add("request_id", f"must have at most {MAX_REQUEST_ID} characters", "INVALID_ARGUMENT")
        found.check()
        now, name = self._clock.now(), format_name(project, "pools", id)
        async with self._database.transaction() as conn:
            await locks.exclusive(conn, [locks.numbers_of(project)])
            present = await self._store.get(conn, project, id)
            if request_id:
                kept = await self._requests.keep(conn, project, "CreatePool", request_id, fingerprint, id.encode(), now)
                if kept is not None:
                    return _first(kept[0], fingerprint, request_id, present, name)
            if present is not None:
                raise PoolExists(name)
            if len(await self._store.of_project(conn, project)) >= MAX_POOLS:
                raise TooManyPools(f"projects/{project}", MAX_POOLS)
            first = await self._free(conn, project, number)
            pool = StoredPool(
                project, id, first.settings.setup, shared_routes, (), now, now, by, (number,),
            )  # fmt: skip
            await self._store.put(conn, pool)
            await self._join(conn, first, id, by=by)
            await self._keywords.copy(conn, project, Owner(NUMBER, number), Owner(POOL, id))
        return pool

    async def get(self, project: str, id: str) -> StoredPool:
        """Return a pool.

        Raises:
            PoolNotFound: there is none.
        """
        async with self._database.transaction() as conn:
            return await self._one(conn, project, id)

    async def list(self, project: str) -> Sequence[StoredPool]:
        """Return all pools of a project, by id."""
        async with self._database.transaction() as conn:
            return await self._store.of_project(conn, project)

    async def update(
        self, project: str, id: str, change: SetupChange, shared_routes: bool | None, *, by: str
    ) -> StoredPool:
        """Change a pool and with it its numbers.

        Raises:
            PoolNotFound, OptOutListNotFound: there is no such pool or list.
            TwoWayNotEnabled, TwoWayNotSupported: as its numbers are.
        """
        async with self._database.transaction() as conn:
            await locks.exclusive(conn, [locks.numbers_of(project)])
            present = await self._one(conn, project, id)
            setup = change.over(present.setup)
            if change.opt_out_list and not await self._opt_outs.has_list(conn, project, setup.opt_out_list):
                raise OptOutListNotFound(format_name(project, "optOutLists", setup.opt_out_list))
            numbers = await self._originations.some(conn, project, present.numbers)
            check_two_way(format_name(project, "pools", id), change, setup, [*numbers.values()], self._rules)
            pool = replace(
                present,
                setup=setup,
                shared_routes=present.shared_routes if shared_routes is None else shared_routes,
                update_time=self._clock.now(),
                updated_by=by,
            )
            await self._store.put(conn, pool)
        return pool

    async def delete(self, project: str, id: str) -> StoredPool:
        """Delete a pool and return it as it was; its numbers keep its setup and keywords.

        Raises:
            PoolNotFound: there is none.
        """
        async with self._database.transaction() as conn:
            await locks.exclusive(conn, [locks.numbers_of(project)])
            pool = await self._one(conn, project, id)
            for number in pool.numbers:
                await self._keywords.copy(conn, project, Owner(POOL, id), Owner(NUMBER, number))
            await self._keywords.clear(conn, project, Owner(POOL, id))
            await self._store.delete(conn, project, id)
        return pool

    async def add_member(self, project: str, id: str, *, number: str, sender_id: str, by: str) -> StoredPool:
        """Put a number or a sender id into a pool; safe to repeat.

        Raises:
            InvalidArgument: neither or both, or no sender id.
            PoolNotFound, OriginationNotFound, AlreadyInPool, PoolMismatch, PoolFull: as things are.
        """
        _check_member(number, sender_id)
        async with self._database.transaction() as conn:
            await locks.exclusive(conn, [locks.numbers_of(project)])
            pool = await self._one(conn, project, id)
            if number in pool.numbers or sender_id in pool.sender_ids:
                return pool
            if len(pool.numbers) + len(pool.sender_ids) >= MAX_MEMBERS:
                raise PoolFull(format_name(project, "pools", id), MAX_MEMBERS)
            changed = replace(pool, update_time=self._clock.now(), updated_by=by)
            if sender_id:
                changed = replace(changed, sender_ids=sorted([*pool.sender_ids, sender_id]))
            else:
                joining = await self._free(conn, project, number)
                await self._check_match(conn, joining, pool)
                await self._join(conn, joining, id, by=by)
                changed = replace(changed, numbers=sorted([*pool.numbers, number]))
            await self._store.put(conn, changed)
        return changed

    async def remove_member(self, project: str, id: str, *, number: str, sender_id: str, by: str) -> StoredPool:
        """Take a number or a sender id out of a pool; a number keeps the pool's setup and keywords.

        Raises:
            InvalidArgument: neither or both, or no sender id.
            PoolNotFound, NotInPool, LastPhoneNumber: as things are.
        """
        _check_member(number, sender_id)
        name = format_name(project, "pools", id)
        async with self._database.transaction() as conn:
            await locks.exclusive(conn, [locks.numbers_of(project)])
            pool = await self._one(conn, project, id)
            if (number or sender_id) not in (pool.numbers if number else pool.sender_ids):
                raise NotInPool(number or sender_id, name)
            changed = replace(pool, update_time=self._clock.now(), updated_by=by)
            if sender_id:
                changed = replace(changed, sender_ids=[one for one in pool.sender_ids if one != sender_id])
            else:
                if len(pool.numbers) == 1:
                    raise LastPhoneNumber(number, name)
                leaving = await self._originations.get(conn, project, number)
                assert leaving is not None
                await self._keywords.copy(conn, project, Owner(POOL, id), Owner(NUMBER, number))
                await self._join(conn, leaving, "", by=by)
                changed = replace(changed, numbers=[one for one in pool.numbers if one != number])
            await self._store.put(conn, changed)
        return changed

    async def _one(self, conn: AsyncConnection, project: str, id: str) -> StoredPool:
        pool = await self._store.get(conn, project, id)
        if pool is None:
            raise PoolNotFound(format_name(project, "pools", id))
        return pool

    async def _free(self, conn: AsyncConnection, project: str, number: str) -> StoredOrigination:
        """Return a number that is in no pool."""
        found = await self._originations.get(conn, project, number)
        if found is None or found.state == "RELEASED":
            raise OriginationNotFound(format_name(project, "originations", number))
        if found.settings.pool:
            raise AlreadyInPool(number, format_name(project, "pools", found.settings.pool))
        return found

    async def _join(self, conn: AsyncConnection, number: StoredOrigination, pool: str, *, by: str) -> None:
        settings = replace(number.settings, pool=pool, update_time=self._clock.now(), updated_by=by)
        await self._originations.put(conn, number.project, number.number, settings)

    async def _check_match(self, conn: AsyncConnection, number: StoredOrigination, pool: StoredPool) -> None:
        one, other = Owner(NUMBER, number.number), Owner(POOL, pool.id)
        keywords = await self._keywords.of_many(conn, pool.project, [one, other])
        differ = mismatches(number.settings.setup, pool.setup, keywords[one], keywords[other])
        if differ:
            raise PoolMismatch(number.number, format_name(pool.project, "pools", pool.id), differ)


def _first(fingerprint: str, asked: str, request_id: str, present: StoredPool | None, name: str) -> StoredPool:
    """Return the pool that the first request with this id made."""
    if fingerprint != asked:
        raise RequestIdReused(request_id)
    if present is None:
        raise PoolNotFound(name)
    return present


def _check_member(number: str, sender_id: str) -> None:
    found = Violations()
    if bool(number) == bool(sender_id):
        found.add("number", "exactly one of number and sender_id must be set", "INVALID_ARGUMENT")
    if sender_id and (problem := sender_id_problem(sender_id)):
        found.add("sender_id", problem, "INVALID_ARGUMENT")
    found.check()
