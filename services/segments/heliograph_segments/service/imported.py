"""The lists that decide imported segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from pyroaring import BitMap

from heliograph_kit.database import Database
from heliograph_segments.domain.segments import ImportedList, Listed
from heliograph_segments.store import imported as store


class ImportedLists:
    """Finds who was imported."""

    def __init__(self, database: Database) -> None:
        """Take the record."""
        self._database = database

    async def find(self, project: str, lists: Sequence[ImportedList], now: datetime) -> Mapping[Listed, BitMap]:
        """Return the ordinals on each list; those of listed users as they are at the moment."""
        async with self._database.transaction() as conn:
            return {listed: await store.members(conn, project, listed.list_id) for listed in lists}
