"""The span and the measurement of one call, on the server's and on the client's side (OpenTelemetry's RPC names)."""

from __future__ import annotations

import time
from collections.abc import Mapping

import grpc
from opentelemetry import context as context_api
from opentelemetry import trace

from heliograph_kit.telemetry import extract, histogram, inject

_tracer = trace.get_tracer("heliograph_kit.rpc")
_served = histogram("rpc.server.call.duration")
_called = histogram("rpc.client.call.duration")

# On the server only these are its own failures; the others tell about the request.
_SERVER_FAULTS = frozenset(
    {
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)


class ServedCall:
    """One call we serve. Its span is the current one until the task of the call ends."""

    def __init__(self, method: str, metadata: Mapping[str, str]) -> None:
        """Start the span as a child of the caller's; `method` is without a leading slash."""
        self._method = method
        self._started = time.perf_counter()
        parent = extract(metadata)
        self.span = _tracer.start_span(
            method,
            parent,
            trace.SpanKind.SERVER,
            {"rpc.system.name": "grpc", "rpc.method": method},
        )
        # Never detached: the context belongs to the task of this call, which ends with it. Detaching from a generator
        # that is closed elsewhere would only log "was created in a different Context".
        context_api.attach(trace.set_span_in_context(self.span, parent))

    def end(self, code: grpc.StatusCode, error: BaseException | None = None) -> None:
        """End the span and count the call."""
        if error is not None:
            self.span.record_exception(error)
        if code in _SERVER_FAULTS:
            self.span.set_status(trace.StatusCode.ERROR, code.name)
        self.span.set_attribute("rpc.response.status_code", code.name)
        self.span.end()
        _served.record(time.perf_counter() - self._started, _attributes(self._method, code))


class MadeCall:
    """One call we make."""

    def __init__(self, method: str, headers: dict[str, str]) -> None:
        """Start the span as a child of the current one and write it into the headers of the call."""
        self._method = method
        self._started = time.perf_counter()
        self._ended = False
        self._span = _tracer.start_span(
            method, kind=trace.SpanKind.CLIENT, attributes={"rpc.system.name": "grpc", "rpc.method": method}
        )
        inject(headers, trace.set_span_in_context(self._span))

    def end(self, code: grpc.StatusCode) -> None:
        """End the span and count the call; only the first end counts."""
        if self._ended:
            return
        self._ended = True
        if code is not grpc.StatusCode.OK:
            self._span.set_status(trace.StatusCode.ERROR, code.name)
        self._span.set_attribute("rpc.response.status_code", code.name)
        self._span.end()
        _called.record(time.perf_counter() - self._started, _attributes(self._method, code))


def _attributes(method: str, code: grpc.StatusCode) -> dict[str, str]:
    return {"rpc.system.name": "grpc", "rpc.method": method, "rpc.response.status_code": code.name}
