"""Pages of members in columns: one statement and one row back for some pages, projection by the server.

The columns that every member has come as blocks of bytes, which are split in one go: as JSON they cost the reader three
times as much. Texts are put together as bytes with a NUL in between, the one character that no text of PostgreSQL holds.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.database import driver_connection
from heliograph_segments.domain.fields import Field, Source, spelled

# A member's numbers and flags in eight bytes: the ordinal (at most 32 bits), the cohort (0 to 99), two bits.
_COHORT_BITS, _FLAG_BITS = 8, 2
_NUMBERS = (
    f"int8send((e.ordinal << {_COHORT_BITS + _FLAG_BITS}) | (CAST(e.cohort AS bigint) << {_FLAG_BITS}) "
    "| CASE WHEN e.opted_out THEN 2 ELSE 0 END | CASE WHEN e.active THEN 0 ELSE 1 END)"
)
_TEXTS = ("e.endpoint_id", "e.user_id", "e.channel", "e.address", "coalesce(e.demographic ->> 'Timezone', '')")
_ISO = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"""
_OWN = {
    "Id": "e.endpoint_id",
    "Address": "nullif(e.address, '')",
    "ChannelType": "nullif(e.channel, '')",
    "OptOut": "CASE WHEN e.opted_out THEN 'ALL' ELSE 'NONE' END",
    "EndpointStatus": "CASE WHEN e.active THEN 'ACTIVE' ELSE 'INACTIVE' END",
    "EffectiveDate": _ISO.format("e.effective_at"),
    "CreationDate": _ISO.format("e.created_at"),
    "CohortId": "CAST(e.cohort AS text)",
    "RequestId": "nullif(e.request_id, '')",
    "User.UserId": "nullif(e.user_id, '')",
}
# OFFSET 0 keeps the planner from joining all users of a young table, of which it knows nothing yet, for 500 of them.
_USERS = (
    " LEFT JOIN LATERAL (SELECT attributes FROM segments.users WHERE project = e.project AND user_id = e.user_id "
    "OFFSET 0) u ON true"
)
_DOCUMENTS = {
    Source.ATTRIBUTE: "e.attributes",
    Source.USER_ATTRIBUTE: "u.attributes",
    Source.METRIC: "e.metrics",
    Source.DEMOGRAPHIC: "e.demographic",
    Source.LOCATION: "e.location",
}


@dataclass(frozen=True)
class Column:
    """One projected field of all members of a page; `counts` is empty when each member has exactly one value."""

    values: list[str]
    counts: list[int]


@dataclass(frozen=True)
class Members:
    """Members in columns, in the order asked. Each tuple is one column."""

    ordinals: Sequence[int] = ()
    endpoint_ids: Sequence[str] = ()
    user_ids: Sequence[str] = ()
    channels: Sequence[str] = ()
    addresses: Sequence[str] = ()
    opted_out: Sequence[bool] = ()
    inactive: Sequence[bool] = ()
    cohorts: Sequence[int] = ()
    time_zones: Sequence[str] = ()
    columns: Sequence[Column] = ()

    def __len__(self) -> int:
        """Return how many members there are."""
        return len(self.ordinals)


