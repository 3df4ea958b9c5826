"""The one way in which endpoints are written, whoever asks: requests, streams, imports and events.

A write holds all rules of pinpoint-1 section 2 or does nothing: names of the project, users' places, one active
endpoint per address, sizes. What cannot be known before it is done (sizes, places) is done and taken back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit.clock import Clock
from heliograph_segments.domain.belonging import Held, give_addresses, settle
from heliograph_segments.domain.endpoints import MAX_BYTES, EndpointUpdate, endpoint_key, fold, fold_users
from heliograph_segments.domain.problems import Problem
from heliograph_segments.domain.vocabulary import admit
from heliograph_segments.store import audience_log, users
from heliograph_segments.store import endpoints as store
from heliograph_segments.store import vocabulary as names
from heliograph_segments.store.endpoints import Written

# From here on COPY beats statements with arrays.
BULK = 200


@dataclass(frozen=True)
class Limits:
    """How many endpoints a user may have, and how many attribute names a project."""

    user_endpoints: int = 15
    attribute_names: int = 250


class Refused(Exception):
    """The record does not take these updates: problems by place. The transaction, or a savepoint, must be taken back."""

    def __init__(self, problems: Mapping[int, Sequence[Problem]]) -> None:
        """Take what is wrong."""
        super().__init__(f"{len(problems)} updates are refused")
        self.problems = problems


class EndpointWriter:
    """Writes endpoints in a transaction of the caller."""

    def __init__(self, clock: Clock, limits: Limits) -> None:
        """Take the time and the limits."""
        self._clock = clock
        self._limits = limits

    async def write(
        self, conn: AsyncConnection, project: str, updates: Sequence[EndpointUpdate], *, bulk: bool
    ) -> Written:
        """Apply updates that are well-formed in their order; `bulk` copies, which pays from some hundred on.

        Raises:
            Refused: with the updates that cannot be written; the others would have been.
            Race: another writer was first; nothing of the transaction holds.
        """
        existing = await store.lock(conn, project, fold(updates))
        if not existing:
            await names.begin(conn)
        captured = await self._named(conn, project, updates)
        owned = _with_users(captured, existing)
        folded, deactivated = give_addresses(fold(owned), existing)
        touched = list(await store.deactivate(conn, project, deactivated))
        written = await store.write(conn, project, folded, existing, self._clock.now(), bulk=bulk)
        changes = fold_users(owned)
        sizes, changed = await users.write(conn, project, changes)
        touched += await users.ordinals_of(conn, project, changed)
        large = {user for user, size in sizes.items() if size > MAX_BYTES}
        _check_sizes(owned, set(written.oversized), large)
        touched += await self._make_room(conn, project, owned, _gained(folded, existing))
        await audience_log.note(conn, project, [*written.ordinals, *touched])
        return written

    async def write_some(
        self, conn: AsyncConnection, project: str, updates: Sequence[EndpointUpdate], *, bulk: bool
    ) -> tuple[Written, Mapping[int, Sequence[Problem]]]:
        """Apply those updates that can be written, in their order; return with it what is wrong with the others, by place.

        Endpoints of which something is refused are written behind the others, update by update, but all such endpoints at
        once: a piece that is refused as a whole costs two attempts and not one for each row.

        Raises:
            Race: another writer was first; nothing of the transaction holds.
        """
        keys = [endpoint_key(update.endpoint_id) for update in updates]
        places: Sequence[int] = range(len(updates))
        parts: list[Written] = []
        problems: dict[int, Sequence[Problem]] = {}
        apart: dict[str, list[int]] = {}
        while places:
            written, refused = await self._try(conn, project, updates, places, bulk=bulk)
            if written:
                parts.append(written)
                break
            unwelcome = {keys[place] for place in refused}
            for place in places:
                if keys[place] in unwelcome:
                    apart.setdefault(keys[place], []).append(place)
            places = [place for place in places if keys[place] not in unwelcome]
        while apart:
            # One update of each: whose problem it is can be told now.
            places = sorted(waiting.pop(0) for waiting in apart.values())
            apart = {key: waiting for key, waiting in apart.items() if waiting}
            while places:
                written, refused = await self._try(conn, project, updates, places, bulk=bulk)
                if written:
                    parts.append(written)
                    break
                problems |= refused
                places = [place for place in places if place not in refused]
        created, updated = sum(part.created for part in parts), sum(part.updated for part in parts)
        return Written(created, updated, [ordinal for part in parts for ordinal in part.ordinals]), problems

    async def _try(
        self,
        conn: AsyncConnection,
        project: str,
        updates: Sequence[EndpointUpdate],
        places: Sequence[int],
        *,
        bulk: bool,
    ) -> tuple[Written | None, dict[int, Sequence[Problem]]]:
        """Write the updates of some places, or nothing: then what is wrong with some of them."""
        try:
            async with conn.begin_nested():
                return await self.write(conn, project, [updates[place] for place in places], bulk=bulk), {}
        except Refused as refused:
            return None, {places[place]: found for place, found in refused.problems.items()}

    async def _named(
        self, conn: AsyncConnection, project: str, updates: Sequence[EndpointUpdate]
    ) -> Sequence[EndpointUpdate]:
        """Drop what is not captured, and take up new names."""
        vocabulary = await names.look(conn, project)
        captured = vocabulary.captured(updates)
        if vocabulary.knows(captured):
            return captured
        vocabulary = await names.own(conn, project)
        captured = vocabulary.captured(updates)
        wider, refused = admit(captured, vocabulary, self._limits.attribute_names)
        if refused:
            raise Refused({place: [problem] for place, problem in refused.items()})
        if wider.count > vocabulary.count:
            await names.store(conn, project, wider)
        return captured

    async def _make_room(
        self,
        conn: AsyncConnection,
        project: str,
        updates: Sequence[EndpointUpdate],
        gained: Mapping[str, Sequence[str]],
    ) -> Sequence[int]:
        """Let old push endpoints of users with too many go, who are locked; return the ordinals of those."""
        if not gained:
            return ()
        limit = self._limits.user_endpoints
        evicted: list[str] = []
        refused: set[str] = set()
        for user, owned in (await users.crowded(conn, project, list(gained), limit)).items():
            leaving, unwelcome = settle(owned, gained[user], limit)
            evicted += leaving
            refused.update(unwelcome)
        words = f"the user may have {limit} endpoints; delete some first"
        _refuse_keys(updates, refused, Problem("user.user_id", "TOO_MANY_ENDPOINTS", words))
        return await users.evict(conn, project, evicted)


def _with_users(updates: Sequence[EndpointUpdate], existing: Mapping[str, Held]) -> list[EndpointUpdate]:
    """Say of updates that change user attributes and name no user whose attributes those are."""
    owners = {key: held.user_id for key, held in existing.items()}
    named: list[EndpointUpdate] = []
    refused: dict[int, list[Problem]] = {}
    for place, update in enumerate(updates):
        key = endpoint_key(update.endpoint_id)
        if update.user_id is not None:
            owners[key] = update.user_id
        owner = owners.get(key)
        if update.user_attributes and not owner:
            words = "is required with user attributes: the endpoint has no user"
            refused[place] = [Problem("user.user_id", "REQUIRED", words)]
        named.append(update._replace(user_id=owner) if update.user_attributes else update)
    if refused:
        raise Refused(refused)
    return named


def _gained(folded: Mapping[str, EndpointUpdate], existing: Mapping[str, Held]) -> dict[str, list[str]]:
    """Return the endpoints that users have now and had not, in the order of their writing, by user."""
    gained: dict[str, list[str]] = {}
    for key, update in folded.items():
        before = existing.get(key)
        if update.user_id and (before is None or before.user_id != update.user_id):
            gained.setdefault(update.user_id, []).append(key)
    return gained


def _check_sizes(updates: Sequence[EndpointUpdate], keys: Iterable[str], large: set[str]) -> None:
    _refuse_keys(
        updates, keys, Problem("attributes", "TOO_LARGE", f"an endpoint may have {MAX_BYTES} bytes of attributes")
    )
    refused = {
        place: [Problem("user.attributes", "TOO_LARGE", f"a user may have {MAX_BYTES} bytes of attributes")]
        for place, update in enumerate(updates)
        if update.user_id in large and update.user_attributes
    }
    if refused:
        raise Refused(refused)


def _refuse_keys(updates: Sequence[EndpointUpdate], keys: Iterable[str], problem: Problem) -> None:
    """Refuse every update of some endpoints: which of them it was cannot be told when one endpoint has several."""
    unwelcome = set(keys)
    if unwelcome:
        raise Refused(
            {place: [problem] for place, update in enumerate(updates) if endpoint_key(update.endpoint_id) in unwelcome}
        )
