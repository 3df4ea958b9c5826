"""The service as a process, killed in the middle of everything."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
from sqlalchemy import text

from heliograph.journeys.v1 import journeys_pb2 as pb
from heliograph.journeys.v1 import journeys_pb2_grpc
from heliograph.messaging.v1 import events_pb2
from heliograph_kit.auth import InternalTokens
from heliograph_kit.database import Database
from heliograph_kit.embedded import free_port
from heliograph_kit.rpc import channel
from heliograph_kit.testing import ServiceProcess, eventually
from heliograph_kit.testing.fixtures import INTERNAL_SECRET
from tests.journeys.builders import SEGMENT, TEMPLATE
from tests.journeys.conftest import Mailroom, metrics_of
from tests.journeys.peer import Peer

PEOPLE = 20_000
# An hour is less than four seconds.
RATE = 1_000


def the_journey() -> pb.Journey:
    """Two e-mails on either side of a random split, with a wait and a question about the first one."""
    journey = pb.Journey(display_name="Long", start_activity="keep")
    journey.start_condition.segment.segment = SEGMENT
    journey.activities["keep"].holdout.percentage = 10
    journey.activities["keep"].holdout.next_activity = "hello"
    journey.activities["hello"].message.channel = "EMAIL"
    journey.activities["hello"].message.template = TEMPLATE
    journey.activities["hello"].message.next_activity = "pause"
    journey.activities["pause"].wait.wait_for.FromTimedelta(timedelta(minutes=30))
    journey.activities["pause"].wait.next_activity = "opened"
    split = journey.activities["opened"].conditional_split
    split.conditions.add().message_event.message_activity = "hello"
    split.conditions[0].message_event.event = events_pb2.MESSAGE_EVENT_TYPE_OPENED
    split.evaluation_wait_for.FromTimedelta(timedelta(minutes=30))
    split.true_activity, split.false_activity = "coin", "again"
    coin = journey.activities["coin"].random_split
    coin.branches.add(percentage=50, next_activity="again")
    coin.branches.add(percentage=50)
    journey.activities["again"].message.channel = "EMAIL"
    journey.activities["again"].message.template = TEMPLATE
    return journey


async def test_everybody_takes_each_step_once_whatever_is_killed(
    values: dict[str, Any], peer: Peer, mailroom: Mailroom, tmp_path: Path
) -> None:
    """SIGKILL while people enter, while messages are handed over, and while they leave the wait."""
    peer.segments[SEGMENT] = [f"e{i:05d}" for i in range(PEOPLE)]
    process = ServiceProcess(
        "heliograph_journeys.main",
        service="journeys",
        directory=tmp_path,
        port=free_port(),
        environment={
            f"HELIOGRAPH_{name.upper()}": str(value)
            for name, value in (values | {"lease_seconds": 1, "claim_size": 1_000, "page_size": 500}).items()
            if name
            in {"database_url", "nats_url", "internal_secret", "peer_segments", "peer_messaging", "peer_projects"}
        }
        | {
            "HELIOGRAPH_JOURNEYS_LEASE_SECONDS": "1",
            "HELIOGRAPH_JOURNEYS_CLAIM_SIZE": "1000",
            "HELIOGRAPH_JOURNEYS_PAGE_SIZE": "500",
            "HELIOGRAPH_JOURNEYS_POLL_SECONDS": "0.05",
            "HELIOGRAPH_JOURNEYS_PUBLISH_DELAY_SECONDS": "0",
            "HELIOGRAPH_CLOCK_RATE": str(RATE),
            "HELIOGRAPH_CLOCK_ORIGIN": datetime.now(UTC).isoformat(),
        },
    )
    database = Database(values["database_url"], application_name="tests", pool_size=2)
    try:
        await asyncio.to_thread(lambda: process.start().ready(60))
        async with channel(process.address, tokens=InternalTokens(INTERNAL_SECRET)) as opened:
            stub = journeys_pb2_grpc.JourneyServiceStub(opened)
            journey = await stub.CreateJourney(pb.CreateJourneyRequest(parent="projects/shop", journey=the_journey()))
            await stub.PublishJourney(pb.PublishJourneyRequest(name=journey.name))
            run = (await stub.ListRuns(pb.ListRunsRequest(parent=journey.name))).runs[0].name

            interrupted: list[bool] = []

            async def kill_when(activity: str | None, share: int) -> None:

                async def there() -> bool:
                    return (await _left(database))[activity] >= PEOPLE // share

                await eventually(there, within=60, every=0.01)
                await asyncio.to_thread(process.kill)
                left = await _left(database)
                before = {None: PEOPLE, "hello": left["keep"], "pause": left["hello"]}[activity]
                interrupted.append(left[activity] < before)
                await asyncio.to_thread(lambda: process.start().ready(60))

            await kill_when(None, 4)
            await kill_when("hello", 3)
            people = await eventually(lambda: mailroom.sent("hello"))
            await mailroom.tell(run, "hello", "OPENED", people[::2][:400])
            await kill_when("pause", 4)

            async def over() -> pb.RunMetrics | None:
                try:
                    found = await metrics_of(stub, run)
                except grpc.aio.AioRpcError:
                    return None
                return found if found.entered_count == PEOPLE and not found.active_count else None

            metrics = await eventually(over, within=60, every=0.2)
            assert metrics is not None
            await eventually(lambda: len(mailroom.sent("again")) >= _arrived(metrics, "again"), within=60)
        assert len(interrupted) == 3
        # A quick machine may be done with a step before the signal comes; the entry is never that quick.
        assert interrupted[0]
        await _nobody_moved_twice(database)
        sent = Counter(id_ for batch in _once(mailroom) for id_ in _keys(batch))
        assert set(sent.values()) == {1}
        assert len(sent) == _arrived(metrics, "hello") + _arrived(metrics, "again")
        assert len(set(peer.freezes)) == 1
    finally:
        process.kill()
        await database.close()


def _once(mailroom: Mailroom) -> list[Any]:
    """Each batch once; the bus may bring one twice, and then it must be the same."""
    batches: dict[str, Any] = {}
    for batch in mailroom.batches:
        assert batches.setdefault(batch.batch_id, batch) == batch
    return list(batches.values())


def _keys(batch: Any) -> list[tuple[str, str]]:
    return [(batch.source.activity_id, id_) for id_ in batch.recipients.endpoint_ids]


def _arrived(metrics: pb.RunMetrics, activity_id: str) -> int:
    return next(step.arrived_count for step in metrics.steps if step.activity_id == activity_id)


async def _left(database: Database) -> Counter[str | None]:
    """Return how many left each activity so far; None: entered."""
    # In the order of `in_order`: what each number means is fixed by the journey above.
    names = ["keep", "hello", "pause", "opened", "coin", "again"]
    async with database.transaction() as conn:
        rows = await conn.execute(text("SELECT from_step, sum(count) AS total FROM journeys.moves GROUP BY from_step"))
        return Counter({None if row[0] is None else names[row[0]]: int(row[1]) for row in rows})


async def _nobody_moved_twice(database: Database) -> None:
    """Hold the history to the participants: everybody once at each step, and where the last move led."""
    async with database.transaction() as conn:
        moves = (await conn.execute(text("SELECT from_step, to_step, exit_reason, ordinals FROM journeys.moves"))).all()
        rows = await conn.execute(text("SELECT ordinal, step, state, exit_reason FROM journeys.participants"))
        participants = {row.ordinal: (row.step, row.state, row.exit_reason) for row in rows}
    assert len(participants) == PEOPLE
    taken = Counter((move.from_step, ordinal) for move in moves for ordinal in move.ordinals)
    assert set(taken.values()) == {1}
    ended = {
        ordinal: (move.from_step, "EXITED" if move.exit_reason else "COMPLETED", move.exit_reason)
        for move in moves
        if move.to_step is None
        for ordinal in move.ordinals
    }
    assert ended == participants
