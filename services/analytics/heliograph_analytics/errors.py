"""What can go wrong in the analytics service; reasons 700 to 799 of `heliograph.common.v1.ErrorReason`."""

from __future__ import annotations

from heliograph_kit.errors import InvalidArgument, NotFound, Violation


class KpiNotFound(NotFound):
    """There is no key figure of that name for this kind of parent, or it has no such grouping."""

    reason = "KPI_NOT_FOUND"

    def __init__(self, name: str, scope: str) -> None:
        """Take the name asked for and what it was asked of."""
        super().__init__(
            f"there is no such key figure of a {scope}; ListKpis names all of them",
            resource_type="kpi",
            resource=name[:200],
            scope=scope,
        )


class TooManyEvents(InvalidArgument):
    """More events than one request or batch may hold; none was taken."""

    reason = "TOO_MANY_EVENTS"

    def __init__(self, count: int, most: int) -> None:
        """Take how many there were and how many there may be."""
        super().__init__([Violation("events", f"send at most {most} events at once, not {count}", "TOO_MANY_EVENTS")])
