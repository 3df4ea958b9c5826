"""Starts telemetry for one process. Nothing leaves the machine unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import (
    DEFAULT_OFF,
    ParentBasedTraceIdRatio,
    Sampler,
    SamplingResult,
)
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

from heliograph_kit.telemetry.logs import LogFormat, setup_logs

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class _WhenExported(Sampler):
    """Records spans only while somebody wants them.

    Without an exporter spans still get ids, which flow through calls, messages and logs, but cost next to nothing.
    """

    def __init__(self) -> None:
        self.delegate: Sampler = DEFAULT_OFF

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        return self.delegate.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    def get_description(self) -> str:
        return f"WhenExported({self.delegate.get_description()})"


@dataclass(frozen=True)
class Telemetry:
    """The providers of this process; `shutdown` sends what is still held back."""

    service: str
    tracer_provider: TracerProvider
    meter_provider: MeterProvider
    sampler: _WhenExported

    def export_spans(self, exporter: SpanExporter, *, ratio: float = 1.0, at_once: bool = False) -> None:
        """Record from now on and give finished spans to the exporter; `at_once` is for tests."""
        self.sampler.delegate = ParentBasedTraceIdRatio(ratio)
        processor = SimpleSpanProcessor(exporter) if at_once else BatchSpanProcessor(exporter)
        self.tracer_provider.add_span_processor(processor)

    def flush(self, timeout_seconds: float = 5) -> None:
        """Send what is held back; telemetry that cannot be sent in time is lost, never waited for."""
        self.tracer_provider.force_flush(int(timeout_seconds * 1000))
        self.meter_provider.force_flush(timeout_seconds * 1000)


_installed: Telemetry | None = None


def setup_telemetry(
    service: str,
    *,
    log_level: str = "INFO",
    log_format: LogFormat = "json",
    trace_ratio: float = 1.0,
    span_exporter: SpanExporter | None = None,
    metric_reader: MetricReader | None = None,
) -> Telemetry:
    """Start logs, traces and metrics of this process.

    With `OTEL_EXPORTER_OTLP_ENDPOINT` set, spans and metrics go there over OTLP gRPC; the other standard `OTEL_`
    variables of the exporter (headers, certificate, resource attributes) hold too. `span_exporter` and `metric_reader`
    are for tests. The providers of a process can only be set once: a second call, as when several services run in one
    test process, changes the logs and adds the span exporter to the providers that are there.

    Args:
        service: name of the service, `segments`.
        log_level: a level of the standard library, in any case.
        log_format: `json` or `text`.
        trace_ratio: share of new traces that is recorded, 0..1; a caller's decision is followed.
        span_exporter: gets every finished span at once.
        metric_reader: collects the metrics; only the first call can take one.

    Raises:
        ValueError: a metric reader is given to a process whose metrics are set up already.
    """
    global _installed
    setup_logs(service, level=log_level, format=log_format)
    if _installed is None:
        _installed = _install(service, trace_ratio, metric_reader)
    elif metric_reader is not None:
        raise ValueError("metrics of this process are set up already; give the reader to the first setup_telemetry")
    if span_exporter is not None:
        _installed.export_spans(span_exporter, at_once=True)
    return _installed


def _install(service: str, trace_ratio: float, metric_reader: MetricReader | None) -> Telemetry:
    resource = Resource.create({"service.name": f"heliograph-{service}", "service.namespace": "heliograph"})
    readers = [metric_reader] if metric_reader else []
    exported = bool(os.environ.get(_ENDPOINT))
    if exported:
        # Imported here: the exporter brings a channel of its own, which a laptop without a collector never needs.
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
    sampler = _WhenExported()
    tracer_provider = TracerProvider(sampler=sampler, resource=resource)
    meter_provider = MeterProvider(readers, resource=resource)
    telemetry = Telemetry(service, tracer_provider, meter_provider, sampler)
    if exported:
        telemetry.export_spans(OTLPSpanExporter(), ratio=trace_ratio)
    trace.set_tracer_provider(tracer_provider)
    metrics.set_meter_provider(meter_provider)
    return telemetry
