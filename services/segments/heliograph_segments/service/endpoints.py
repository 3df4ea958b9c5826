"""Writing, reading and deleting endpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import Aborted
from heliograph_segments.domain.endpoints import (
    MAX_BATCH,
    Endpoint,
    EndpointUpdate,
    check_update,
    endpoint_key,
    fold,
    fold_users,
)
from heliograph_segments.domain.problems import Problem, under
from heliograph_segments.errors import EndpointNotFound, refuse
from heliograph_segments.store import audience_log
from heliograph_segments.store import endpoints as store
from heliograph_segments.store.endpoints import Race, Written

_RACES = 5


class Endpoints:
    """Use cases over endpoints."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """Take the record and the time."""
        self._database = database
        self._clock = clock

    async def update(self, project: str, updates: Sequence[EndpointUpdate], found: Sequence[Problem] = ()) -> Written:
        """Create or update endpoints, all or none. `found` are problems that reading the request met already.

        Raises:
            InvalidArgument: with everything that is wrong with any of them.
        """
        if not 1 <= len(updates) <= MAX_BATCH:
            refuse([Problem("endpoints", "OUT_OF_RANGE", f"must hold 1 to {MAX_BATCH} endpoints")])
        problems = list(found)
        for index, update in enumerate(updates):
            if unusable := check_update(update):
                problems += under(f"endpoints[{index}]", unusable)
        refuse(problems)
        keys = sorted({endpoint_key(update.endpoint_id) for update in updates})

        async def work(conn: AsyncConnection) -> Written:
            existing = await store.lock_existing(conn, project, keys)
            named = _with_users(updates, existing)
            written = await store.write(conn, project, fold(named), existing, self._clock.now(), bulk=False)
            of_users = await store.write_users(conn, project, fold_users(named))
            await audience_log.note(conn, project, [*written.ordinals, *of_users])
            return written

        for _ in range(_RACES):
            try:
                return await self._database.run(work)
            except Race:
                continue
        raise Aborted("the same endpoints are being created elsewhere; repeat the request")

    async def get(self, project: str, endpoint_id: str) -> Endpoint:
        """Return an endpoint with the attributes of its user.

        Raises:
            EndpointNotFound: there is none.
        """
        async with self._database.transaction() as conn:
            return await _found(conn, project, endpoint_id)

    async def delete(self, project: str, endpoint_id: str) -> Endpoint:
        """Delete an endpoint and return it as it was.

        Raises:
            EndpointNotFound: there is none.
        """

        async def work(conn: AsyncConnection) -> Endpoint:
            await store.lock_existing(conn, project, [endpoint_key(endpoint_id)])
            endpoint = await _found(conn, project, endpoint_id)
            await store.delete(conn, project, endpoint_key(endpoint_id))
            await audience_log.note(conn, project, [endpoint.ordinal])
            return endpoint

        return await self._database.run(work)


async def _found(conn: AsyncConnection, project: str, endpoint_id: str) -> Endpoint:
    endpoints = await store.read_by_key(conn, project, [endpoint_key(endpoint_id)])
    if not endpoints:
        raise EndpointNotFound(project, endpoint_id)
    return endpoints[0]


def _with_users(updates: Sequence[EndpointUpdate], existing: Mapping[str, str]) -> list[EndpointUpdate]:
    """Say of updates that change user attributes and name no user whose attributes those are."""
    owners = dict(existing)
    named: list[EndpointUpdate] = []
    problems: list[Problem] = []
    for index, update in enumerate(updates):
        key = endpoint_key(update.endpoint_id)
        if update.user_id is not None:
            owners[key] = update.user_id
        owner = owners.get(key)
        if update.user_attributes and not owner:
            words = "is required with user attributes: the endpoint has no user"
            problems.append(Problem(f"endpoints[{index}].user.user_id", "REQUIRED", words))
        named.append(update._replace(user_id=owner) if update.user_attributes else update)
    refuse(problems)
    return named
