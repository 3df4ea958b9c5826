"""Who did something, as analytics tells: the lists that decide behaviour criteria."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import grpc
from pyroaring import BitMap

from heliograph.analytics.v1 import behavior_pb2, behavior_pb2_grpc
from heliograph_kit.database import Database
from heliograph_kit.deadline import without_deadline
from heliograph_kit.instants import timestamp
from heliograph_kit.rpc.refusals import refusal_of
from heliograph_segments.domain.segments import BehaviorDimension, Listed
from heliograph_segments.service.behavior_messages import write_behavior
from heliograph_segments.store import audience

# A marketer who types asks for the same behaviour again and again; events are not that quick to be recorded.
BELIEVED = timedelta(seconds=3)
_STREAM_SECONDS = 120.0


@dataclass(frozen=True)
class _Answer:
    """Who did something, or will be when the task is done."""

    task: asyncio.Task[BitMap]
    as_of: datetime
    until: float

    def serves(self, now: datetime, clock: float) -> bool:
        """Tell whether the answer holds for a question of now."""
        failed = self.task.done() and (self.task.cancelled() or self.task.exception() is not None)
        return not failed and clock < self.until and abs(now - self.as_of) <= BELIEVED


class Behaviors:
    """Asks analytics. An answer is believed for a moment, and questions that are being asked are not asked twice."""

    def __init__(
        self, database: Database, analytics: grpc.aio.Channel, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Take the record, which knows the ordinals, and the channel to analytics."""
        self._database = database
        self._stub: behavior_pb2_grpc.BehaviorServiceAsyncStub = behavior_pb2_grpc.BehaviorServiceStub(analytics)
        self._monotonic = monotonic
        self._answers: dict[tuple[str, BehaviorDimension], _Answer] = {}

    async def close(self) -> None:
        """Stop asking."""
        tasks = [answer.task for answer in self._answers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def find(
        self, project: str, behaviors: Sequence[BehaviorDimension], now: datetime
    ) -> Mapping[Listed, BitMap]:
        """Return the ordinals of those who did each of them, whether it is negated or not; windows end now.

        Raises:
            Unavailable: analytics is away.
        """
        tasks = [self._task(project, behavior, now) for behavior in behaviors]
        # Shielded: whoever stops waiting does not take the answer from the others.
        found = await asyncio.gather(*map(asyncio.shield, tasks))
        return dict(zip(behaviors, found, strict=True))

    def _task(self, project: str, behavior: BehaviorDimension, now: datetime) -> asyncio.Task[BitMap]:
        clock = self._monotonic()
        self._answers = {
            key: answer for key, answer in self._answers.items() if clock < answer.until or not answer.task.done()
        }
        known = self._answers.get((project, behavior))
        if known is not None and known.serves(now, clock):
            return known.task
        # Not on the deadline of whoever happens to ask first.
        task = asyncio.get_running_loop().create_task(self._ask(project, behavior, now), context=without_deadline())
        task.add_done_callback(_look_at)
        self._answers[project, behavior] = _Answer(task, now, clock + BELIEVED.total_seconds())
        return task

    async def _ask(self, project: str, behavior: BehaviorDimension, now: datetime) -> BitMap:
        request = behavior_pb2.StreamActorsRequest(
            parent=f"projects/{project}", behavior=write_behavior(behavior), as_of_time=timestamp(now)
        )
        found = BitMap()
        try:
            async for page in self._stub.StreamActors(request, timeout=_STREAM_SECONDS):
                # Events may name anything; what the record cannot keep is nobody's id.
                keys = [key for key in page.endpoint_ids if "\x00" not in key]
                async with self._database.transaction() as conn:
                    found |= BitMap((await audience.ordinals_of(conn, project, keys)).values())
        except grpc.aio.AioRpcError as error:
            # In our own words: workers go on with what needs no analytics, and know a refusal from a fault by its type.
            away = refusal_of(error)
            if away is None:
                raise
            raise away from error
        return found


def _look_at(task: asyncio.Task[BitMap]) -> None:
    """Take note of a failure that nobody waits for any more."""
    if not task.cancelled():
        task.exception()
