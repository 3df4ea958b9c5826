"""The lists that segments need and that are kept elsewhere: who was imported, who did something."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from pyroaring import BitMap

from heliograph_segments.domain.segments import (
    BehaviorDimension,
    ImportedList,
    Library,
    Listed,
    Rules,
    listed_conditions,
)

L = TypeVar("L", bound=Listed)
# From a project, the lists asked for and the instant at which windows end to the ordinals on each list.
Find = Callable[[str, Sequence[L], datetime], Awaitable[Mapping[Listed, BitMap]]]


@dataclass(frozen=True)
class Listings:
    """Finds lists, each kind where it is kept."""

    imported: Find[ImportedList] | None = None
    behaviors: Find[BehaviorDimension] | None = None

    async def resolve(self, project: str, rules: Rules, library: Library, now: datetime) -> Mapping[Listed, BitMap]:
        """Return every list that a segment and its sources need; nothing is asked for a segment without any."""
        needed = listed_conditions(rules, library)
        imported = [listed for listed in needed if isinstance(listed, ImportedList)]
        behaviors = [listed for listed in needed if isinstance(listed, BehaviorDimension)]
        found: dict[Listed, BitMap] = {}
        if imported and self.imported:
            found.update(await self.imported(project, imported, now))
        if behaviors and self.behaviors:
            found.update(await self.behaviors(project, behaviors, now))
        return found
