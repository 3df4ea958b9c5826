"""Chapter three: a journey of days, with the clock hurried: a message, a look whether it was opened, a second one."""

from __future__ import annotations

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from heliograph.journeys.v1 import journeys_pb2
from heliograph.messaging.v1 import events_pb2
from heliograph_suite.demo.campaign import use_channel
from heliograph_suite.demo.stage import PROJECT, Stage, until

EVALUATION = timedelta(days=3)
WAIT = timedelta(days=1)
HOLDOUT_PERCENT = 10
_OVER = (journeys_pb2.Journey.STATE_COMPLETED, journeys_pb2.Journey.STATE_CANCELLED)


async def travel(stage: Stage) -> None:
    """Publish the journey and wait until everybody has left it.

    Its e-mail goes through the simulator, which opens 40 % of what it delivers; real mailboxes do not tell so soon.
    """
    await use_channel(
        stage,
        "EMAIL",
        "simulator",
        {"seed": "demo", "opened_share": 0.4, "bounced_share": 0.01, "delivered_share": 0.99, "opened_delay": 0.2},
    )
    journey = await stage.clients.journeys.CreateJourney(
        journeys_pb2.CreateJourneyRequest(
            parent=PROJECT,
            journey=journeys_pb2.Journey(
                display_name="best-customers",
                activities=_activities(),
                start_activity="holdout",
                start_condition=journeys_pb2.StartCondition(
                    segment=journeys_pb2.SegmentStart(segment=stage.names["journey"])
                ),
            ),
            request_id="demo",
        )
    )
    stage.names["journey_name"] = journey.name
    await stage.clients.journeys.PublishJourney(journeys_pb2.PublishJourneyRequest(name=journey.name))
    members = stage.figures["segments"]["journey"]["members"]

    async def over() -> journeys_pb2.RunMetrics | None:
        runs = (await stage.clients.journeys.ListRuns(journeys_pb2.ListRunsRequest(parent=journey.name))).runs
        if not runs:
            return None
        metrics = await stage.clients.journeys.GetRunMetrics(journeys_pb2.GetRunMetricsRequest(run=runs[0].name))
        left = metrics.completed_count + sum(metrics.exited_counts.values())
        stage.progress(sum(step.arrived_count for step in metrics.steps) / 5 + left / 5, members)
        seen = await stage.clients.journeys.GetJourney(journeys_pb2.GetJourneyRequest(name=journey.name))
        return metrics if seen.state in _OVER else None

    metrics = await until("everybody to leave the journey", over, within=90)
    stage.figures["journey"] = {
        "entered": metrics.entered_count,
        "active": metrics.active_count,
        "completed": metrics.completed_count,
        "exited": dict(metrics.exited_counts),
        "steps": [
            {
                "activity": step.activity_id,
                "type": step.activity_type,
                "arrived": step.arrived_count,
                "waiting": step.waiting_count,
                "left": dict(step.left_counts),
            }
            for step in metrics.steps
        ],
    }


def _activities() -> dict[str, journeys_pb2.Activity]:
    opened = journeys_pb2.Condition(
        message_event=journeys_pb2.MessageEventCondition(
            message_activity="welcome", event=events_pb2.MESSAGE_EVENT_TYPE_OPENED
        )
    )
    return {
        "holdout": journeys_pb2.Activity(
            holdout=journeys_pb2.Holdout(percentage=HOLDOUT_PERCENT, next_activity="welcome")
        ),
        "welcome": journeys_pb2.Activity(
            message=journeys_pb2.MessageActivity(
                channel="EMAIL", template=f"{PROJECT}/templates/news-plain", next_activity="opened"
            )
        ),
        "opened": journeys_pb2.Activity(
            conditional_split=journeys_pb2.ConditionalSplit(
                conditions=[opened],
                evaluation_wait_for=_duration(EVALUATION),
                true_activity="pause",
                false_activity="reminder",
            )
        ),
        "pause": journeys_pb2.Activity(
            wait=journeys_pb2.WaitActivity(wait_for=_duration(WAIT), next_activity="thanks")
        ),
        "thanks": journeys_pb2.Activity(
            message=journeys_pb2.MessageActivity(channel="EMAIL", template=f"{PROJECT}/templates/news-personal")
        ),
        "reminder": journeys_pb2.Activity(
            message=journeys_pb2.MessageActivity(channel="EMAIL", template=f"{PROJECT}/templates/news-personal")
        ),
    }


def _duration(value: timedelta) -> Duration:
    written = Duration()
    written.FromTimedelta(value)
    return written
