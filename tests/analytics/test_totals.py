"""The store's answers equal a recount in plain Python, through duplicates, redelivery and a kill."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import grpc
import pandas as pd
import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from heliograph.analytics.v1 import analytics_pb2, analytics_pb2_grpc, events_pb2
from heliograph.journeys.v1 import events_pb2 as journeys_pb2
from heliograph.messaging.v1 import dispatch_pb2
from heliograph.messaging.v1 import events_pb2 as messaging_pb2
from heliograph_analytics.config import AnalyticsSettings
from heliograph_kit.auth import InternalTokens
from heliograph_kit.bus import Bus, BusMessage
from heliograph_kit.ids import derived_id
from heliograph_kit.reconciler import applied_subject
from heliograph_kit.rpc import channel
from heliograph_kit.runtime import Runtime
from heliograph_kit.streams import changes_subject, events_subject, messages_subject
from heliograph_kit.testing import ServiceProcess, eventually
from tests.analytics.conftest import PROJECT, SECRET, an_event, until_stored

Stub: TypeAlias = "analytics_pb2_grpc.AnalyticsServiceAsyncStub"
CAMPAIGN = "projects/shop/campaigns/c1"
JOURNEY = "projects/shop/journeys/j1"
NOW = datetime.now(UTC).replace(microsecond=0)


def stamp(at: datetime) -> Timestamp:
    """Return an instant as it travels."""
    made = Timestamp()
    made.FromDatetime(at)
    return made


def random_events(random_: random.Random, count: int) -> list[events_pb2.Event]:
    """Return events over ten days, about a tenth of them repeated under the same id."""
    made: list[events_pb2.Event] = []
    for number in range(count):
        if made and random_.random() < 0.1:
            made.append(random_.choice(made))
            continue
        made.append(
            an_event(
                f"e{random_.randrange(200)}",
                random_.choice(["purchase", "view", "_session.start"]),
                id=f"id{number}",
                at=NOW - timedelta(seconds=random_.randrange(10 * 86400)),
                user=random_.choice(["", *(f"u{n}" for n in range(50))]),
                attributes={"plan": random_.choice(["free", "pro", "team"])} if random_.random() < 0.8 else {},
                metrics={"price": random_.randrange(1, 100) / 4} if random_.random() < 0.7 else {},
            )
        )
    return made


def frame(events: Sequence[events_pb2.Event]) -> pd.DataFrame:
    """Return what should be counted: each event once."""
    rows = [
        {
            "type": event.event_type,
            "endpoint": event.endpoint_id,
            "user": event.user_id or None,
            "day": event.event_time.ToDatetime().strftime("%Y-%m-%d"),
            "plan": event.attributes.get("plan", ""),
            "price": event.metrics.get("price"),
            "id": event.event_id,
        }
        for event in events
    ]
    return pd.DataFrame(rows).drop_duplicates(["endpoint", "id"])


def bus_messages(events: Sequence[events_pb2.Event], size: int, project: str = "shop") -> list[BusMessage]:
    """Cut events into batches as they travel."""
    return [
        message(
            events_subject(project),
            events_pb2.EventBatch(project=f"projects/{project}", events=events[start : start + size]),
            derived_id("test", str(start)),
            project,
        )
        for start in range(0, len(events), size)
    ]


def message(subject: str, payload: Message, id: str, project: str = "shop") -> BusMessage:
    """Build a bus message."""
    return BusMessage(subject, payload.SerializeToString(), id, payload.DESCRIPTOR.full_name, project)


async def everything_counted(stub: Stub, expected: pd.DataFrame) -> None:
    """Compare every kind of answer about events with pandas."""
    bounds = {"parent": PROJECT, "start_time": stamp(NOW - timedelta(days=30)), "end_time": stamp(NOW + timedelta(1))}
    for group_by, column in (({"day": True}, "day"), ({"attribute": "plan"}, "plan"), ({"event_type": True}, "type")):
        answer = await stub.CountEvents(
            analytics_pb2.CountEventsRequest(metric="price", **bounds, **group_by)  # type: ignore[arg-type]
        )
        assert len(answer.rows) == expected[column].nunique()
        for row in answer.rows:
            part = expected[expected[column] == row.group]
            assert row.event_count == len(part)
            assert row.endpoint_count == part["endpoint"].nunique()
            assert row.user_count == part["user"].nunique()
            prices = part["price"].dropna()
            assert row.metric.event_count == len(prices)
            assert row.metric.sum == pytest.approx(prices.sum())
            assert row.metric.average == pytest.approx(prices.mean())
            assert (row.metric.minimum, row.metric.maximum) == (prices.min(), prices.max())
    days = (await stub.DailyActives(analytics_pb2.DailyActivesRequest(**bounds))).days  # type: ignore[arg-type]
    grouped = expected.groupby("day")
    assert {day.date: (day.endpoint_count, day.user_count) for day in days} == {
        str(day): (part["endpoint"].nunique(), part["user"].nunique()) for day, part in grouped
    }


@pytest.fixture
def stub(analytics_channel: grpc.aio.Channel) -> Stub:
    """The way out."""
    return analytics_pb2_grpc.AnalyticsServiceStub(analytics_channel)


async def test_counts_equal_pandas_through_duplicates_and_redelivery(
    stub: Stub, service: Runtime[AnalyticsSettings]
) -> None:
    events = random_events(random.Random(7), 6000)
    messages = bus_messages(events, 100)
    await service.bus.publish_many(messages)
    expected = frame(events)
    await until_stored(stub, len(expected))
    # The same messages under another key of the broker, as a reconciler drives them again.
    again = [BusMessage(m.subject, m.payload, m.id, m.type, m.project, publish_id=f"{m.id}#1") for m in messages]
    await service.bus.publish_many(again)
    status = await until_stored(stub, len(expected))
    assert status.stored_count == len(expected)
    await everything_counted(stub, expected)


async def test_filters_top_and_types_narrow_the_count(stub: Stub, service: Runtime[AnalyticsSettings]) -> None:
    events = random_events(random.Random(3), 1000)
    await service.bus.publish_many(bus_messages(events, 100))
    expected = frame(events)
    await until_stored(stub, len(expected))
    answer = await stub.CountEvents(
        analytics_pb2.CountEventsRequest(
            parent=PROJECT,
            event_types=["purchase"],
            attributes={"plan": "pro"},
            start_time=stamp(NOW - timedelta(days=30)),
            end_time=stamp(NOW + timedelta(days=1)),
            attribute="plan",
            top=1,
        )
    )
    part = expected[(expected["type"] == "purchase") & (expected["plan"] == "pro")]
    assert [(row.group, row.event_count, row.HasField("metric")) for row in answer.rows] == [("pro", len(part), False)]


async def test_a_recorder_killed_between_batches_loses_nothing_and_doubles_nothing(
    bus: Bus, nats_url: str, tmp_path: Path
) -> None:
    events = random_events(random.Random(11), 12_000)
    messages = bus_messages(events, 100)
    expected = frame(events)
    environment = {
        "HELIOGRAPH_NATS_URL": nats_url,
        "HELIOGRAPH_INTERNAL_SECRET": SECRET,
        "HELIOGRAPH_ANALYTICS_EVENT_STORE": str(tmp_path / "events.duckdb"),
        # Small transactions, so that the kill falls between and into many of them.
        "HELIOGRAPH_ANALYTICS_RECORDER_BATCH": "3",
    }
    process = ServiceProcess(
        "heliograph_analytics.main", service="analytics", directory=tmp_path, environment=environment
    )
    opened = channel(process.address, tokens=InternalTokens(SECRET), caller="tests")
    stub: Stub = analytics_pb2_grpc.AnalyticsServiceStub(opened)
    kills = random.Random(5)
    with process:
        publishing = asyncio.create_task(bus.publish_many(messages, in_flight=16))
        stored = 0
        for _ in range(2):
            await until_stored_some(stub, stored + 1)
            await asyncio.sleep(kills.random() * 0.2)
            await asyncio.to_thread(process.kill)
            await asyncio.to_thread(process.start().ready)
            request = analytics_pb2.GetIngestStatusRequest(parent=PROJECT)
            stored = (await stub.GetIngestStatus(request, wait_for_ready=True)).stored_count
        await publishing
        status = await until_stored(stub, len(expected), within=90)
        assert status.stored_count == len(expected)
        await everything_counted(stub, expected)
        await opened.close(grace=None)


async def until_stored_some(stub: Stub, count: int) -> None:
    """Wait until at least so many rows are stored, whatever still waits."""

    async def there() -> bool:
        request = analytics_pb2.GetIngestStatusRequest(parent=PROJECT)
        return (await stub.GetIngestStatus(request, wait_for_ready=True)).stored_count >= count

    await eventually(there, within=30)


@dataclass
class Fate:
    """What becomes of one message."""

    id: str
    endpoint: str
    treatment: str
    at: datetime
    outcome: str
    reason: str = ""
    later: list[str] = field(default_factory=list)


def random_fates(random_: random.Random, count: int) -> list[Fate]:
    """Return what becomes of messages of two treatments over five days."""
    fates = []
    for number in range(count):
        outcome = random_.choices(["ACCEPTED", "FAILED", "SKIPPED", "IN_DOUBT"], [80, 5, 10, 5])[0]
        reasons = {"FAILED": ["FAILURE_PERMANENT"], "SKIPPED": ["ENDPOINT_OPT_OUT", "DAILY_CAP"]}
        fate = Fate(
            derived_id("m", str(number)),
            f"e{random_.randrange(300)}",
            random_.choice("01"),
            NOW - timedelta(days=5) + timedelta(minutes=random_.randrange(5 * 1440 - 60)),
            outcome,
            random_.choice(reasons.get(outcome, [""])),
        )
        if outcome == "ACCEPTED":
            fate.later = ["BOUNCED"] if random_.random() < 0.1 else ["DELIVERED"]
            if fate.later == ["DELIVERED"]:
                fate.later += ["OPENED"] * random_.choice([0, 0, 1, 2])
                fate.later += ["CLICKED"] * (random_.choice([0, 1, 3]) if "OPENED" in fate.later else 0)
        fates.append(fate)
    return fates


async def publish_fates(bus: Bus, fates: Sequence[Fate], source: str, channel_name: str = "EMAIL") -> int:
    """Publish what became of messages, one bus message for each treatment and step; return how many rows that makes."""
    grouped: dict[tuple[str, int], list[messaging_pb2.MessageEvent]] = defaultdict(list)
    for fate in fates:
        for place, outcome in enumerate([fate.outcome, *fate.later]):
            event = messaging_pb2.MessageEvent(
                message_id=fate.id,
                type=messaging_pb2.MessageEventType.Value(f"MESSAGE_EVENT_TYPE_{outcome}"),
                endpoint_id=fate.endpoint,
                reason=fate.reason if place == 0 else "",
            )
            event.time.FromDatetime(fate.at + timedelta(minutes=place))
            grouped[fate.treatment, place].append(event)
    messages = []
    for (treatment, place), events in grouped.items():
        batch = messaging_pb2.MessageEventBatch(
            project=PROJECT,
            source=dispatch_pb2.MessageSource(
                name=source, run_id="r1", treatment_id=treatment, activity_id="a1" if "journeys" in source else ""
            ),
            channel=channel_name,
            events=events,
        )
        messages.append(message(messages_subject("shop"), batch, derived_id(source, treatment, str(place))))
    await bus.publish_many([*messages, *messages])
    # Attempts of campaigns by e-mail are two rows: accepted and failed ones have a family of their own besides.
    double = sum(fate.outcome in ("ACCEPTED", "FAILED") for fate in fates) if source else 0
    return sum(1 + len(fate.later) for fate in fates) + double


async def kpi(stub: Stub, name: str, parent: str, *group_by: str) -> dict[tuple[str, ...], float]:
    """Return a key figure by group."""
    answer = await stub.GetKpi(analytics_pb2.GetKpiRequest(parent=parent, kpi=name, group_by=group_by))
    return {tuple(group.value for group in row.grouped_bys): row.values[0].value for row in answer.rows}


async def test_campaign_figures_equal_a_recount_and_are_conserved(
    stub: Stub, service: Runtime[AnalyticsSettings]
) -> None:
    fates = random_fates(random.Random(1), 2000)
    await until_stored(stub, await publish_fates(service.bus, fates, CAMPAIGN))
    table = pd.DataFrame(
        [
            {
                "treatment": fate.treatment,
                "day": fate.at.strftime("%Y-%m-%d"),
                "endpoint": fate.endpoint,
                "outcome": fate.outcome,
                "reason": fate.reason,
                "hard": "BOUNCED" in fate.later,
                "opened": "OPENED" in fate.later,
                "clicks": fate.later.count("CLICKED"),
            }
            for fate in fates
        ]
    )
    sent = table[table["outcome"] == "ACCEPTED"]
    kept = sent[~sent["hard"]]
    assert await kpi(stub, "messages-targeted", CAMPAIGN) == {(): len(table)}
    assert await kpi(stub, "messages-sent", CAMPAIGN, "treatment") == {
        (str(key),): len(part) for key, part in sent.groupby("treatment")
    }
    assert await kpi(stub, "messages-skipped", CAMPAIGN, "reason") == {
        (str(key),): len(part) for key, part in table[table["outcome"] == "SKIPPED"].groupby("reason")
    }
    by_outcome = await kpi(stub, "messages-targeted", CAMPAIGN, "outcome")
    assert by_outcome == {(str(key),): len(part) for key, part in table.groupby("outcome")}
    total = 0.0
    for name in ("sent", "failed", "skipped", "in-doubt"):
        total += (await kpi(stub, f"messages-{name}", CAMPAIGN))[()]
    assert total == len(table)
    assert await kpi(stub, "unique-deliveries", CAMPAIGN) == {(): kept["endpoint"].nunique()}
    assert await kpi(stub, "unique-deliveries-grouped-by-date", CAMPAIGN) == {
        (str(day),): part["endpoint"].nunique() for day, part in kept.groupby("day")
    }
    assert (await kpi(stub, "email-open-rate", CAMPAIGN))[()] == pytest.approx(sent["opened"].sum() / len(kept))
    assert (await kpi(stub, "hard-bounce-rate", CAMPAIGN))[()] == pytest.approx(sent["hard"].sum() / len(sent))
    assert await kpi(stub, "clicks-grouped-by-campaign-activity", CAMPAIGN) == {("r1",): table["clicks"].sum()}
    assert await kpi(stub, "successful-deliveries-grouped-by-campaign", PROJECT) == {("c1",): len(kept)}
    # Campaign mail is never in the transactional figures, and another campaign has none of this.
    assert await kpi(stub, "txn-emails-sent", PROJECT) == {}
    assert await kpi(stub, "messages-sent", "projects/shop/campaigns/other") == {}
    assert await kpi(stub, "messages-sent", "projects/other") == {}


async def test_journey_figures_count_mail_and_steps(stub: Stub, service: Runtime[AnalyticsSettings]) -> None:
    fates = random_fates(random.Random(2), 300)
    rows = await publish_fates(service.bus, fates, JOURNEY)
    steps = [("", "a1", "", 10), ("a1", "a2", "COMPLETED", 7), ("a1", "", "HOLDOUT", 2), ("a2", "", "COMPLETED", 5)]
    for number, (origin, target, outcome, count) in enumerate(steps):
        step = journeys_pb2.StepTaken(
            journey=JOURNEY,
            run_id="r1",
            from_activity=origin,
            to_activity=target,
            outcome=outcome,
            time=stamp(NOW - timedelta(hours=1)),
            endpoint_ids=[f"e{n}" for n in range(count)],
        )
        subject = changes_subject("journeys", "shop", "step_taken")
        await service.bus.send(message(subject, step, derived_id("step", str(number))))
        rows += count
    await until_stored(stub, rows)
    sent = sum(fate.outcome == "ACCEPTED" for fate in fates)
    assert await kpi(stub, "journey-emails-sent", JOURNEY) == {(): sent}
    assert await kpi(stub, "emails-sent-grouped-by-journey-activity", JOURNEY) == {("a1",): sent}
    assert await kpi(stub, "journey-entered", JOURNEY) == {(): 10}
    assert await kpi(stub, "journey-steps", JOURNEY, "journey-activity", "outcome") == {
        ("a1", "COMPLETED"): 7,
        ("a1", "HOLDOUT"): 2,
        ("a2", "COMPLETED"): 5,
    }
    assert await kpi(stub, "journey-left", JOURNEY) == {(): 7}


async def test_transactional_figures_leave_campaigns_out(stub: Stub, service: Runtime[AnalyticsSettings]) -> None:
    fates = random_fates(random.Random(4), 200)
    await until_stored(stub, await publish_fates(service.bus, fates, ""))
    sent = [fate for fate in fates if fate.outcome == "ACCEPTED"]
    delivered = sum("BOUNCED" not in fate.later for fate in sent)
    assert await kpi(stub, "txn-emails-sent", PROJECT) == {(): len(sent)}
    assert await kpi(stub, "txn-emails-delivered", PROJECT) == {(): delivered}
    assert (await kpi(stub, "txn-emails-delivery-rate", PROJECT))[()] == pytest.approx(delivered / len(sent))
    assert await kpi(stub, "successful-deliveries", PROJECT) == {}


async def test_figures_of_use_cases_add_up_to_those_of_the_project(
    stub: Stub, service: Runtime[AnalyticsSettings]
) -> None:
    """Over three use cases and messages of none, with failures, carriers and opt-outs."""
    random_ = random.Random(5)
    use_cases = ["", *(f"{PROJECT}/useCases/u{n}" for n in range(3))]
    words = ["CARRIER_BLOCKED", "UNREACHABLE", "SPAM"]
    made: list[dict[str, str | int]] = []
    batches: dict[str, messaging_pb2.MessageEventBatch] = {}
    for number in range(600):
        one: dict[str, str | int] = {
            "use_case": random_.choice(use_cases), "parts": random_.randrange(1, 4), "carrier": random_.choice(["", "A", "B"]),
            "first": random_.choice(["ACCEPTED", "ACCEPTED", "ACCEPTED", "FAILED"]),
            "later": random_.choice(["DELIVERED", "BOUNCED", "OPTED_OUT", ""]), "word": random_.choice(words),
        }  # fmt: skip
        one["later"] = one["later"] if one["first"] == "ACCEPTED" else ""
        made.append(one)
        for place, outcome in enumerate(filter(None, (one["first"], one["later"]))):
            source = CAMPAIGN if number % 2 else ""
            batch = batches.setdefault(
                f"{source} {place}",
                messaging_pb2.MessageEventBatch(
                    project=PROJECT, channel="SMS", source=dispatch_pb2.MessageSource(name=source, run_id="r")
                ),
            )
            event = batch.events.add(
                message_id=derived_id("sms", str(number)),
                type=messaging_pb2.MessageEventType.Value(f"MESSAGE_EVENT_TYPE_{outcome}"),
                ten_dlc_registration_id=str(one["use_case"]),
                part_count=int(one["parts"]),
                detail=f"{one['word']}: refused" if outcome in ("FAILED", "BOUNCED") else "",
                carrier=str(one["carrier"]) if place else "",
            )
            event.time.FromDatetime(NOW - timedelta(hours=2) + timedelta(seconds=number + place))
    # E-mail beside them is in none of this.
    await publish_fates(service.bus, random_fates(random_, 50), "")
    await service.bus.publish_many(
        [message(messages_subject("shop"), batch, derived_id("sms", name)) for name, batch in batches.items()]
    )
    table = pd.DataFrame(made)
    table["ended"] = (table["first"] == "FAILED") | (table["later"] == "BOUNCED")
    sent = table[table["first"] == "ACCEPTED"]
    expected = {
        "sms-sent": sent.groupby("use_case").size(),
        "sms-sent-by-parts": sent.groupby("use_case")["parts"].sum(),
        "sms-delivered": sent[sent["later"] == "DELIVERED"].groupby("use_case").size(),
        "sms-failed": table[table["ended"]].groupby("use_case").size(),
        "sms-opted-out": sent[sent["later"] == "OPTED_OUT"].groupby("use_case").size(),
    }

    async def all_there() -> bool:
        return bool((await kpi(stub, "sms-opted-out", PROJECT)).get(()) == expected["sms-opted-out"].sum())

    await eventually(all_there, within=20)
    for name, of_use_case in expected.items():
        groups = await kpi(stub, f"{name}-grouped-by-ten-dlc-registration", PROJECT)
        assert groups == {(str(key),): float(value) for key, value in of_use_case.items()}, name
        assert sum(groups.values()) == (await kpi(stub, name, PROJECT))[()] == of_use_case.sum()
    ended = table[table["ended"]]
    assert await kpi(stub, "sms-failed", PROJECT, "ten-dlc-registration", "record-status") == {
        (str(use_case), str(word)): float(len(part)) for (use_case, word), part in ended.groupby(["use_case", "word"])
    }
    known = sent.assign(carrier=sent["carrier"].where(sent["later"] != "", ""))
    assert await kpi(stub, "sms-sent", PROJECT, "carrier") == {
        (str(key),): float(value) for key, value in known.groupby("carrier").size().items()
    }
    assert sum((await kpi(stub, "sms-sent", CAMPAIGN, "ten-dlc-registration")).values()) < len(sent)


async def test_other_services_reconcilers_learn_what_was_applied(
    stub: Stub, service: Runtime[AnalyticsSettings]
) -> None:
    await publish_fates(service.bus, random_fates(random.Random(4), 10), "")
    await until_stored(stub, 10)
    import json

    known = derived_id("", "0", "0")
    question = json.dumps({"consumer": "analytics", "ids": [known, "nothing"]}).encode()
    assert json.loads(await service.bus.request(applied_subject("analytics"), question)) == [known]


async def test_a_deleted_project_leaves_nothing_behind(stub: Stub, service: Runtime[AnalyticsSettings]) -> None:
    await service.bus.publish_many(bus_messages([an_event(), an_event()], 10))
    await service.bus.publish_many(
        [
            message(
                events_subject("other"),
                events_pb2.EventBatch(project="projects/other", events=[an_event()]),
                "x",
                "other",
            )
        ]
    )
    await until_stored(stub, 2)
    await until_stored(stub, 1, "projects/other")
    subject = changes_subject("projects", "shop", "project_deleted")
    await service.bus.publish(subject, b"", id="gone", type="heliograph.projects.v1.ProjectDeleted")

    async def gone() -> bool:
        request = analytics_pb2.GetIngestStatusRequest(parent=PROJECT)
        return (await stub.GetIngestStatus(request)).stored_count == 0

    await eventually(gone)
    await until_stored(stub, 1, "projects/other")
