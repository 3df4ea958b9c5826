"""Chapter five: what analytics says, from events alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from heliograph.analytics.v1 import analytics_pb2
from heliograph_kit.instants import timestamp
from heliograph_suite.demo.stage import PROJECT, Stage, until

PERIOD = timedelta(days=560)
# Shown name -> (which campaign or journey of the story, name of the key figure)
_KPIS = {
    "campaign messages targeted": ("email_campaign", "messages-targeted"),
    "campaign messages accepted": ("email_campaign", "messages-sent"),
    "journey messages accepted": ("journey_name", "messages-sent"),
    "journey delivery rate": ("journey_name", "messages-delivery-rate"),
    "journey open rate": ("journey_name", "messages-open-rate"),
}


async def ask(stage: Stage) -> None:
    """Wait until the recorder has everything, and ask for the figures."""
    analytics = stage.clients.analytics
    steps = len(_KPIS) + 3

    async def settled() -> analytics_pb2.IngestStatus | None:
        status = await analytics.GetIngestStatus(analytics_pb2.GetIngestStatusRequest(parent=PROJECT))
        return status if status.backlog_count == 0 else None

    await until("the recorder to store every event", settled, within=60)
    kpis: dict[str, float] = {}
    now = datetime.now(UTC)
    counted = await analytics.CountEvents(
        analytics_pb2.CountEventsRequest(
            parent=PROJECT,
            event_types=["purchase"],
            start_time=timestamp(now - PERIOD),
            end_time=timestamp(now),
            metric="amount",
        )
    )
    purchases = counted.rows[0]
    stage.figures["audience"]["users"] = purchases.user_count
    kpis["purchases"] = purchases.event_count
    kpis["buyers"] = purchases.endpoint_count
    kpis["revenue, dollars"] = round(purchases.metric.sum, 2)
    kpis["average purchase, dollars"] = round(purchases.metric.average, 2)
    stage.progress(1, steps)
    actives = await analytics.DailyActives(
        analytics_pb2.DailyActivesRequest(parent=PROJECT, start_time=timestamp(now - PERIOD), end_time=timestamp(now))
    )
    busiest = max(actives.days, key=lambda day: day.user_count)
    kpis[f"active users on the busiest day, {busiest.date}"] = busiest.user_count
    stage.progress(2, steps)
    for number, (shown, (parent, name)) in enumerate(_KPIS.items(), start=3):
        answer = await analytics.GetKpi(analytics_pb2.GetKpiRequest(parent=stage.names[parent], kpi=name))
        kpis[shown] = _plain(answer.rows[0].values[0].value) if answer.rows else 0
        stage.progress(number, steps)
    stage.figures["kpis"] = kpis


def source_of(shown: str) -> str:
    """Return which call gave a figure, by the name it is shown under."""
    if shown in _KPIS:
        return f"GetKpi {_KPIS[shown][1]}"
    return "DailyActives" if shown.startswith("active users") else "CountEvents purchase"


def _plain(value: float) -> float:
    return int(value) if value.is_integer() else round(value, 4)
