"""Bus messages to columns: what the store appends, built in bulk."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from heliograph.analytics.v1 import events_pb2
from heliograph.journeys.v1 import events_pb2 as journeys_pb2
from heliograph.messaging.v1 import events_pb2 as messaging_pb2
from heliograph_analytics.domain import names_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OUTCOMES = {
    number: name.removeprefix("MESSAGE_EVENT_TYPE_") for name, number in messaging_pb2.MessageEventType.items()
}
_TEXTS = (
    "project type endpoint user_id session source campaign journey run treatment activity message_id channel outcome "
    "reason event_id"
).split()

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in _TEXTS),
        ("time", pa.timestamp("us")),
        ("attributes", pa.map_(pa.string(), pa.string())),
        ("metrics", pa.map_(pa.string(), pa.float64())),
    ]
)
"""`source` is `app`, `message` or `journey`: who made the event."""


def micros(instant: datetime) -> int:
    """Return microseconds since 1970."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


class Rows:
    """Rows on their way into the store, as growing columns. Not safe for two threads."""

    def __init__(self, oldest: datetime, newest: datetime) -> None:
        """Take the range of times that is stored; what lies outside is counted in `left_out`."""
        self._oldest = micros(oldest)
        self._newest = micros(newest)
        self._texts: dict[str, list[str]] = {name: [] for name in _TEXTS}
        self._times: list[int] = []
        self._keys: list[str] = []
        self._values: list[str] = []
        self._key_ends = [0]
        self._metrics: list[str] = []
        self._numbers: list[float] = []
        self._metric_ends = [0]
        self.left_out = 0

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self._times)

    def add_events(self, batch: events_pb2.EventBatch) -> None:
        """Add an application's events."""
        project = batch.project.removeprefix("projects/")
        texts = self._texts
        types, endpoints, users = texts["type"], texts["endpoint"], texts["user_id"]
        sessions, ids = texts["session"], texts["event_id"]
        before = len(self._times)
        for event in batch.events:
            stamp = event.event_time
            time = stamp.seconds * 1_000_000 + stamp.nanos // 1000
            if not self._oldest <= time <= self._newest:
                self.left_out += 1
                continue
            self._times.append(time)
            types.append(event.event_type)
            endpoints.append(event.endpoint_id)
            users.append(event.user_id)
            sessions.append(event.session_id)
            ids.append(event.event_id)
            if event.attributes:
                self._keys.extend(event.attributes)
                self._values.extend(event.attributes.values())
            self._key_ends.append(len(self._keys))
            if event.metrics:
                self._metrics.extend(event.metrics)
                self._numbers.extend(event.metrics.values())
            self._metric_ends.append(len(self._metrics))
        added = len(self._times) - before
        texts["project"] += [project] * added
        texts["source"] += ["app"] * added
        for name in (
            "campaign",
            "journey",
            "run",
            "treatment",
            "activity",
            "message_id",
            "channel",
            "outcome",
            "reason",
        ):
            texts[name] += [""] * added

    def add_messages(self, batch: messaging_pb2.MessageEventBatch) -> None:
        """Add what happened to messages."""
        _, _, path = batch.source.name.partition("/")
        _, _, path = path.partition("/")
        collection, _, id_ = path.partition("/")
        common = {
            "project": batch.project.removeprefix("projects/"),
            "session": "",
            "source": "message",
            "campaign": id_ if collection == "campaigns" else "",
            "journey": id_ if collection == "journeys" else "",
            "run": batch.source.run_id,
            "treatment": batch.source.treatment_id,
            "activity": batch.source.activity_id,
            "channel": batch.channel,
        }
        for event in batch.events:
            outcome = _OUTCOMES.get(event.type, "UNSPECIFIED")
            told = {
                "delivery_type": batch.channel,
                "link": event.link,
                "ten_dlc_registration_id": event.ten_dlc_registration_id,
                "carrier_name": event.carrier,
                "origination_phone_number": event.origination if batch.channel == "SMS" else "",
            }
            attributes = {key: value for key, value in told.items() if value}
            metrics = {"number_of_message_parts": float(event.part_count)} if event.part_count else {}
            source = collection if id_ else ""
            for named in names_of(outcome, event.reason, batch.channel, source, event.detail):
                extra = {named.status_attribute: named.status} if named.status_attribute else {}
                self._add(
                    event.time.seconds * 1_000_000 + event.time.nanos // 1000,
                    {
                        **common,
                        "type": named.event_type,
                        "endpoint": event.endpoint_id,
                        "user_id": event.user_id,
                        "message_id": event.message_id,
                        "outcome": outcome,
                        "reason": event.reason,
                        "event_id": "",
                    },
                    {**attributes, **extra},
                    metrics,
                )

    def add_steps(self, project: str, step: journeys_pb2.StepTaken) -> None:
        """Add a step of a set of participants: one row for each."""
        common = dict.fromkeys(_TEXTS, "") | {
            "project": project,
            "type": "_journey.step",
            "source": "journey",
            "journey": step.journey.rpartition("/")[2],
            "run": step.run_id,
            "activity": step.from_activity,
            "outcome": step.outcome,
        }
        time = step.time.seconds * 1_000_000 + step.time.nanos // 1000
        attributes = {"to_activity": step.to_activity} if step.to_activity else {}
        for endpoint in step.endpoint_ids:
            self._add(time, common | {"endpoint": endpoint}, attributes, {})

    def table(self) -> pa.Table:
        """Return everything as an Arrow table."""
        columns: list[pa.Array] = [pa.array(self._texts[name], pa.string()) for name in _TEXTS]
        columns.append(pa.array(self._times, pa.timestamp("us")))
        columns.append(
            pa.MapArray.from_arrays(
                pa.array(self._key_ends, pa.int32()),
                pa.array(self._keys, pa.string()),
                pa.array(self._values, pa.string()),
            )
        )
        columns.append(
            pa.MapArray.from_arrays(
                pa.array(self._metric_ends, pa.int32()),
                pa.array(self._metrics, pa.string()),
                pa.array(self._numbers, pa.float64()),
            )
        )
        return pa.Table.from_arrays(columns, schema=SCHEMA)

    def _add(
        self, time: int, texts: Mapping[str, str], attributes: Mapping[str, str], metrics: Mapping[str, float]
    ) -> None:
        if not self._oldest <= time <= self._newest:
            self.left_out += 1
            return
        self._times.append(time)
        for name, column in self._texts.items():
            column.append(texts[name])
        self._keys.extend(attributes)
        self._values.extend(attributes.values())
        self._key_ends.append(len(self._keys))
        self._metrics.extend(metrics)
        self._numbers.extend(metrics.values())
        self._metric_ends.append(len(self._metrics))
