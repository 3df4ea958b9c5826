"""Traces, metrics and logs of every service: `inject`/`extract`, the metrics catalogue, `setup_telemetry`."""

from __future__ import annotations

from opentelemetry import metrics as _metrics
from opentelemetry import trace as _trace

from heliograph_kit.telemetry.metrics import METRICS, counter, gauge, histogram, up_down_counter
from heliograph_kit.telemetry.propagation import extract, inject, link_to, trace_id, traceparent
from heliograph_kit.telemetry.setup import Telemetry, setup_telemetry

__all__ = [
    "METRICS",
    "Telemetry",
    "counter",
    "extract",
    "gauge",
    "histogram",
    "inject",
    "link_to",
    "meter",
    "setup_telemetry",
    "trace_id",
    "traceparent",
    "tracer",
    "up_down_counter",
]


def tracer(name: str) -> _trace.Tracer:
    """Return the tracer of one module; works before `setup_telemetry` too."""
    return _trace.get_tracer(name)


def meter(name: str) -> _metrics.Meter:
    """Return a meter for observable instruments; everything else goes through `counter`, `histogram` and `gauge`."""
    return _metrics.get_meter(name)
