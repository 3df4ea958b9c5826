"""The suppression list, by a keyed hash of the address in the form in which equal ones are equal.

Entries of before there was a key are under a plain hash, which anybody can compute who guesses an address. Both are looked
for; `rekey` brings those of before under the key.
"""

from __future__ import annotations

import hmac
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
        create_time, keyed)
    SELECT :project, :channel, hash, address, cause, nullif(message_id, '')::uuid, detail, :by, :now, true
    FROM unnest(CAST(:hashes AS uuid[]), CAST(:plain AS uuid[]), CAST(:addresses AS text[]), CAST(:causes AS text[]),
        CAST(:ids AS text[]), CAST(:details AS text[])) AS x (hash, plain, address, cause, message_id, detail)
    WHERE NOT EXISTS (SELECT FROM messaging.suppressions s WHERE s.project = :project AND s.channel = :channel
        AND s.address_hash = x.plain)
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
_UNKEYED = text(
    """SELECT project, channel, address_hash, address FROM messaging.suppressions WHERE NOT keyed AND address <> ''
    ORDER BY create_time LIMIT :size FOR UPDATE SKIP LOCKED"""
)
# Who was put on the list twice, before and after, is on it once.
_REKEY = text(
    """WITH gone AS (DELETE FROM messaging.suppressions s
        USING unnest(CAST(:projects AS text[]), CAST(:channels AS text[]), CAST(:old AS uuid[]), CAST(:new AS uuid[]))
            AS x (project, channel, old, new)
        WHERE s.project = x.project AND s.channel = x.channel AND s.address_hash = x.old
        RETURNING s.*, x.new)
    INSERT INTO messaging.suppressions (project, channel, address_hash, address, cause, message_id, detail, added_by,
        create_time, keyed)
    SELECT project, channel, new, address, cause, message_id, detail, added_by, create_time, true FROM gone
    ON CONFLICT DO NOTHING"""
)
_FORGET = text(
    """UPDATE messaging.suppressions SET address = '', detail = '' WHERE project = :project AND channel = :channel
        AND address_hash = ANY(CAST(:hashes AS uuid[]))"""
)
_KEY = text("SELECT key FROM messaging.suppression_keys WHERE id = 1")
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


def plain_hashes(project: str, channel: str, addresses: Sequence[str]) -> list[str]:
    """Return the hashes of before there was a key: 128 bits for each address, the same for equal ones, as hexadecimal digits."""
    return derived_ids(("suppression", project, channel), [same_address(channel, address) for address in addresses])


def keyed_hashes(key: bytes, project: str, channel: str, addresses: Sequence[str]) -> list[str]:
    """Return 128 bits of an HMAC for each address, the same for equal ones, as hexadecimal digits."""
    scope = f"suppression\0{project}\0{channel}\0"
    return [
        hmac.digest(key, f"{scope}{same_address(channel, address)}".encode(), "sha256")[:16].hex()
        for address in addresses
    ]


class SuppressionStore:
    """Reads and writes the suppression list."""

    def __init__(self) -> None:
        """Know no key yet: it is read with the first question."""
        self._key = b""

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
        addresses = [one.address for one in suppressions]
        keyed = keyed_hashes(await self._read_key(conn), project, channel, addresses)
        done = await conn.execute(
            _ADD,
            {
                "project": project,
                "channel": channel,
                "by": by,
                "now": now,
                "hashes": plain_array(keyed),
                "plain": plain_array(plain_hashes(project, channel, addresses)),
                "addresses": text_array(addresses),
                "causes": text_array([one.cause for one in suppressions]),
                "ids": text_array([one.message_id for one in suppressions]),
                "details": text_array([one.detail for one in suppressions]),
            },
        )
        return done.rowcount

    async def remove(self, conn: AsyncConnection, project: str, channel: str, addresses: Sequence[str]) -> int:
        """Remove addresses and return how many were on the list."""
        _, parameters = await self._asked(conn, project, channel, addresses)
        return (await conn.execute(_REMOVE, parameters)).rowcount

    async def among(
        self, conn: AsyncConnection, project: str, channel: str, addresses: Sequence[str]
    ) -> Mapping[int, str]:
        """Return the causes of those that are on the list, by place in `addresses`."""
        pairs, parameters = await self._asked(conn, project, channel, addresses)
        found = {row.address_hash.hex: row.cause for row in await conn.execute(_AMONG, parameters)}
        if not found:
            return {}
        return {place: found[hash] for place, pair in enumerate(pairs) for hash in pair if hash in found}

    async def find(
        self, conn: AsyncConnection, project: str, channel: str, addresses: Sequence[str]
    ) -> list[Suppression]:
        """Return the entries of those that are on the list, in the order given, each once."""
        pairs, parameters = await self._asked(conn, project, channel, addresses)
        found = {row.address_hash.hex: _suppression(row) for row in await conn.execute(_FIND, parameters)}
        told = (next((hash for hash in pair if hash in found), None) for pair in dict.fromkeys(pairs))
        return [found[hash] for hash in told if hash is not None]

    async def page(
        self, conn: AsyncConnection, project: str, channel: str, *, after: str | None, size: int
    ) -> list[tuple[str, Suppression]]:
        """Return up to `size` entries with hashes above `after`, by hash."""
        parameters = {"project": project, "channel": channel, "after": after or _FIRST, "size": size}
        return [(row.address_hash.hex, _suppression(row)) for row in await conn.execute(_PAGE, parameters)]

    async def rekey(self, conn: AsyncConnection, size: int) -> int:
        """Bring up to `size` entries of before under the key and return how many; nobody of before may look for them any more."""
        rows = (await conn.execute(_UNKEYED, {"size": size})).all()
        if rows:
            key = await self._read_key(conn)
            parameters = {
                "projects": text_array([row.project for row in rows]),
                "channels": text_array([row.channel for row in rows]),
                "old": plain_array([row.address_hash.hex for row in rows]),
                "new": plain_array([keyed_hashes(key, row.project, row.channel, [row.address])[0] for row in rows]),
            }
            await conn.execute(_REKEY, parameters)
        return len(rows)

    async def forget_addresses(
        self, conn: AsyncConnection, project: str, channel: str, addresses: Sequence[str]
    ) -> None:
        """Empty the entries of addresses: they go on holding, and do not say for whom."""
        _, parameters = await self._asked(conn, project, channel, addresses)
        await conn.execute(_FORGET, parameters)

    async def _asked(
        self, conn: AsyncConnection, project: str, channel: str, addresses: Sequence[str]
    ) -> tuple[list[tuple[str, str]], dict[str, str]]:
        """Return the hashes of each address, keyed and plain, and what all of them are looked for with."""
        keyed = keyed_hashes(await self._read_key(conn), project, channel, addresses)
        plain = plain_hashes(project, channel, addresses)
        parameters = {"project": project, "channel": channel, "hashes": plain_array([*keyed, *plain])}
        return list(zip(keyed, plain, strict=True)), parameters

    async def _read_key(self, conn: AsyncConnection) -> bytes:
        if not self._key:
            self._key = bytes((await conn.execute(_KEY)).scalar_one())
        return self._key


def _suppression(row: Row[Any]) -> Suppression:
    message_id = row.message_id.hex if row.message_id else ""
    return Suppression(row.address, row.cause, message_id, row.detail, row.added_by, row.create_time)
