"""Chapter one: the shop's customers become endpoints, their purchases events, and the repeat buyers a segment."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

from heliograph.analytics.v1 import events_pb2, ingestion_pb2
from heliograph.projects.v1 import projects_pb2
from heliograph.segments.v1 import jobs_pb2, segments_pb2
from heliograph_suite.demo.purchases import Purchase, customers_of, email_endpoint, endpoints_csv, read_purchases
from heliograph_suite.demo.stage import PROJECT, PROJECT_ID, Stage, Stuck, until

BATCH = 500
REPEAT_ORDERS = 2
CAMPAIGN_SPEND = 60.0
JOURNEY_SPEND = 250.0
SMS_SPEND = 750.0


async def load(stage: Stage) -> None:
    """Create the project, import the customers and send their purchases."""
    await stage.clients.projects.CreateProject(
        projects_pb2.CreateProjectRequest(
            project_id=PROJECT_ID, project=projects_pb2.Project(display_name="Record shop"), request_id="demo"
        )
    )
    purchases = read_purchases(datetime.now(UTC).date())
    customers = customers_of(purchases)
    imports = stage.installation.directory / "imports"
    imports.mkdir(exist_ok=True)
    source = imports / "customers.csv"
    with source.open("w", encoding="utf-8") as file:
        file.writelines(endpoints_csv(customers))
    total = 2 * len(customers) + len(purchases)
    job = await _import(stage, source.as_uri(), 2 * len(customers), total)
    accepted = await _send_purchases(stage, purchases, 2 * len(customers), total)
    stage.figures["audience"] = {
        "users": 0,  # analytics counts them, in the last chapter
        "endpoints": job.created_count,
        "purchases": accepted,
        "repeat_buyers": 0,
    }


async def _import(stage: Stage, source: str, rows: int, total: int) -> jobs_pb2.ImportJob:
    job = await stage.clients.jobs.CreateImportJob(
        jobs_pb2.CreateImportJobRequest(
            parent=PROJECT,
            import_job=jobs_pb2.ImportJob(format=jobs_pb2.ImportJob.FORMAT_CSV, source=source),
            request_id="demo",
        )
    )

    async def over() -> jobs_pb2.ImportJob | None:
        seen = await stage.clients.jobs.GetImportJob(jobs_pb2.GetImportJobRequest(name=job.name))
        stage.progress(seen.processed_count, total)
        ended = seen.state in (jobs_pb2.ImportJob.STATE_COMPLETED, jobs_pb2.ImportJob.STATE_FAILED)
        return seen if ended else None

    done = await until("the import of the customers", over, within=60)
    if done.state != jobs_pb2.ImportJob.STATE_COMPLETED or done.failed_count or done.processed_count != rows:
        raise Stuck(f"the import ended {done.failure_reason}: {done.failure_message} {list(done.failures)[:3]}")
    return done


async def _send_purchases(stage: Stage, purchases: Sequence[Purchase], before: int, total: int) -> int:
    accepted = 0

    async def requests() -> AsyncIterator[ingestion_pb2.StreamEventsRequest]:
        for start in range(0, len(purchases), BATCH):
            events = map(_event, purchases[start : start + BATCH])
            yield ingestion_pb2.StreamEventsRequest(parent=PROJECT, sequence=start, events=events)

    async for answer in stage.clients.events.StreamEvents(requests()):
        accepted += answer.accepted_count
        stage.progress(before + accepted, total)
    if accepted != len(purchases):
        raise Stuck(f"{accepted} of {len(purchases)} purchases were accepted")
    return accepted


def _event(purchase: Purchase) -> events_pb2.Event:
    event = events_pb2.Event(
        event_id=f"purchase-{purchase.row}",
        event_type="purchase",
        endpoint_id=email_endpoint(purchase.customer),
        user_id=purchase.customer,
        metrics={"amount": purchase.dollars, "discs": purchase.discs},
    )
    event.event_time.FromDatetime(purchase.instant)
    return event


async def build_segments(stage: Stage) -> None:
    """Make the segments of the story and count them."""
    wanted = {
        "repeat": ("Repeat buyers", "EMAIL", 0.0),
        "campaign": (f"Repeat buyers of ${CAMPAIGN_SPEND:g} and more", "EMAIL", CAMPAIGN_SPEND),
        "journey": (f"Repeat buyers of ${JOURNEY_SPEND:g} and more", "EMAIL", JOURNEY_SPEND),
        "sms": (f"Repeat buyers of ${SMS_SPEND:g} and more, by SMS", "SMS", SMS_SPEND),
    }
    for number, (key, (title, channel, spend)) in enumerate(wanted.items(), start=1):
        segment = await stage.clients.segments.CreateSegment(
            segments_pb2.CreateSegmentRequest(
                parent=PROJECT,
                segment=segments_pb2.Segment(display_name=title, rules=_rules(channel, spend)),
                request_id=f"demo-{key}",
            )
        )
        count = await stage.clients.segments.CountSegment(
            segments_pb2.CountSegmentRequest(parent=PROJECT, segment=segment.name)
        )
        stage.names[key] = segment.name
        stage.figures.setdefault("segments", {})[key] = {"title": title, "members": count.member_count}
        stage.progress(number, len(wanted))
    stage.figures["audience"]["repeat_buyers"] = stage.figures["segments"]["repeat"]["members"]


def _rules(channel: str, spend: float) -> segments_pb2.SegmentRules:
    least = segments_pb2.MetricDimension.OPERATOR_GREATER_THAN_OR_EQUAL
    metrics = {"Orders": segments_pb2.MetricDimension(operator=least, value=REPEAT_ORDERS)}
    if spend:
        metrics["Spend"] = segments_pb2.MetricDimension(operator=least, value=spend)
    only = segments_pb2.SetDimension(operator=segments_pb2.SetDimension.OPERATOR_INCLUSIVE, values=[channel])
    dimensions = segments_pb2.SegmentDimensions(
        metrics=metrics, demographic=segments_pb2.DemographicDimensions(channel=only)
    )
    return segments_pb2.SegmentRules(groups=[segments_pb2.SegmentGroup(dimensions=[dimensions])])
