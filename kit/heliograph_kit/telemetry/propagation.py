"""Trace context in and out of headers, for gRPC metadata, bus headers and outbox rows (W3C `traceparent`)."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

# Fixed on purpose, whatever OTEL_PROPAGATORS says: the header is part of our contracts, stored rows carry it.
_PROPAGATOR = TraceContextTextMapPropagator()


def inject(headers: dict[str, str], context: Context | None = None) -> None:
    """Write `traceparent` (and `tracestate`) of the current span into the headers; nothing outside of a span."""
    _PROPAGATOR.inject(headers, context)


def extract(headers: Mapping[str, str]) -> Context:
    """Return the context the headers carry; an empty one when they carry none or a broken one."""
    return _PROPAGATOR.extract(headers, Context())


def traceparent() -> str:
    """Return the `traceparent` of the current span, or "" outside of a span."""
    headers: dict[str, str] = {}
    inject(headers)
    return headers.get("traceparent", "")


def trace_id() -> str:
    """Return the current trace id as 32 hexadecimal digits, or "" outside of a span."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""


def link_to(headers: Mapping[str, str]) -> trace.Link | None:
    """Return a link to the span the headers come from, for a span that handles many of them."""
    context = trace.get_current_span(extract(headers)).get_span_context()
    return trace.Link(context) if context.is_valid else None
