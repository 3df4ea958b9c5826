"""Pages of members in columns: one statement for some pages, one JSON document back, projection by the server."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_segments.domain.fields import Field, Source, spelled

_FIXED = (
    "e.ordinal",
    "e.endpoint_id",
    "e.user_id",
    "e.channel",
    "e.address",
    "e.opted_out",
    "NOT e.active",
    "e.cohort",
    "coalesce(e.demographic ->> 'Timezone', '')",
)
_ISO = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24\\:MI\\:SS.MS"Z"')"""
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
        columns = ", ".join(f"json_agg({expression} ORDER BY {{order}})" for expression in (*_FIXED, *expressions))
        # As text: the driver would parse the document with the slower parser of the standard library.
        select = (
            f"SELECT CAST(json_build_array({columns}) AS text) FROM segments.endpoints e{_USERS if joined else ''} "  # noqa: S608
            "WHERE e.project = :project AND e.{column} = ANY (CAST(:wanted AS {kind}[]))"
        )
        self._by_ordinal = text(select.format(kind="bigint", column="ordinal", order="e.ordinal"))
        order = "array_position(CAST(:wanted AS text[]), e.endpoint_key)"
        self._by_key = text(select.format(kind="text", column="endpoint_key", order=order))

    def _expression(self, field: Field) -> str:
        if field.source is Source.OWN:
            return _OWN[field.name]
        name = f"f{len(self._names)}"
        self._names[name] = field.name
        return f"{_DOCUMENTS[field.source]} -> CAST(:{name} AS text)"

    async def by_ordinal(
        self, conn: AsyncConnection, project: str, ordinals: Sequence[int], size: int
    ) -> list[Members]:
        """Return the members of ascending ordinals that still exist, in pages of `size` ordinals each."""
        document = await self._read(conn, self._by_ordinal, project, ordinals)
        pages: list[Members] = []
        for start in range(0, len(ordinals), size):
            page = ordinals[start : start + size]
            first, last = bisect_left(document[0], page[0]), bisect_right(document[0], page[-1])
            pages.append(_members([cells[first:last] for cells in document]))
        return pages

    async def by_key(self, conn: AsyncConnection, project: str, keys: Sequence[str]) -> Members:
        """Return the endpoints of those keys that exist, in the order given."""
        return _members(await self._read(conn, self._by_key, project, keys))

    async def _read(
        self, conn: AsyncConnection, statement: TextClause, project: str, wanted: Sequence[Any]
    ) -> list[list[Any]]:
        parameters = {"project": project, "wanted": list(wanted), **self._names}
        document: list[list[Any] | None] = orjson.loads((await conn.execute(statement, parameters)).scalar_one())
        return [cells or [] for cells in document]  # an aggregate over nobody is null


def _members(document: list[list[Any]]) -> Members:
    ordinals, ids, users, channels, addresses, opted_out, inactive, cohorts, zones, *projected = document
    columns = [_column(cells) for cells in projected]
    return Members(ordinals, ids, users, channels, addresses, opted_out, inactive, cohorts, zones, columns)


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
