"""Erases users: nothing that waits is sent to them, and nothing that was is theirs any more."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_messaging.pipeline.plan import message_id
from heliograph_messaging.providers import KINDS
from heliograph_messaging.store import erased, erasing, touches
from heliograph_messaging.store.messages import MessageStore
from heliograph_messaging.store.suppressions import SuppressionStore


async def messages_to(conn: AsyncConnection, store: MessageStore, project: str, endpoint_id: str) -> list[str]:
    """Return the ids of what campaigns and journeys ever sent to an endpoint.

    No index is needed: the id of a message follows from its run and its endpoint, so it is looked for in each run of the
    project.
    """
    found: list[str] = []
    runs, occurrence = await store.runs(conn, project), 0
    while runs:
        ids = {message_id(run, activity, endpoint_id, occurrence): (run, activity) for run, activity in runs}
        there = await store.there(conn, project, list(ids))
        found += there
        # Whoever was written to once by an activity may have been written to again.
        runs, occurrence = [ids[id] for id in there], occurrence + 1
    return found


class Eraser:
    """Finds everything of a user, by his endpoints and the addresses that were written to, and empties it."""

    def __init__(self, messages: MessageStore, suppressions: SuppressionStore) -> None:
        """Take the ledger and the suppression list."""
        self._messages = messages
        self._suppressions = suppressions

    async def erase(
        self, conn: AsyncConnection, project: str, erasure: str, endpoint_ids: Sequence[str], ordinals: Sequence[int]
    ) -> None:
        """Erase a user in the open transaction. Safe to repeat.

        His addresses are known from what was sent to him: who asks does not tell them, so that the bus does not carry them.
        An endpoint's id may be its address.
        """
        await erased.add(conn, project, ordinals)
        await touches.erase(conn, project, ordinals)
        addresses = await self._empty(conn, project, endpoint_ids, endpoint_ids)
        await erasing.remember(conn, project, erasure, endpoint_ids, addresses)

    async def erase_again(self, conn: AsyncConnection) -> bool:
        """Look once more after an erasure of a while ago; False when none is due."""
        due = await erasing.due(conn)
        if due is not None:
            await self._empty(conn, *due)
        return due is not None

    async def _empty(
        self, conn: AsyncConnection, project: str, endpoint_ids: Sequence[str], known: Collection[str]
    ) -> set[str]:
        ids = await erasing.direct_to(conn, project, endpoint_ids, bare=False)
        for endpoint_id in endpoint_ids:
            ids.update(await messages_to(conn, self._messages, project, endpoint_id))
        addresses = {*known, *await erasing.addresses_of(conn, project, ids)}
        # Those that were sent to his address alone.
        ids.update(await erasing.direct_to(conn, project, addresses, bare=True))
        await erasing.empty_messages(conn, project, ids)
        await erasing.delete_of(conn, project, endpoint_ids, addresses)
        for kind in KINDS:
            await self._suppressions.forget_addresses(conn, project, kind, sorted(addresses))
        return addresses
