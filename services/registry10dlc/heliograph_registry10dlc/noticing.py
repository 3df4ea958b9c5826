"""The worker that delivers notices of moves: signed, in the order of the moves of a project, at least once.

A worker takes the turn of one project, delivers what waits from the oldest on, and ends the turn when it fails, when
nothing waits or after a while. A turn is a lease: when its worker dies, another one goes on where it stood and repeats at
most one call. A receiver that drops ids it has seen hears everything once.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from heliograph_channels.destinations import Forbidden
from heliograph_channels.http_client import HttpClient, NoAnswer, NotSent, Pause
from heliograph_channels.signing import SIGNATURE, TIMESTAMP, sign
from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.redelivery import Backoff
from heliograph_kit.secretbox import SecretBox, SecretUnreadable
from heliograph_kit.working import Bell, until_stopped
from heliograph_registry10dlc import notice_store as store
from heliograph_registry10dlc.notice_settings import OWNER, Reach
from heliograph_registry10dlc.notice_store import Notice, Turn

_log = logging.getLogger(__name__)

RETRY = Backoff(timedelta(seconds=1), timedelta(hours=1))
"""Between two attempts, by the failures of a project in a row."""
PATIENCE = timedelta(days=3)
"""How long a notice waits at most; longer ones are given up with the last error."""
KEPT = timedelta(days=30)
"""How long those that were given up are kept for the operator."""
TURN_SECONDS = 20.0
# What may pass between the end of a call and its being written down.
_MARGIN_SECONDS = 20.0
_LARGEST_ANSWER = 64 * 1024
_LONGEST_ERROR = 300


@dataclass(frozen=True)
class Chance:
    """What comes from outside: fresh ids, and a number in [0, 1) that spreads attempts."""

    new_id: Callable[[], str]
    jitter: Callable[[], float]


class Noticing:
    """Delivers notices. Several may work side by side, in one process and in many."""

    def __init__(
        self,
        *,
        database: Database,
        box: SecretBox,
        reach: Reach,
        clock: Clock,
        chance: Chance,
        timeout_seconds: float,
        concurrency: int,
        poll_seconds: float = 1.0,
    ) -> None:
        """Take the parts. All times are real: `clock` is the machine's, since receivers check the age of a signature.

        `timeout_seconds` holds for one call, its answer included; `concurrency` projects are served at once.
        """
        self._database = database
        self._box = box
        self._reach = reach
        self._clock = clock
        self._chance = chance
        self._timeout = timeout_seconds
        self._concurrency = concurrency
        self._poll_seconds = poll_seconds
        self._bell = Bell()
        self._tls = ssl.create_default_context()

    def wake(self) -> None:
        """Look for notices now; call it after the commit that queued them."""
        self._bell.ring()

    async def run(self, stopping: asyncio.Event) -> None:
        """Deliver until `stopping` is set; a call under way is finished first."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._concurrency):
                group.create_task(until_stopped(stopping, self._bell, self._poll_seconds, lambda: self.once(stopping)))
            group.create_task(self._tidy(stopping))

    async def once(self, stopping: asyncio.Event | None = None) -> bool:
        """Take one project's turn; false when none is due."""
        now = self._clock.now()
        async with self._database.transaction() as conn:
            turn = await store.claim(conn, now=now, until=now + self._lease, lease=self._chance.new_id())
        if turn is None:
            return False
        await self._take(turn, stopping)
        return True

    @property
    def _lease(self) -> timedelta:
        return timedelta(seconds=self._timeout + _MARGIN_SECONDS)

    async def _take(self, turn: Turn, stopping: asyncio.Event | None) -> None:
        loop = asyncio.get_running_loop()
        ends = loop.time() + TURN_SECONDS
        client = HttpClient(timeout=self._timeout, connections=1, tls=self._tls, largest_answer=_LARGEST_ANSWER)
        try:
            while loop.time() < ends and not (stopping and stopping.is_set()):
                async with self._database.transaction() as conn:
                    notice = await store.first_waiting(conn, turn.project)
                if notice is None:
                    break
                pause = Pause()
                error = await self._call(client, turn, notice, pause)
                if not await self._write_down(turn, notice, error, pause):
                    return
                turn = replace(turn, failures=0)
        finally:
            await client.close()
        async with self._database.transaction() as conn:
            await store.release(conn, turn, now=self._clock.now())

    async def _call(self, client: HttpClient, turn: Turn, notice: Notice, pause: Pause) -> str:
        """Make one call; return what went wrong, empty when the receiver has it."""
        try:
            secret = str(self._box.open(turn.project, OWNER, turn.secret)["secret"])
        except SecretUnreadable as error:
            return str(error)
        stamp = int(self._clock.now().timestamp())
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": notice.id,
            TIMESTAMP: str(stamp),
            SIGNATURE: sign(secret, stamp, notice.body),
        }
        destination = self._reach.destination(turn.url)
        try:
            answer = await destination.call(client, "POST", content=notice.body, headers=headers, within=self._timeout)
        except (Forbidden, NotSent, NoAnswer) as error:
            return str(error)[:_LONGEST_ERROR]
        if 200 <= answer.status < 300:
            return ""
        pause.note(answer, self._clock.now())
        return f"the call was answered {answer.status}" + (
            " (redirects are not followed)" if 300 <= answer.status < 400 else ""
        )

    async def _write_down(self, turn: Turn, notice: Notice, error: str, pause: Pause) -> bool:
        """Keep what came of a call; false when the turn is over."""
        now = self._clock.now()
        if not error:
            async with self._database.transaction() as conn:
                return await store.delivered(conn, turn, notice, now=now, until=now + self._lease)
        again = max(now + RETRY.delay(turn.failures + 1, self._chance.jitter()), pause.ends(now) or now)
        async with self._database.transaction() as conn:
            given_up = await store.failed(conn, turn, notice, error, now=now, again=again, patience=PATIENCE)
        if given_up:
            _log.error("notices of %s are given up: %s", turn.project, error, extra={"count": given_up})
        else:
            _log.info("a notice of %s will be sent again: %s", turn.project, error)
        return False

    async def _tidy(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            async with self._database.transaction() as conn:
                await store.forget_given_up(conn, self._clock.now() - KEPT)
            try:
                async with asyncio.timeout(3600):
                    await stopping.wait()
            except TimeoutError:
                continue
