"""Caps and quiet time at the door, as the batch carries them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph.messaging.v1 import dispatch_pb2
from heliograph_messaging.domain.caps import MAX_CAPS, MAX_LIMIT, MAX_WINDOW, Cap, Scope, passed
from heliograph_messaging.domain.quiet import NoClockTime, QuietTime, clock_time
from heliograph_messaging.pipeline.door import Passing, Refusal
from heliograph_messaging.pipeline.page import BadPage
from heliograph_messaging.store.touches import TouchStore

_TRANSACTIONAL = dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL
_JOURNEY = dispatch_pb2.MESSAGE_CLASS_JOURNEY
_SCOPES = {
    dispatch_pb2.CAP_SCOPE_SOURCE: Scope.SOURCE,
    dispatch_pb2.CAP_SCOPE_PROJECT: Scope.PROJECT,
    dispatch_pb2.CAP_SCOPE_JOURNEYS: Scope.JOURNEYS,
}


@dataclass(frozen=True)
class Policy:
    """What a batch wants to be checked."""

    caps: tuple[Cap, ...]
    quiet_time: QuietTime | None


def policy_of(batch: dispatch_pb2.DispatchBatch) -> Policy:
    """Read the policy of a batch.

    Raises:
        BadPage: a cap or a time of day is none.
    """
    policy = batch.policy
    if len(policy.caps) > MAX_CAPS:
        raise BadPage(f"a batch carries at most {MAX_CAPS} caps, not {len(policy.caps)}")
    caps = tuple(_cap(cap) for cap in policy.caps)
    if caps and len(batch.recipients.ordinals) != len(batch.recipients.addresses):
        raise BadPage("caps need the ordinals of the recipients")
    if not policy.HasField("quiet_time"):
        return Policy(caps, None)
    if len(batch.recipients.time_zones) not in (0, len(batch.recipients.addresses)):
        raise BadPage("quiet time needs the time zone of each recipient")
    try:
        quiet = QuietTime(clock_time(policy.quiet_time.start), clock_time(policy.quiet_time.end))
    except NoClockTime as error:
        raise BadPage(f"quiet_time {error}") from error
    return Policy(caps, quiet)


def _cap(cap: dispatch_pb2.Cap) -> Cap:
    window = cap.window.ToTimedelta() if cap.HasField("window") else None
    scope = _SCOPES.get(cap.scope)
    if scope is None or not 1 <= cap.limit <= MAX_LIMIT:
        raise BadPage(f"a cap needs a scope and a limit of 1 to {MAX_LIMIT}")
    if window is None and scope is not Scope.SOURCE:
        raise BadPage("a cap without window counts one source only")
    if window is not None and not 1 <= window.total_seconds() <= MAX_WINDOW.total_seconds():
        raise BadPage(f"the window of a cap is 1 second to {MAX_WINDOW.days} days")
    return Cap(scope, cap.limit, window)


class CapCheck:
    """Refuses who was the target of enough messages, and counts the others as targets."""

    def __init__(self, store: TouchStore) -> None:
        """Take where it is counted."""
        self._store = store

    async def refuse(self, conn: AsyncConnection, passing: Passing) -> Mapping[int, Refusal]:
        """Decide and count in one go; once only, when messages are claimed."""
        batch = passing.batch
        ordinals = batch.recipients.ordinals
        if not passing.first or batch.message_class == _TRANSACTIONAL or not ordinals:
            return {}
        caps = policy_of(batch).caps
        if not await self._store.counted(conn, passing.project, begin=bool(caps)):
            return {}
        journey = batch.message_class == _JOURNEY
        touched = await self._store.lock(
            conn, passing.project, batch.source.name, [ordinals[row.position] for row in passing.rows]
        )
        refused: dict[int, Refusal] = {}
        targets = set()
        for row in passing.rows:
            ordinal = ordinals[row.position]
            cap = passed(caps, touched[ordinal], passing.now)
            if cap is None:
                targets.add(ordinal)
            else:
                refused[row.position] = Refusal(cap.reason(journey=journey), f"the cap is {cap.limit}")
        if targets:
            await self._store.note(
                conn, passing.project, batch.source.name, sorted(targets), journey=journey, now=passing.now
            )
        return refused


class QuietCheck:
    """Refuses who is in quiet time in this moment."""

    async def refuse(self, conn: AsyncConnection, passing: Passing) -> Mapping[int, Refusal]:
        """Decide by the zone of each recipient; every zone is looked at once."""
        if not passing.batch.policy.HasField("quiet_time"):
            return {}
        quiet = policy_of(passing.batch).quiet_time
        zones = passing.batch.recipients.time_zones
        if quiet is None or not zones:
            return {}
        held: dict[str, bool] = {}
        refused: dict[int, Refusal] = {}
        for row in passing.rows:
            zone = zones[row.position]
            if zone not in held:
                held[zone] = quiet.holds(zone, passing.now)
            if held[zone]:
                refused[row.position] = Refusal("QUIET_TIME", f"it is quiet time in {zone}")
        return refused
