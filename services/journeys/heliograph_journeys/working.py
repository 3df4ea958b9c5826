"""What all workers share: the trace and the table of a run."""

from __future__ import annotations

from contextlib import AbstractContextManager

from heliograph_journeys.domain.table import StepTable
from heliograph_journeys.state import Run
from heliograph_kit.telemetry import extract, tracer

_tracer = tracer(__name__)
_MOST_TABLES = 200


class Tables:
    """Remembers compiled journeys: a run's never changes."""

    def __init__(self) -> None:
        """Know none."""
        self._known: dict[str, StepTable] = {}

    def of(self, run: Run) -> StepTable:
        """Return the table of steps of a run."""
        table = self._known.get(run.id)
        if table is None:
            if len(self._known) >= _MOST_TABLES:
                self._known.clear()
            table = self._known[run.id] = run.compiled()
        return table


def in_trace_of(run: Run, name: str) -> AbstractContextManager[object]:
    """Open a span that continues the trace of the call that published the journey."""
    context = extract({"traceparent": run.traceparent}) if run.traceparent else None
    return _tracer.start_as_current_span(
        name, context=context, attributes={"heliograph.project": run.project, "heliograph.run.id": run.id}
    )
