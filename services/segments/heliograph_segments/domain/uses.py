"""Who uses a segment: campaigns and journeys that name it, or name a segment that is built on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from heliograph_segments.domain.segments import Library, SegmentReference


class UseKind(StrEnum):
    """What can use a segment. Stored."""

    CAMPAIGN = "CAMPAIGN"
    JOURNEY = "JOURNEY"


# States in which a campaign or a journey will never look at a segment again (pinpoint-1 4.3 and 5.3).
OVER = {
    UseKind.CAMPAIGN: frozenset({"COMPLETED", "DELETED", "INVALID"}),
    UseKind.JOURNEY: frozenset({"COMPLETED", "CANCELLED", "DELETED"}),
}


@dataclass(frozen=True)
class Use:
    """What a campaign or journey announced last. Of two announcements the greater `revision` is the later."""

    project: str
    kind: UseKind
    user_id: str
    revision: int
    state: str
    segment_ids: tuple[str, ...]

    @property
    def is_open(self) -> bool:
        """Whether it still uses its segments."""
        return self.state not in OVER[self.kind] and bool(self.segment_ids)


def built_from(references: Iterable[SegmentReference], library: Library) -> frozenset[SegmentReference]:
    """Return the references that the library has, and all that those are built on.

    A version that is not the latest may be built on others than the latest is, so the ways are those of the versions.
    """
    found: set[SegmentReference] = set()
    waiting = list(references)
    while waiting:
        reference = waiting.pop()
        if reference not in found and reference in library:
            found.add(reference)
            waiting += library[reference].references()
    return frozenset(found)


def reached(segment_ids: Iterable[str], library: Library) -> frozenset[str]:
    """Return segments, in their latest versions, and every segment that they are built on; missing ones are left out."""
    return frozenset(each.segment_id for each in built_from(map(SegmentReference, segment_ids), library))