class Projection:
    """Reads members with certain fields."""

    def __init__(self, fields: Sequence[Field]) -> None:
        """Write the statements; the names of attributes are parameters of theirs."""
        self._fields = list(fields)
        self._names: dict[str, str] = {}
        expressions = [self._expression(field) for field in fields]
        joined = any(field.source is Source.USER_ATTRIBUTE for field in fields)
        columns = ", ".join(
            [
                f"string_agg({_NUMBERS}, ''::bytea ORDER BY {{order}})",
                # Sent as the driver decodes them, in UTF-8.
                *(f"string_agg(textsend({column}), '\\x00'::bytea ORDER BY {{order}})" for column in _TEXTS),
                # As text: the driver would parse the document with the slower parser of the standard library.
                *(f"CAST(json_agg({expression} ORDER BY {{order}}) AS text)" for expression in expressions),
            ]
        )
        select = (
            f"SELECT {columns} FROM segments.endpoints e{_USERS if joined else ''} "  # noqa: S608
            "WHERE e.project = %(project)s AND e.{column} = ANY (CAST(%(wanted)s AS {kind}[]))"
        )
        self._by_ordinal = select.format(kind="bigint", column="ordinal", order="e.ordinal")
        order = "array_position(CAST(%(wanted)s AS text[]), e.endpoint_key)"
        self._by_key = select.format(kind="text", column="endpoint_key", order=order)
        order = "array_position(CAST(%(wanted)s AS text[]), e.user_id), e.ordinal"
        # Endpoints without a user have an empty one.
        self._by_user = select.format(kind="text", column="user_id", order=order) + " AND e.user_id <> ''"

    def _expression(self, field: Field) -> str:
        if field.source is Source.OWN:
            return _OWN[field.name]
        name = f"f{len(self._names)}"
        self._names[name] = field.name
        return f"{_DOCUMENTS[field.source]} -> CAST(%({name})s AS text)"

    async def by_ordinal(
        self, conn: AsyncConnection, project: str, ordinals: Sequence[int], size: int
    ) -> Iterator[Members]:
        """Return the members of ascending ordinals that still exist, in pages of `size` ordinals each.

        All of them are read; a page is put together when its turn comes, so that the event loop is not held for long.
        """
        # Written as one text: the driver looks at each number of a list, which takes as long as all of the reading.
        columns = await self._read(conn, self._by_ordinal, project, f"{{{str(list(ordinals))[1:-1]}}}")
        return _paged(columns, ordinals, size)

    async def by_key(self, conn: AsyncConnection, project: str, keys: Sequence[str]) -> Members:
        """Return the endpoints of those keys that exist, in the order given."""
        return _members(await self._read(conn, self._by_key, project, list(keys)))

    async def by_user(self, conn: AsyncConnection, project: str, user_ids: Sequence[str]) -> Members:
        """Return the endpoints of those users, user by user in the order given, each one's oldest first."""
        return _members(await self._read(conn, self._by_user, project, list(user_ids)))

    async def _read(
        self, conn: AsyncConnection, statement: str, project: str, wanted: str | list[str]
    ) -> list[list[Any]]:
        """Return the columns of `Members`, the projected ones as cells."""
        driver = await driver_connection(conn)
        async with driver.cursor(binary=True) as cursor:
            await cursor.execute(statement, {"project": project, "wanted": wanted, **self._names})
            row: Any = await cursor.fetchone()
        numbers, *others = row
        if numbers is None:  # an aggregate over nobody
            return [[] for _ in range(4 + len(others))]
        texts, documents = others[: len(_TEXTS)], others[len(_TEXTS) :]
        ids, users, channels, addresses, zones = (block.decode().split("\x00") for block in texts)
        ordinals, opted_out, inactive, cohorts = _unpacked(numbers)
        return [
            ordinals, ids, users, channels, addresses, opted_out, inactive, cohorts, zones,
            *map(orjson.loads, documents),
        ]  # fmt: skip


def _paged(columns: list[list[Any]], ordinals: Sequence[int], size: int) -> Iterator[Members]:
    for start in range(0, len(ordinals), size):
        page = ordinals[start : start + size]
        first, last = bisect_left(columns[0], page[0]), bisect_right(columns[0], page[-1])
        yield _members([cells[first:last] for cells in columns])


def _unpacked(block: bytes) -> tuple[list[int], list[bool], list[bool], list[int]]:
    """Return the ordinals, who opted out, who is inactive, and the cohorts."""
    numbers = np.frombuffer(block, ">i8").astype(np.int64)
    cohorts = (numbers >> _FLAG_BITS) & ((1 << _COHORT_BITS) - 1)
    ordinals = numbers >> (_COHORT_BITS + _FLAG_BITS)
    return ordinals.tolist(), (numbers & 2 > 0).tolist(), (numbers & 1 > 0).tolist(), cohorts.tolist()


def _members(columns: list[list[Any]]) -> Members:
    ordinals, ids, users, channels, addresses, opted_out, inactive, cohorts, zones, *projected = columns
    made = [_column(cells) for cells in projected]
    return Members(ordinals, ids, users, channels, addresses, opted_out, inactive, cohorts, zones, made)


def _column(cells: list[Any]) -> Column:
    values: list[str] = []
    counts: list[int] = []
    for cell in cells:
        if type(cell) is list:
            values += cell
            counts.append(len(cell))
        elif cell is None:
            counts.append(0)
        else:
            values.append(cell if type(cell) is str else spelled(float(cell)))
            counts.append(1)
    return Column(values, [] if len(values) == len(cells) and all(count == 1 for count in counts) else counts)
