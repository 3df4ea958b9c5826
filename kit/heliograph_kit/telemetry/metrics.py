"""Every metric the product emits, with meaning, unit and attributes; nothing else may be emitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache

from opentelemetry import metrics


class Kind(Enum):
    """What an instrument does with the numbers it is given."""

    COUNTER = "counter"
    UP_DOWN_COUNTER = "up_down_counter"
    HISTOGRAM = "histogram"
    GAUGE = "gauge"


@dataclass(frozen=True)
class Metric:
    """One entry of the catalogue; `attributes` are the only attribute names it may carry."""

    name: str
    kind: Kind
    unit: str
    description: str
    attributes: frozenset[str]
    buckets: tuple[float, ...] | None = None


_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


def _metric(name: str, kind: Kind, unit: str, description: str, *attributes: str) -> Metric:
    buckets = _SECONDS if kind is Kind.HISTOGRAM and unit == "s" else None
    return Metric(name, kind, unit, description, frozenset(attributes), buckets)


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        # The wire, by OpenTelemetry's names.
        _metric("rpc.server.call.duration", Kind.HISTOGRAM, "s", "Time a server call took, from first byte to status.",
                "rpc.system.name", "rpc.method", "rpc.response.status_code"),
        _metric("rpc.client.call.duration", Kind.HISTOGRAM, "s", "Time a call to another service took.",
                "rpc.system.name", "rpc.method", "rpc.response.status_code"),
        _metric("messaging.client.sent.messages", Kind.COUNTER, "{message}", "Messages published to the bus.",
                "messaging.system", "messaging.destination.template", "error.type"),
        _metric("messaging.client.consumed.messages", Kind.COUNTER, "{message}", "Messages delivered to a consumer.",
                "messaging.system", "messaging.destination.name", "messaging.consumer.group.name"),
        _metric("messaging.process.duration", Kind.HISTOGRAM, "s", "Time a consumer took for one batch.",
                "messaging.system", "messaging.destination.name", "messaging.consumer.group.name", "error.type"),
        # The kit.
        _metric("heliograph.worker.restarts", Kind.COUNTER, "{restart}", "Background tasks started again after a "
                "failure.", "heliograph.worker"),
        _metric("heliograph.rpc.internal_errors", Kind.COUNTER, "{error}", "Calls answered INTERNAL: our faults.",
                "rpc.method"),
        _metric("heliograph.outbox.pending", Kind.GAUGE, "{message}", "Outbox rows not yet published.",
                "heliograph.service"),
        _metric("heliograph.outbox.redriven", Kind.COUNTER, "{message}", "Published messages the reconciler sent again.",
                "heliograph.service"),
        _metric("heliograph.consumer.lag", Kind.GAUGE, "{message}", "Messages a consumer has not been given yet.",
                "messaging.destination.name", "messaging.consumer.group.name"),
        _metric("heliograph.consumer.redelivered", Kind.COUNTER, "{message}", "Messages delivered more than once.",
                "messaging.destination.name", "messaging.consumer.group.name"),
        _metric("heliograph.consumer.dead", Kind.COUNTER, "{message}", "Messages given up and put to the dead letters.",
                "messaging.destination.name", "messaging.consumer.group.name", "heliograph.reason"),
        # The domains. No project, endpoint or address is ever an attribute: series must stay few.
        _metric("heliograph.segments.endpoints.changed", Kind.COUNTER, "{endpoint}", "Endpoints written or deleted.",
                "heliograph.operation"),
        _metric("heliograph.segments.endpoints.dropped", Kind.COUNTER, "{endpoint}", "Endpoints beside events that were "
                "refused.", "heliograph.reason"),
        _metric("heliograph.segments.import.rows", Kind.COUNTER, "{row}", "Rows read by import jobs.",
                "heliograph.outcome"),
        _metric("heliograph.segments.count.duration", Kind.HISTOGRAM, "s", "Time to count a segment."),
        _metric("heliograph.segments.snapshot.members", Kind.COUNTER, "{endpoint}", "Members frozen into snapshots."),
        _metric("heliograph.campaigns.runs", Kind.COUNTER, "{run}", "Campaign runs that ended.", "heliograph.outcome"),
        _metric("heliograph.campaigns.recipients", Kind.COUNTER, "{recipient}", "Recipients decided by campaign runs.",
                "heliograph.outcome"),
        _metric("heliograph.journeys.entered", Kind.COUNTER, "{participant}", "Participants that entered a journey."),
        _metric("heliograph.journeys.transitions", Kind.COUNTER, "{transition}", "Participants moved by one activity.",
                "heliograph.activity"),
        _metric("heliograph.journeys.exited", Kind.COUNTER, "{participant}", "Participants that left a journey.",
                "heliograph.reason"),
        _metric("heliograph.messaging.messages", Kind.COUNTER, "{message}", "Messages by their outcome.",
                "heliograph.channel", "heliograph.message_class", "heliograph.outcome", "heliograph.reason"),
        _metric("heliograph.messaging.send.duration", Kind.HISTOGRAM, "s", "Time a channel took for one send_batch.",
                "heliograph.channel", "heliograph.provider"),
        _metric("heliograph.messaging.receipts", Kind.COUNTER, "{receipt}", "Delivery receipts by kind.",
                "heliograph.channel", "heliograph.outcome"),
        _metric("heliograph.messaging.plugin.faults", Kind.COUNTER, "{fault}", "What channel plugins did wrong: calls "
                "that failed through their own fault, answers that are none, processes that ended.",
                "heliograph.provider", "heliograph.reason"),
        _metric("heliograph.messaging.plugin.restarts", Kind.COUNTER, "{restart}", "Processes of isolated plugins that "
                "were started again.", "heliograph.provider"),
        _metric("heliograph.messaging.inbound", Kind.COUNTER, "{message}", "Messages from people, each once.",
                "heliograph.channel"),
        _metric("heliograph.messaging.webhooks", Kind.COUNTER, "{call}", "Calls of providers by the status they were "
                "answered with.", "heliograph.provider", "heliograph.outcome"),
        _metric("heliograph.messaging.otp.verifications", Kind.COUNTER, "{attempt}", "One-time passwords that were tried.",
                "heliograph.outcome"),
        _metric("heliograph.registry10dlc.transitions", Kind.COUNTER, "{transition}", "Registrations that changed "
                "state.", "heliograph.operation", "heliograph.outcome"),
        _metric("heliograph.analytics.events", Kind.COUNTER, "{event}", "Events by their outcome.",
                "heliograph.outcome"),
        _metric("heliograph.analytics.query.duration", Kind.HISTOGRAM, "s", "Time of one analytics query.",
                "heliograph.operation"),
        _metric("heliograph.projects.authentications", Kind.COUNTER, "{call}", "API keys looked at.",
                "heliograph.outcome"),
        _metric("heliograph.gateway.requests", Kind.HISTOGRAM, "s", "Time of one HTTP request at the edge.",
                "http.request.method", "http.route", "http.response.status_code"),
        _metric("heliograph.gateway.events", Kind.COUNTER, "{event}", "Opens and clicks at the edge by what became of them.",
                "heliograph.outcome"),
    )
}  # fmt: skip

_meter = metrics.get_meter("heliograph")


def counter(name: str) -> metrics.Counter:
    """Return the counter of that name.

    Raises:
        KeyError: the catalogue has no counter of that name.
    """
    return _counter(_entry(name, Kind.COUNTER))


def up_down_counter(name: str) -> metrics.UpDownCounter:
    """Return the up-down counter of that name.

    Raises:
        KeyError: the catalogue has no up-down counter of that name.
    """
    return _up_down_counter(_entry(name, Kind.UP_DOWN_COUNTER))


def histogram(name: str) -> metrics.Histogram:
    """Return the histogram of that name.

    Raises:
        KeyError: the catalogue has no histogram of that name.
    """
    return _histogram(_entry(name, Kind.HISTOGRAM))


def gauge(name: str) -> metrics._Gauge:
    """Return the gauge of that name.

    Raises:
        KeyError: the catalogue has no gauge of that name.
    """
    return _gauge(_entry(name, Kind.GAUGE))


def _entry(name: str, kind: Kind) -> Metric:
    metric = METRICS.get(name)
    if metric is None or metric.kind is not kind:
        raise KeyError(f"the catalogue of heliograph_kit.telemetry.metrics has no {kind.value} {name!r}")
    return metric


@cache
def _counter(metric: Metric) -> metrics.Counter:
    return _meter.create_counter(metric.name, metric.unit, metric.description)


@cache
def _up_down_counter(metric: Metric) -> metrics.UpDownCounter:
    return _meter.create_up_down_counter(metric.name, metric.unit, metric.description)


@cache
def _histogram(metric: Metric) -> metrics.Histogram:
    return _meter.create_histogram(
        metric.name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=metric.buckets
    )


@cache
def _gauge(metric: Metric) -> metrics._Gauge:
    return _meter.create_gauge(metric.name, metric.unit, metric.description)
