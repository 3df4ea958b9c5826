"""Fairness between projects: whoever has little to do never waits behind whoever has much, or is slow."""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict, deque
from collections.abc import Collection
from datetime import timedelta
from typing import Any, Generic, TypeVar

import nats.errors
from nats.aio.msg import Msg

from heliograph_kit.consumer import Consumer, answered, counted, pause
from heliograph_kit.deliveries import Held, read
from heliograph_kit.redelivery import OUTAGE
from heliograph_kit.streams import project_of_subject

T = TypeVar("T")
_AHEAD = 4
_IN_HAND = 64
_AGAIN_SECONDS = 1.0
_LOOK_SECONDS = 0.05
_SCAN_SECONDS = 2.0
_REST_SECONDS = 5.0


class FairQueue(Generic[T]):
    """Work in hand by project, given out in turn; for one event loop.

    At most `share` things of one project are being worked on at the same time, and at most `ahead` of them wait here. Of
    the projects that may be worked on, the one that had its turn longest ago comes next.
    """

    def __init__(self, *, share: int, ahead: int) -> None:
        """Take the bounds.

        Raises:
            ValueError: one of them is below 1.
        """
        if share < 1 or ahead < 1:
            raise ValueError("share and ahead are at least 1")
        self._share = share
        self._ahead = ahead
        # In the order in which projects have their turns.
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()
        self._running: dict[str, int] = {}
        self._changed = asyncio.Condition()
        self._closed = False

    def __len__(self) -> int:
        """Return how much is waiting."""
        return sum(len(queue) for queue in self._waiting.values())

    def waiting(self) -> list[T]:
        """Return everything that waits."""
        return [item for queue in self._waiting.values() for item in queue]

    async def put(self, project: str, item: T) -> bool:
        """Take a thing in; False, and not taken, when enough of its project waits already, or the queue is closed."""
        async with self._changed:
            queue = self._waiting.setdefault(project, deque())
            if self._closed or len(queue) >= self._ahead:
                return False
            queue.append(item)
            self._changed.notify_all()
            return True

    async def take(self) -> tuple[str, T] | None:
        """Return the next thing and its project, for which `done` must follow; waits for one. None: closed."""
        async with self._changed:
            while True:
                project = self._next()
                if project is not None:
                    queue = self._waiting[project]
                    item = queue.popleft()
                    self._waiting.move_to_end(project)
                    if not queue:
                        del self._waiting[project]
                    self._running[project] = self._running.get(project, 0) + 1
                    self._changed.notify_all()
                    return project, item
                if self._closed:
                    return None
                await self._changed.wait()

    async def done(self, project: str) -> None:
        """Say that a thing of a project is worked off."""
        async with self._changed:
            self._running[project] -= 1
            if not self._running[project]:
                del self._running[project]
            self._changed.notify_all()

    def space(self, project: str) -> int:
        """Return how much more of a project may wait."""
        return self._ahead - len(self._waiting.get(project, ()))

    def count(self, project: str) -> int:
        """Return how much of a project waits or is worked on."""
        return len(self._waiting.get(project, ())) + self._running.get(project, 0)

    async def space_for(self, projects: Collection[str]) -> None:
        """Wait until more of one of these projects may wait, or the queue is closed."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or any(self.space(one) > 0 for one in projects))

    async def room(self, most: int) -> None:
        """Wait until fewer than `most` things wait, or the queue is closed."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or len(self) < most)

    async def close(self) -> list[T]:
        """Give out nothing more, and return what waits."""
        async with self._changed:
            self._closed = True
            left = self.waiting()
            self._waiting.clear()
            self._changed.notify_all()
            return left

    def _next(self) -> str | None:
        return next((one for one in self._waiting if self._running.get(one, 0) < self._share), None)


