"""Who did something, asked of the store: `behavior.actors` as a query."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from heliograph_analytics.behavior import Behavior, MetricOperator, wrongs_of
from heliograph_analytics.store import EventStore
from heliograph_kit.clock import Clock
from heliograph_kit.errors import Violations

PAGE = 10_000

_COMPARISONS: dict[MetricOperator, str] = {
    "GREATER_THAN": ">",
    "LESS_THAN": "<",
    "GREATER_THAN_OR_EQUAL": ">=",
    "LESS_THAN_OR_EQUAL": "<=",
    "EQUAL": "=",
}


@dataclass(frozen=True)
class Page:
    """Some endpoint ids; the first page tells up to which acceptance the answer is complete, None when unknown."""

    endpoints: Sequence[str]
    complete: datetime | None = None


class Actors:
    """Answers for behaviour conditions."""

    def __init__(self, store: EventStore, clock: Clock, backlog: Callable[[], Awaitable[int]]) -> None:
        """Take the store, the clock, and what counts the bus messages that wait."""
        self._store = store
        self._clock = clock
        self._backlog = backlog

    async def pages(self, project: str, behavior: Behavior, now: datetime | None) -> AsyncIterator[Page]:
        """Yield the endpoints that did it, each once, in lower case; `now` is the end of a window.

        The first page is yielded in any case, also when nobody did it.

        Raises:
            InvalidArgument: with everything that is wrong.
        """
        violations = Violations()
        for wrong in wrongs_of(behavior):
            violations.add(f"behavior.{wrong.field}", wrong.description, wrong.reason)
        violations.check()
        asked = self._clock.now()
        # Counted before the store is asked: what was accepted earlier and does not wait any more is in its answer.
        complete = asked if await self._backlog() == 0 else None
        query, parameters = query_of(project, behavior, now or asked)
        first = True
        async with aclosing(self._store.stream(query, parameters, PAGE)) as portions:
            async for portion in portions:
                yield Page([row[0] for row in portion], complete if first else None)
                first = False
        if first:
            yield Page([], complete)


def query_of(project: str, behavior: Behavior, now: datetime) -> tuple[str, dict[str, Any]]:
    """Return the query for the endpoints that did it, and its parameters."""
    where = ["project = $project", "type = $type", "endpoint <> ''"]
    parameters: dict[str, Any] = {"project": project, "type": behavior.event_type, "least": behavior.min_count}
    for name, bound, comparison in (("first", behavior.first(now), ">="), ("last", behavior.last(now), "<=")):
        if bound is not None:
            where.append(f"time {comparison} ${name}")
            parameters[name] = bound.astimezone(UTC).replace(tzinfo=None)
    for number, (name, condition) in enumerate(behavior.attributes.items()):
        parameters |= {f"a{number}": name, f"v{number}": list(condition.values)}
        held, values = f"attributes[$a{number}]", f"$v{number}::VARCHAR[]"
        match condition.operator:
            case "INCLUSIVE":
                where.append(f"coalesce(list_contains({values}, {held}), false)")
            case "EXCLUSIVE":
                where.append(f"NOT coalesce(list_contains({values}, {held}), false)")
            case _:
                parts = [f"contains({held}, $v{number}_{place})" for place in range(len(condition.values))]
                del parameters[f"v{number}"]
                parameters |= {f"v{number}_{place}": value for place, value in enumerate(condition.values)}
                where.append(f"coalesce({' OR '.join(parts)}, false)")
    for number, (name, metric) in enumerate(behavior.metrics.items()):
        parameters |= {f"m{number}": name, f"x{number}": metric.value}
        where.append(f"coalesce(metrics[$m{number}] {_COMPARISONS[metric.operator]} $x{number}::DOUBLE, false)")
    # The store's own `lower` reads letters beyond ASCII otherwise than the segments service, whose keys these are.
    key = f"CASE WHEN strlen(endpoint) = length(endpoint) THEN lower(endpoint) ELSE {EventStore.LOWER}(endpoint) END"
    query = (
        f"SELECT {key} AS key FROM events WHERE {' AND '.join(where)} "  # noqa: S608
        "GROUP BY key HAVING count(*) >= $least"
    )
    return query, parameters
