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


def reached(segment_id: str, library: Library) -> frozenset[str]:
    """Return a segment, in its latest version, and every segment that it is built on; missing ones are passed over.

    A version that is not the latest may be built on others than the latest is, so the ways are those of the versions.
    """
    found: set[SegmentReference] = set()
    waiting = [SegmentReference(segment_id)]
    while waiting:
        reference = waiting.pop()
        if reference not in found and reference in library:
            found.add(reference)
            waiting += library[reference].references()
    return frozenset(reference.segment_id for reference in found)


def in_use(named: Iterable[str], library: Library) -> frozenset[str]:
    """Return the segments that are in use when these are named."""
    return frozenset().union(*(reached(segment_id, library) for segment_id in named))
