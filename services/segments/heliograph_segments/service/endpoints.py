"""Writing, reading and deleting endpoints and users."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.database import Database
from heliograph_segments.domain.endpoints import (
    MAX_BATCH,
    Endpoint,
    EndpointUpdate,
    check_update,
    endpoint_key,
)
from heliograph_segments.domain.problems import Problem, under
from heliograph_segments.errors import EndpointNotFound, UserNotFound, refuse
from heliograph_segments.service.writing import BULK, EndpointWriter, Refused
from heliograph_segments.store import audience_log, races, users
from heliograph_segments.store import endpoint_reading as reading
from heliograph_segments.store import endpoints as store
from heliograph_segments.store.endpoints import Written

MAX_STREAM_BATCH = 1000


class Endpoints:
    """Use cases over endpoints."""

    def __init__(self, database: Database, writer: EndpointWriter) -> None:
        """Take the record, and what writes to it."""
        self._database = database
        self._writer = writer

    async def update(
        self,
        project: str,
        updates: Sequence[EndpointUpdate],
        found: Sequence[Problem] = (),
        *,
        most: int = MAX_BATCH,
    ) -> Written:
        """Create or update 1 to `most` endpoints, all or none. `found` are problems that reading the request met already.

        Raises:
            InvalidArgument: with everything that is wrong with any of them.
        """
        if not 1 <= len(updates) <= most:
            refuse([Problem("endpoints", "OUT_OF_RANGE", f"must hold 1 to {most} endpoints")])
        problems = list(found)
        for index, update in enumerate(updates):
            if unusable := check_update(update):
                problems += under(f"endpoints[{index}]", unusable)
        refuse(problems)

        async def work(conn: AsyncConnection) -> Written:
            return await self._writer.write(conn, project, updates, bulk=len(updates) > BULK)

        try:
            return await races.run(self._database, project, work)
        except Refused as refused:
            for index, broken in sorted(refused.problems.items()):
                problems += under(f"endpoints[{index}]", broken)
            refuse(problems)
            raise  # never: whoever is refused has a problem

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
            key = endpoint_key(endpoint_id)
            await store.lock(conn, project, {key: EndpointUpdate(endpoint_id, active=False)})
            endpoint = await _found(conn, project, endpoint_id)
            await store.delete(conn, project, [key])
            await audience_log.note(conn, project, [endpoint.ordinal])
            return endpoint

        return await self._database.run(work)

    async def of_user(self, project: str, user_id: str) -> Sequence[Endpoint]:
        """Return the endpoints of a user, oldest first.

        Raises:
            UserNotFound: there are none.
        """
        async with self._database.transaction() as conn:
            endpoints = await reading.read_by_user(conn, project, user_id)
        if not endpoints:
            raise UserNotFound(project, user_id)
        return endpoints

    async def delete_user(self, project: str, user_id: str) -> Sequence[Endpoint]:
        """Delete a user with all endpoints and return these as they were, oldest first.

        Raises:
            UserNotFound: there are none.
        """

        async def work(conn: AsyncConnection) -> Sequence[Endpoint]:
            theirs = await users.lock(conn, project, user_id)
            endpoints = await reading.read_by_user(conn, project, user_id)
            if not endpoints:
                raise UserNotFound(project, user_id)
            await store.delete(conn, project, [each.key for each in theirs])
            await users.delete(conn, project, user_id)
            await audience_log.note(conn, project, [each.ordinal for each in theirs])
            return endpoints

        return await races.run(self._database, project, work)


async def _found(conn: AsyncConnection, project: str, endpoint_id: str) -> Endpoint:
    endpoints = await reading.read_by_key(conn, project, [endpoint_key(endpoint_id)])
    if not endpoints:
        raise EndpointNotFound(project, endpoint_id)
    return endpoints[0]
