"""The suppression list, by a hash of the address in the form in which equal ones are equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.ids import derived_ids
from heliograph_messaging.domain.recipients import same_address
from heliograph_messaging.store.arrays import plain_array, text_array

_ADD = text(
    """INSERT INTO messaging.suppressions (project, channel, address_hash, address, cause, message_id, detail, added_by,
        create_time)
    SELECT :project, :channel, hash, address, cause, nullif(message_id, '')::uuid, detail, :by, :now
    FROM unnest(CAST(:hashes AS uuid[]), CAST(:addresses AS text[]), CAST(:causes AS text[]), CAST(:ids AS text[]),
        CAST(:details AS text[])) AS x (hash, address, cause, message_id, detail)
    ORDER BY hash ON CONFLICT DO NOTHING"""
)
_REMOVE = text(
    """DELETE FROM messaging.suppressions
    WHERE project = :project AND channel = :channel AND address_hash = ANY(CAST(:hashes AS uuid[]))"""
)
_AMONG = text(
    """SELECT address_hash, cause FROM messaging.suppressions
    WHERE project = :project AND channel = :channel AND address_hash = ANY(CAST(:hashes AS uuid[]))"""
)
_FIND = text(
    """SELECT * FROM messaging.suppressions
    WHERE project = :project AND channel = :channel AND address_hash = ANY(CAST(:hashes AS uuid[]))"""
)
_PAGE = text(
    """SELECT * FROM messaging.suppressions
    WHERE project = :project AND channel = :channel AND address_hash > CAST(:after AS uuid)
    ORDER BY address_hash LIMIT :size"""
)
_FIRST = "0" * 32


@dataclass(frozen=True)
class Suppression:
    """One address that nothing is sent to. `message_id` is empty when no message made it one."""

    address: str
    cause: str
    message_id: str
    detail: str
    added_by: str
    create_time: datetime


@dataclass(frozen=True)
class NewSuppression:
    """An address to suppress: cause BOUNCE, COMPLAINT or MANUAL, and the message that came back."""

    address: str
    cause: str
    message_id: str = ""
    detail: str = ""


def hashes_of(project: str, channel: str, addresses: Sequence[str]) -> list[str]:
    """Return 128 bits for each address, the same for equal ones, as hexadecimal digits."""
    return derived_ids(("suppression", project, channel), [same_address(channel, address) for address in addresses])


class SuppressionStore:
    """Reads and writes the suppression list."""

    async def add(
        self,
        conn: AsyncConnection,
        project: str,
        channel: str,
        suppressions: Sequence[NewSuppression],
        *,
        by: str,
        now: datetime,
    ) -> int:
        """Add addresses; those that are on the list stay as they are. Return how many are new."""
        done = await conn.execute(
            _ADD,
            {
                "project": project,
                "channel": channel,
                "by": by,
                "now": now,
                "hashes": plain_array(hashes_of(project, channel, [one.address for one in suppressions])),
                "addresses": text_array([one.address for one in suppressions]),
                "causes": text_array([one.cause for one in suppressions]),
                "ids": text_array([one.message_id for one in suppressions]),
                "details": text_array([one.detail for one in suppressions]),
            },
        )
        return done.rowcount

    async def remove(self, conn: AsyncConnection, project: str, channel: str, addresses: Sequence[str]) -> int:
        """Remove addresses and return how many were on the list."""
        return (await conn.execute(_REMOVE, _parameters(project, channel, addresses))).rowcount

    async def among(
        self, conn: AsyncConnection, project: str, channel: str, addresses: Sequence[str]
    ) -> Mapping[int, str]:
        """Return the causes of those that are on the list, by place in `addresses`."""
        parameters = _parameters(project, channel, addresses)
        found = {row.address_hash.hex: row.cause for row in await conn.execute(_AMONG, parameters)}
        if not found:
            return {}
        hashes = hashes_of(project, channel, addresses)
        return {place: found[hash] for place, hash in enumerate(hashes) if hash in found}

    async def find(
        self, conn: AsyncConnection, project: str, channel: str, addresses: Sequence[str]
    ) -> list[Suppression]:
        """Return the entries of those that are on the list, in the order given, each once."""
        rows = await conn.execute(_FIND, _parameters(project, channel, addresses))
        found = {row.address_hash.hex: _suppression(row) for row in rows}
        return [found[hash] for hash in dict.fromkeys(hashes_of(project, channel, addresses)) if hash in found]

    async def page(
        self, conn: AsyncConnection, project: str, channel: str, *, after: str | None, size: int
    ) -> list[tuple[str, Suppression]]:
        """Return up to `size` entries with hashes above `after`, by hash."""
        parameters = {"project": project, "channel": channel, "after": after or _FIRST, "size": size}
        return [(row.address_hash.hex, _suppression(row)) for row in await conn.execute(_PAGE, parameters)]


def _parameters(project: str, channel: str, addresses: Sequence[str]) -> dict[str, str]:
    hashes = plain_array(hashes_of(project, channel, addresses))
    return {"project": project, "channel": channel, "hashes": hashes}


def _suppression(row: Row[Any]) -> Suppression:
    message_id = row.message_id.hex if row.message_id else ""
    return Suppression(row.address, row.cause, message_id, row.detail, row.added_by, row.create_time)
