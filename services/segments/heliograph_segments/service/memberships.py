"""Announces who enters and leaves the segments in use.

Each segment in use has a row with its last members, the position in the audience log up to which they are true, and the
instant they belong to. A look evaluates what was touched since that position, and who crossed the edge of a window of
activity since that instant; members, position and instant change in the transaction that holds the announcements. So
nothing is announced twice and nothing is lost, whenever a worker dies.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pyroaring import BitMap
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import HeliographError
from heliograph_kit.outbox import Outbox, Outgoing
from heliograph_segments import events
from heliograph_segments.domain.endpoints import endpoint_key
from heliograph_segments.domain.memberships import MAX_IDS, fingerprint, windows
from heliograph_segments.domain.segments import Library, SegmentReference, listed_conditions
from heliograph_segments.domain.uses import reached
from heliograph_segments.service.reading import Question, Reader
from heliograph_segments.service.segments import question_of
from heliograph_segments.store import audience_log, uses
from heliograph_segments.store import memberships as store
from heliograph_segments.store import segments as segment_store
from heliograph_segments.store.audience_log import Position
from heliograph_segments.store.memberships import LeaseLost, Membership

_log = logging.getLogger(__name__)

# How many segments of a project one worker takes at once.
_AT_ONCE = 20
_LOOKS = 50
# How many changes are announced in one transaction: more come in several, so that none is long.
_PIECE = 100 * MAX_IDS
_FORGET_EVERY = 600.0
_LONGEST_TRANSACTION = timedelta(hours=1)


@dataclass(frozen=True)
class Rhythm:
    """How often segments in use are looked at: for changed endpoints, and for what time alone changes; how long a
    segment stands still when its worker dies; how long the log of changes is kept.
    """

    changes: timedelta
    time: timedelta
    lease: timedelta
    retention: timedelta


class MembershipWorker:
    """Looks at the segments in use, one worker a segment."""

    def __init__(self, database: Database, outbox: Outbox, clock: Clock, reader: Reader, rhythm: Rhythm) -> None:
        """Take the record, the announcements, the time, what knows who is in a segment, and the rhythm."""
        self._database = database
        self._outbox = outbox
        self._clock = clock
        self._reader = reader
        self._rhythm = rhythm

    async def run(self, stopping: asyncio.Event) -> None:
        """Look again and again until told to stop."""
        loop = asyncio.get_running_loop()
        forgotten = loop.time()
        while not stopping.is_set():
            async with self._database.transaction() as conn:
                projects = {*await uses.projects(conn), *await store.projects(conn)}
            for project in sorted(projects):
                try:
                    # In several looks, so that leases are short; not for ever, so that other projects have their turn.
                    for _ in range(_LOOKS):
                        if await self.look(project) < _AT_ONCE or stopping.is_set():
                            break
                except Exception:
                    # One project in trouble must not keep the others waiting.
                    _log.exception("the segments in use of project %s could not be looked at", project)
            if loop.time() - forgotten > _FORGET_EVERY:
                async with self._database.transaction() as conn:
                    await store.forget_deleted(conn, _LONGEST_TRANSACTION)
                forgotten = loop.time()
            try:
                await asyncio.wait_for(stopping.wait(), self._rhythm.changes.total_seconds())
            except TimeoutError:
                continue

    async def look(self, project: str) -> int:
        """Announce the changes of some segments in use of a project; safe to repeat.

        Those that somebody else looks at, or did a moment ago, are passed over. Returns how many were looked at.
        """
        async with self._database.transaction() as conn:
            library = await self._in_use(conn, project)
            # A little less than the rhythm: a look that comes a moment early must not be left out.
            taken = await store.lease(conn, project, _AT_ONCE, self._rhythm.lease, self._rhythm.changes * 0.8)
        if not taken:
            return 0
        try:
            await self._look_at(project, library, taken)
        finally:
            async with self._database.transaction() as conn:
                await store.release(conn, taken)
        return len(taken)

    async def _in_use(self, conn: AsyncConnection, project: str) -> Library:
        """Follow what is in use now, and return its rules."""
        named = await uses.named(conn, project)
        library = await uses.library_of(conn, project, named)
        wanted = reached(named, library)
        if wanted != await store.listed(conn, project):
            # Read again under a lock: a worker that read earlier must not end what another has just begun.
            await segment_store.lock_project(conn, project)
            named = await uses.named(conn, project)
            library = await uses.library_of(conn, project, named)
            wanted = reached(named, library)
            await store.follow_only(conn, project, wanted)
        # Sources that are named in an old version only are followed in their latest one all the same.
        missing = [segment_id for segment_id in wanted if SegmentReference(segment_id) not in library]
        return {**library, **await uses.library_of(conn, project, missing)} if missing else library

    async def _look_at(self, project: str, library: Library, taken: Sequence[Membership]) -> None:
        async with self._database.transaction() as conn:
            position = await audience_log.position(conn)
            known = [each.position for each in taken if each.position and self._is_kept(each.position, position)]
            changed = (await audience_log.changed_since(conn, project, min(known)))[0] if known else BitMap()
        for membership in taken:
            try:
                await self._update(membership, library, position, changed)
            except LeaseLost:
                _log.info("segment %s is not followed here any more", membership.segment_id)
            except HeliographError as error:
                # Its sources changed so that nobody can tell who is in it, or who keeps a list is away: the others go
                # on, and the differences follow when it can be evaluated again.
                _log.info("segment %s cannot be evaluated: %s", membership.segment_id, error.message)

    async def _update(self, before: Membership, library: Library, position: Position, changed: BitMap) -> None:
        now, rules = self._clock.now(), library.get(SegmentReference(before.segment_id))
        if rules is None:
            return
        timely = before.as_of is None or abs(now - before.as_of) >= self._rhythm.time
        stale = before.fingerprint != fingerprint(rules, library)
        stale |= before.position is None or not self._is_kept(before.position, position)
        if not (timely or stale or changed):
            return
        async with self._database.transaction() as conn:
            segment = await segment_store.get(conn, before.project, before.segment_id)
            if segment is None:
                return
            question = await question_of(conn, before.project, segment.rules, now, own_id=before.segment_id)
            members = await store.members(conn, before)
        print_now = fingerprint(question.rules, question.library)
        stale |= before.fingerprint != print_now
        if listed_conditions(question.rules, question.library):
            # Lists that are kept elsewhere change without a trace in the log.
            if not (timely or stale):
                return
            stale = True
        after = replace(before, version=segment.version, fingerprint=print_now, position=position)
        if timely or stale:
            after = replace(after, as_of=now)
        if stale:
            found = await self._reader.members(question)
        else:
            within = changed | await self._touched_by_time(question, before.as_of or now) if timely else changed
            found = (members - within) | (await self._reader.members(question, within) if within else BitMap())
        await self._announce(before, after, members, found, now)

    async def _touched_by_time(self, question: Question, then: datetime) -> BitMap:
        """Return who crossed the edge of a window of activity between an instant and now."""
        touched = BitMap()
        first, last = min(then, question.now), max(then, question.now)
        for length in windows(question.rules, question.library):
            touched |= await self._reader.active_between(question.project, first - length, last - length)
        return touched

    async def _announce(
        self, before: Membership, after: Membership, members: BitMap, found: BitMap, now: datetime
    ) -> None:
        """Store the members with the announcements of the difference, a piece a transaction.

        Position, instant and rules move with the last piece: who comes after a crash finds the rest as the difference.
        """
        if before.position is None:
            async with self._database.transaction() as conn:
                await store.store(conn, after, found, self._rhythm.lease)
            return
        different = members ^ found
        while True:
            piece = different[:_PIECE]
            different -= piece
            members = members ^ piece
            entered = piece & found
            sequence = before.sequence + -(-len(piece) // MAX_IDS)
            stored = replace(before if different else after, sequence=sequence)

            async def work(
                conn: AsyncConnection,
                first: int = before.sequence + 1,
                stored: Membership = stored,
                piece: BitMap = piece,
                entered: BitMap = entered,
                members: BitMap = members,
            ) -> None:
                await store.store(conn, stored, members if piece else None, self._rhythm.lease)
                ids = await store.ids_of(conn, after.project, piece)
                if len(ids) < len(piece):
                    _log.error("%d endpoints left segment %s unnamed", len(piece) - len(ids), after.segment_id)
                messages = _messages(after, first, now, ids, entered)
                await self._outbox.add(conn, *messages)

            await self._database.run(work)
            if not different:
                return
            before = stored

    def _is_kept(self, position: Position, now: Position) -> bool:
        """Tell whether the log still holds everything behind a position; one of the future is of another database."""
        return position.transaction_id <= now.transaction_id and now.read_at - position.read_at < self._rhythm.retention


def _messages(
    membership: Membership, first: int, now: datetime, ids: Mapping[int, str], entered: BitMap
) -> Iterator[Outgoing]:
    # Ascending: of an endpoint that was deleted and made anew the old ordinal, which left, comes before the new one.
    ordinals = sorted(ids)
    for number, start in enumerate(range(0, len(ordinals), MAX_IDS)):
        some = ordinals[start : start + MAX_IDS]
        came = {endpoint_key(ids[ordinal]): ids[ordinal] for ordinal in some if ordinal in entered}
        left = {endpoint_key(ids[ordinal]): ids[ordinal] for ordinal in some if ordinal not in entered}
        # Who left and came under the same id has been inside all the time, for everybody who knows only ids.
        both = came.keys() & left.keys()
        if len(came) + len(left) == 2 * len(both):
            continue
        yield events.membership_changed(
            membership.project,
            membership.segment_id,
            membership.version,
            first + number,
            now,
            [endpoint_id for key, endpoint_id in came.items() if key not in both],
            [endpoint_id for key, endpoint_id in left.items() if key not in both],
        )
