"""Participants in PostgreSQL: claimed, moved and counted in sets. Every method works inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_journeys.domain.moving import Moved, Person
from heliograph_journeys.domain.table import MessageStep, Position, StepTable
from heliograph_journeys.state import Run

CHUNK_SIZE = 500
"""Participants whose message is handed over as one batch."""

_CLAIM = text(
    "SELECT endpoint_id, ordinal, step, arrived_at FROM journeys.participants "
    "WHERE run_no = :run AND wake_at <= :now ORDER BY wake_at LIMIT :limit FOR UPDATE SKIP LOCKED"
)
# Two arrays as long as the set, joined with a handful of places: psycopg writes no column that is the same for all.
_PLACES = (
    "unnest(CAST(:place_steps AS smallint[]), CAST(:states AS text[]), CAST(:reasons AS text[]), "
    "CAST(:wakes AS timestamptz[]), CAST(:arrivals AS timestamptz[])) "
    "WITH ORDINALITY AS g (step, state, reason, wake_at, arrived_at, place)"
)
_UPDATE = text(
    "UPDATE journeys.participants AS p SET step = g.step, state = g.state, exit_reason = g.reason, wake_at = g.wake_at, "  # noqa: S608
    "arrived_at = g.arrived_at FROM unnest(CAST(:ordinals AS bigint[]), CAST(:places AS bigint[])) AS x (ordinal, place) "
    f"JOIN {_PLACES} ON g.place = x.place "
    "WHERE p.run_no = :run AND p.ordinal = x.ordinal"
)
_INSERT = text(
    "INSERT INTO journeys.participants (run_no, endpoint_id, ordinal, step, state, exit_reason, wake_at, "  # noqa: S608
    "entered_at, arrived_at) SELECT :run, x.id, x.ordinal, g.step, g.state, g.reason, g.wake_at, :now, "
    "g.arrived_at FROM unnest(CAST(:ids AS text[]), CAST(:ordinals AS bigint[]), CAST(:places AS bigint[])) "
    f"AS x (id, ordinal, place) JOIN {_PLACES} ON g.place = x.place"
)
_REMEMBER = text(
    "INSERT INTO journeys.members (run_no, endpoint_id, ordinal) SELECT :run, id, ordinal FROM "
    "unnest(CAST(:ids AS text[]), CAST(:ordinals AS bigint[])) AS x (id, ordinal)"
)
_CHUNK = text(
    "INSERT INTO journeys.chunks (project, run_id, chunk_id, step, arrived_at, endpoint_ids, ordinals) "
    "VALUES (:project, :run, :chunk, :step, :now, :ids, :ordinals)"
)
_MOVE = text(
    "INSERT INTO journeys.moves (project, run_id, move_id, from_step, branch, to_step, exit_reason, moved_at, count, "
    "ordinals) VALUES (:project, :run, :move, :from_step, :branch, :to_step, :reason, :now, :count, :ordinals)"
)


@dataclass(frozen=True)
class Chunk:
    """A set at a message step, taken under a lease."""

    id: str
    step: Position
    lease_token: int
    people: list[Person]


@dataclass(frozen=True)
class MoveCount:
    """How many went one way so far."""

    from_step: Position | None
    branch: str
    to_step: Position | None
    exit_reason: str
    count: int


@dataclass(frozen=True)
class Participant:
    """One participant as it is stored."""

    endpoint_id: str
    ordinal: int
    step: Position
    state: str
    exit_reason: str
    wake_at: datetime | None
    entered_at: datetime
    arrived_at: datetime


class Crowd:
    """The participants of all runs."""

    async def running(self, conn: AsyncConnection, run: Run) -> bool:
        """Tell whether the run goes on, and keep it going until the transaction ends.

        Shared by all movers; ending a run waits for them, and they for it.
        """
        row = await conn.execute(
            text("SELECT state FROM journeys.runs WHERE project = :project AND run_id = :run FOR KEY SHARE"),
            {"project": run.project, "run": run.id},
        )
        return row.scalar_one_or_none() == "RUNNING"

    async def claim_due(
        self, conn: AsyncConnection, run: Run, now: datetime, limit: int
    ) -> dict[Position, list[Person]]:
        """Lock participants that are due and that nobody else holds; return them by step."""
        rows = await conn.execute(_CLAIM, {"run": run.number, "now": now, "limit": limit})
        due: dict[Position, list[Person]] = {}
        for id_, ordinal, step, arrived_at in rows:
            due.setdefault(step, []).append(Person(id_, ordinal, arrived_at))
        return due

    async def take_chunks(self, conn: AsyncConnection, run: Run, limit: int, lease: timedelta) -> list[Chunk]:
        """Take sets whose message is to be handed over, first come, first taken."""
        rows = await conn.execute(
            text(
                # Not a subquery: a join may run that again for each row, and each time it finds other free sets.
                "WITH free AS MATERIALIZED (SELECT chunk_id FROM journeys.chunks WHERE project = :project "
                "AND run_id = :run AND (lease_until IS NULL OR lease_until < clock_timestamp()) "
                "ORDER BY chunk_id LIMIT :limit FOR UPDATE SKIP LOCKED) "
                "UPDATE journeys.chunks AS c SET lease_token = c.lease_token + 1, "
                "lease_until = clock_timestamp() + make_interval(secs => :seconds) FROM free "
                "WHERE c.project = :project AND c.run_id = :run AND c.chunk_id = free.chunk_id "
                "RETURNING c.chunk_id, c.step, c.lease_token, c.arrived_at, c.endpoint_ids, c.ordinals"
            ),
            {"seconds": lease.total_seconds(), "project": run.project, "run": run.id, "limit": limit},
        )
        chunks = []
        for row in rows:
            people = [
                Person(id_, ordinal, row.arrived_at)
                for id_, ordinal in zip(row.endpoint_ids, row.ordinals, strict=True)
            ]
            chunks.append(Chunk(row.chunk_id, row.step, row.lease_token, people))
        return sorted(chunks, key=lambda chunk: chunk.id)

    async def finish_chunks(self, conn: AsyncConnection, run: Run, chunks: Sequence[Chunk]) -> bool:
        """Remove sets that are handed over in this transaction; False when one of them is somebody else's by now."""
        done = await conn.execute(
            text(
                "DELETE FROM journeys.chunks AS c USING unnest(CAST(:ids AS text[]), CAST(:tokens AS bigint[])) "
                "AS mine (id, token) WHERE c.project = :project AND c.run_id = :run AND c.chunk_id = mine.id "
                "AND c.lease_token = mine.token"
            ),
            {
                "ids": [chunk.id for chunk in chunks],
                "tokens": [chunk.lease_token for chunk in chunks],
                "project": run.project,
                "run": run.id,
            },
        )
        return done.rowcount == len(chunks)

    async def give_back_chunks(
        self, conn: AsyncConnection, run: Run, chunks: Sequence[Chunk], pause: timedelta
    ) -> None:
        """Let anybody take sets again after a pause, those that are still ours."""
        await conn.execute(
            text(
                "UPDATE journeys.chunks AS c SET lease_until = clock_timestamp() + make_interval(secs => :seconds) "
                "FROM unnest(CAST(:ids AS text[]), CAST(:tokens AS bigint[])) AS mine (id, token) "
                "WHERE c.project = :project AND c.run_id = :run AND c.chunk_id = mine.id AND c.lease_token = mine.token"
            ),
            {
                "ids": [chunk.id for chunk in chunks],
                "tokens": [chunk.lease_token for chunk in chunks],
                "seconds": pause.total_seconds(),
                "project": run.project,
                "run": run.id,
            },
        )

    async def ordinals_of(self, conn: AsyncConnection, run: Run, endpoint_ids: Sequence[str]) -> dict[str, int]:
        """Return the ordinals of participants; whoever is none is left out."""
        rows = await conn.execute(
            text(
                "SELECT endpoint_id, ordinal FROM journeys.members WHERE run_no = :run "
                "AND endpoint_id = ANY(CAST(:ids AS text[]))"
            ),
            {"run": run.number, "ids": list(endpoint_ids)},
        )
        return {row.endpoint_id: row.ordinal for row in rows}

    async def lock(self, conn: AsyncConnection, run: Run, ordinals: Iterable[int]) -> dict[int, Position]:
        """Lock participants that are inside, waiting for whoever moves them; return where each is then."""
        # No condition on the step: a row that is being moved would be judged by its old step and passed over.
        rows = await conn.execute(
            text(
                "SELECT ordinal, step FROM journeys.participants WHERE run_no = :run "
                "AND ordinal = ANY(CAST(:ordinals AS bigint[])) AND state = 'ACTIVE' ORDER BY ordinal FOR UPDATE"
            ),
            {"run": run.number, "ordinals": sorted(ordinals)},
        )
        return {row.ordinal: row.step for row in rows}

    async def wake(self, conn: AsyncConnection, run: Run, ordinals: Iterable[int], now: datetime) -> int:
        """Let waiting participants go on now; returns how many were to wait longer."""
        done = await conn.execute(
            text(
                "UPDATE journeys.participants SET wake_at = :now WHERE run_no = :run "
                "AND ordinal = ANY(CAST(:ordinals AS bigint[])) AND wake_at > :now"
            ),
            {"run": run.number, "ordinals": sorted(ordinals), "now": now},
        )
        return done.rowcount

    async def happened(
        self, conn: AsyncConnection, run: Run, ordinals: Sequence[int]
    ) -> dict[int, dict[Position, int]]:
        """Return what happened to messages of these participants, as far as splits ask."""
        rows = await conn.execute(
            text(
                "SELECT ordinal, step, events FROM journeys.happened WHERE run_no = :run "
                "AND ordinal = ANY(CAST(:ordinals AS bigint[]))"
            ),
            {"run": run.number, "ordinals": list(ordinals)},
        )
        found: dict[int, dict[Position, int]] = {}
        for ordinal, step, events in rows:
            found.setdefault(ordinal, {})[step] = events
        return found

    async def note(self, conn: AsyncConnection, run: Run, bits: Mapping[tuple[int, Position], int]) -> None:
        """Add what happened to messages, bits by (ordinal, message step). Safe to repeat."""
        keys = sorted(bits)
        await conn.execute(
            text(
                "INSERT INTO journeys.happened AS h (run_no, ordinal, step, events) "
                "SELECT :run, ordinal, step, events FROM unnest(CAST(:ordinals AS bigint[]), "
                "CAST(:steps AS smallint[]), CAST(:events AS integer[])) AS x (ordinal, step, events) "
                "ON CONFLICT (run_no, ordinal, step) DO UPDATE SET events = h.events | excluded.events"
            ),
            {
                "run": run.number,
                "ordinals": [ordinal for ordinal, _ in keys],
                "steps": [step for _, step in keys],
                "events": [bits[key] for key in keys],
            },
        )

    async def write(
        self,
        conn: AsyncConnection,
        run: Run,
        table: StepTable,
        moved: Moved,
        *,
        now: datetime,
        move_ids: Sequence[str],
        entering: bool = False,
    ) -> None:
        """Write one pass: where people are, the sets that are to be handed over, the history.

        `move_ids` has a fresh id for each move; the ids of chunks are derived from the first. With `entering` the
        people are new.
        """
        ids: list[str] = []
        ordinals: list[int] = []
        places: list[int] = []
        steps, states, reasons = [], [], []
        wakes: list[datetime | None] = []
        arrivals: list[datetime] = []
        groups = [(r.step, "ACTIVE", "", r.wake_at, r.arrived_at, r.people) for r in moved.rests]
        groups += [
            (leave.step, "EXITED" if leave.exit_reason else "COMPLETED", leave.exit_reason, None, now, leave.people)
            for leave in moved.leaves
        ]
        for place, (step, state, reason, wake_at, arrived_at, people) in enumerate(groups, 1):
            steps.append(step)
            states.append(state)
            reasons.append(reason)
            wakes.append(wake_at)
            arrivals.append(arrived_at)
            ids += [person.endpoint_id for person in people]
            ordinals += [person.ordinal for person in people]
            places += [place] * len(people)
        parameters: dict[str, Any] = {
            "run": run.number,
            "place_steps": steps,
            "states": states,
            "reasons": reasons,
            "wakes": wakes,
            "arrivals": arrivals,
            "ordinals": ordinals,
            "places": places,
        }
        if ids and entering:
            await conn.execute(_INSERT, parameters | {"ids": ids, "now": now})
            await conn.execute(_REMEMBER, {"run": run.number, "ids": ids, "ordinals": ordinals})
        elif ids:
            await conn.execute(_UPDATE, parameters)
        await self._add_chunks(conn, run, table, moved, now, move_ids)
        if moved.moves:
            await conn.execute(
                _MOVE,
                [
                    {
                        "project": run.project,
                        "run": run.id,
                        "move": id_,
                        "from_step": move.from_step,
                        "branch": move.branch,
                        "to_step": move.to_step,
                        "reason": move.exit_reason,
                        "now": now,
                        "count": len(move.people),
                        "ordinals": [person.ordinal for person in move.people],
                    }
                    for id_, move in zip(move_ids, moved.moves, strict=True)
                ],
            )

    async def sweep(
        self, conn: AsyncConnection, run: Run, after: int, limit: int
    ) -> tuple[dict[Position, list[Person]], int]:
        """Lock the next participants that are inside of an ended run; return them by step, and where to go on."""
        rows = await conn.execute(
            text(
                "SELECT endpoint_id, ordinal, step, arrived_at FROM journeys.participants WHERE run_no = :run "
                "AND ordinal > :after AND state = 'ACTIVE' ORDER BY ordinal LIMIT :limit FOR UPDATE"
            ),
            {"run": run.number, "after": after, "limit": limit},
        )
        inside: dict[Position, list[Person]] = {}
        last = 0
        for id_, ordinal, step, arrived_at in rows:
            inside.setdefault(step, []).append(Person(id_, ordinal, arrived_at))
            last = ordinal
        return inside, last

    async def drop_chunks(self, conn: AsyncConnection, run: Run) -> None:
        """Forget what was to be handed over; nobody in there gets the message."""
        await conn.execute(
            text("DELETE FROM journeys.chunks WHERE project = :project AND run_id = :run"),
            {"project": run.project, "run": run.id},
        )

    async def counts(self, conn: AsyncConnection, run: Run) -> list[MoveCount]:
        """Return how many went each way; everything else that is counted follows from it."""
        rows = await conn.execute(
            text(
                "SELECT from_step, branch, to_step, exit_reason, sum(count) AS total FROM journeys.moves "
                "WHERE project = :project AND run_id = :run GROUP BY from_step, branch, to_step, exit_reason"
            ),
            {"project": run.project, "run": run.id},
        )
        return [MoveCount(row.from_step, row.branch, row.to_step, row.exit_reason, int(row.total)) for row in rows]

    async def page(
        self, conn: AsyncConnection, run: Run, *, after: int, state: str, step: Position | None, limit: int
    ) -> list[Participant]:
        """Return participants behind an ordinal, of one state and step when these are given."""
        rows = await conn.execute(
            text(
                "SELECT endpoint_id, ordinal, step, state, exit_reason, wake_at, entered_at, arrived_at "
                "FROM journeys.participants WHERE run_no = :run AND ordinal > :after "
                + ("AND state = :state " if state else "")
                + ("AND step = :step " if step is not None else "")
                + "ORDER BY ordinal LIMIT :limit"
            ),
            {"run": run.number, "after": after, "limit": limit}
            | ({"state": state} if state else {})
            | ({"step": step} if step is not None else {}),
        )
        return [Participant(*row) for row in rows]

    async def _add_chunks(
        self,
        conn: AsyncConnection,
        run: Run,
        table: StepTable,
        moved: Moved,
        now: datetime,
        move_ids: Sequence[str],
    ) -> None:
        rows = []
        for rest in moved.rests:
            if not isinstance(table.steps[rest.step], MessageStep):
                continue
            for start in range(0, len(rest.people), CHUNK_SIZE):
                people = rest.people[start : start + CHUNK_SIZE]
                rows.append(
                    {
                        "project": run.project,
                        "run": run.id,
                        "chunk": f"{move_ids[0]}-{rest.step}-{start // CHUNK_SIZE}",
                        "step": rest.step,
                        "now": now,
                        "ids": [person.endpoint_id for person in people],
                        "ordinals": [person.ordinal for person in people],
                    }
                )
        if rows:
            await conn.execute(_CHUNK, rows)
