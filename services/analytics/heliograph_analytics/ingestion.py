"""Taking events: check each, publish the good ones as one bus message, tell what was refused."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from heliograph.analytics.v1 import events_pb2, ingestion_pb2
from heliograph.segments.v1 import endpoints_pb2
from heliograph_analytics.domain import Refusal, refusal
from heliograph_analytics.errors import TooManyEvents
from heliograph_kit.bus import Bus
from heliograph_kit.clock import Clock
from heliograph_kit.errors import Violations
from heliograph_kit.ids import derived_id
from heliograph_kit.streams import events_subject

PAYLOAD_BYTES = 768 * 1024
"""Most bytes of one bus message; the broker's own limit is a megabyte with headers."""
ENDPOINTS = 100
"""Most endpoints of one request or batch."""
ENDPOINT_BYTES = 64 * 1024
"""Most bytes of one endpoint: twice what segments would keep of it and its user, and far below PAYLOAD_BYTES."""

_TYPE = events_pb2.EventBatch.DESCRIPTOR.full_name


@dataclass(frozen=True)
class Refused:
    """An event that was refused, and its place in the request."""

    index: int
    event: events_pb2.Event
    refusal: Refusal


@dataclass(frozen=True)
class Taken:
    """What became of a batch."""

    accepted: int
    refused: list[Refused]


class Ingestion:
    """Puts events on the bus."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        """Take the bus and the clock that stamps the time of receipt."""
        self._bus = bus
        self._clock = clock

    async def put(
        self, project: str, request: ingestion_pb2.PutEventsRequest | ingestion_pb2.StreamEventsRequest, most: int
    ) -> Taken:
        """Accept the good events of a request: when this returns, the bus has them.

        Safe to repeat: the id of the bus message is made of the project and the events, so the same request is one
        message, and an event that came in two different requests is counted once by its own id.

        Raises:
            TooManyEvents: more than `most`; nothing was accepted.
            InvalidArgument: endpoints that could not even be handed on; nothing was accepted.
            Unavailable: the bus did not confirm; repeat the request.
        """
        if len(request.events) > most:
            raise TooManyEvents(len(request.events), most)
        _check_endpoints(request.endpoints)
        refused: list[Refused] = []
        for index, event in enumerate(request.events):
            seconds = event.event_time.seconds if event.HasField("event_time") else None
            wrong = refusal(event, seconds)
            if wrong is not None:
                refused.append(Refused(index, event, wrong))
        accepted = len(request.events) - len(refused)
        if accepted == 0 and not request.endpoints:
            return Taken(0, refused)
        bad = {one.index for one in refused}
        good = request.events if not bad else [e for i, e in enumerate(request.events) if i not in bad]
        for payload in _payloads(good, request.endpoints):
            await self._publish(project, payload)
        return Taken(accepted, refused)

    async def _publish(self, project: str, events: bytes) -> None:
        received = Timestamp()
        received.FromDatetime(self._clock.now())
        head = events_pb2.EventBatch(project=f"projects/{project}", receive_time=received).SerializeToString()
        # Protobuf messages in a row are one message: the events travel on as they were serialised, once.
        digest = hashlib.blake2b(events, digest_size=16).hexdigest()
        await self._bus.publish(
            events_subject(project),
            head + events,
            id=derived_id("events", project, digest),
            type=_TYPE,
            project=project,
        )


def _check_endpoints(endpoints: Sequence[endpoints_pb2.Endpoint]) -> None:
    violations = Violations()
    if len(endpoints) > ENDPOINTS:
        violations.add("endpoints", f"send at most {ENDPOINTS} endpoints at once, not {len(endpoints)}", "TOO_MANY")
    for place, endpoint in enumerate(endpoints[: ENDPOINTS + 1]):
        if not endpoint.endpoint_id:
            violations.add(f"endpoints[{place}].endpoint_id", "give each endpoint an id", "MISSING")
        if endpoint.ByteSize() > ENDPOINT_BYTES:
            violations.add(f"endpoints[{place}]", f"use at most {ENDPOINT_BYTES} bytes", "TOO_LARGE")
    violations.check()


def _payloads(events: Sequence[events_pb2.Event], endpoints: Sequence[endpoints_pb2.Endpoint]) -> list[bytes]:
    """Serialise events and endpoints as fields of EventBatch, in pieces of at most PAYLOAD_BYTES, endpoints first."""
    whole = events_pb2.EventBatch(events=events, endpoints=endpoints)
    # Deterministic, because the id of the message is made of these bytes, and maps have no order of their own.
    data = whole.SerializeToString(deterministic=True)
    if len(data) <= PAYLOAD_BYTES or len(events) + len(endpoints) == 1:
        return [data]
    if events and endpoints:
        return _payloads((), endpoints) + _payloads(events, ())
    half, middle = len(events) // 2, len(endpoints) // 2
    return _payloads(events[:half], endpoints[:middle]) + _payloads(events[half:], endpoints[middle:])