class FairConsumer(Consumer):
    """A consumer whose deliveries are handled one at a time, project by project in turn.

    A project whose handler is slow holds `share` of the calls and no more. What a project has too much of here goes back to
    the broker for a second, and from then on only as much is pulled as it has space for: a backlog must not travel again
    and again. While the stream holds messages of projects that have nothing here, everything is pulled, so that one with one
    message is found behind one with a thousand; when that finds nobody, as others work on them, it rests for a while.
    """

    def __init__(self, *arguments: Any, share: int, **more: Any) -> None:
        """Take what `Consumer` takes, and how many calls one project may have at the same time in this process.

        Raises:
            ValueError: the share is below 1.
        """
        super().__init__(*arguments, batch=1, **more)
        self._share = share
        self._in_hand: FairQueue[Msg] = FairQueue(share=share, ahead=_AHEAD)
        # Projects of which more is at the broker than may wait here, and when somebody is looked for behind them.
        self._crowded: set[str] = set()
        self._scan_until = self._look_at = 0.0
        self._rest = _LOOK_SECONDS

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until told to stop: what waits goes back to the broker then, what is in hand is finished."""
        await self._declared(stopping)
        self._in_hand = FairQueue(share=self._share, ahead=_AHEAD)
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(self._serve(stopping)) for _ in range(self._concurrency)]
            beating = group.create_task(self._keep_waiting())
            try:
                await self._pull(stopping)
            finally:
                for message in await self._in_hand.close():
                    await self._later(self._held(message), timedelta())
            await asyncio.wait(workers)
            beating.cancel()

    async def _pull(self, stopping: asyncio.Event) -> None:
        async for messages in self._incoming(stopping, self._wanted):
            for message in messages:
                held = self._held(message)
                project = held.delivery.project
                if not await self._in_hand.put(project, message):
                    self._crowded.add(project)
                    counted(self._excused, held.delivery.id)
                    await self._later(held, timedelta(seconds=_AGAIN_SECONDS * (0.5 + random.random())))  # noqa: S311
                elif project not in self._crowded:
                    self._scan_until, self._look_at, self._rest = 0.0, 0.0, _LOOK_SECONDS
            ready = asyncio.create_task(self._ready())
            stop = asyncio.create_task(stopping.wait())
            await asyncio.wait((ready, stop), return_when=asyncio.FIRST_COMPLETED)
            for task in (ready, stop):
                task.cancel()
            await asyncio.gather(ready, stop, return_exceptions=True)

    def _wanted(self) -> int:
        room = _IN_HAND - len(self._in_hand)
        if self._crowded and time.monotonic() >= self._scan_until:
            room = min(room, sum(self._in_hand.space(project) for project in self._crowded))
        return max(1, room)

    async def _ready(self) -> None:
        """Wait until pulling brings something: a crowded project has space, or somebody is hidden behind it."""
        await self._in_hand.room(_IN_HAND)
        self._crowded = {project for project in self._crowded if self._in_hand.space(project) < _AHEAD}
        while self._crowded and (now := time.monotonic()) >= self._scan_until:
            if now >= self._look_at:
                self._look_at = now + _LOOK_SECONDS
                if await self._somebody_is_hidden():
                    self._scan_until = now + _SCAN_SECONDS
                    self._look_at = self._scan_until + self._rest
                    self._rest = min(2 * self._rest, _REST_SECONDS)
                    return
            try:
                async with asyncio.timeout(max(0.0, self._look_at - time.monotonic())):
                    await self._in_hand.space_for(self._crowded)
                return
            except TimeoutError:
                continue

    async def _somebody_is_hidden(self) -> bool:
        """Tell whether the stream holds more of a project that is not crowded than is in hand here."""
        try:
            for subject in self.subjects:
                info = await self._bus.jetstream.stream_info(self.stream, subjects_filter=subject)
                counts = {project_of_subject(name): count for name, count in (info.state.subjects or {}).items()}
                if any(count > self._in_hand.count(one) for one, count in counts.items() if one not in self._crowded):
                    return True
        except (TimeoutError, nats.errors.Error):
            return True  # nobody knows; pulling finds out
        return False

    async def _serve(self, stopping: asyncio.Event) -> None:
        troubles = 0
        while (taken := await self._in_hand.take()) is not None:
            project, message = taken
            try:
                troubles = troubles + 1 if await self._handle([message]) else 0
            finally:
                await self._in_hand.done(project)
            if troubles:
                await pause(OUTAGE.delay(troubles, random.random()), stopping)  # noqa: S311

    async def _keep_waiting(self) -> None:
        """Tell the broker that what waits here is not lost."""
        while True:
            await asyncio.sleep(self._ack_wait.total_seconds() / 3)
            for message in self._in_hand.waiting():
                if not message.is_acked:
                    await answered(message.in_progress())

    def _held(self, message: Msg) -> Held:
        return Held(message, read(message, self.stream, self._excused))
