"""Journeys and runs in PostgreSQL. Every method works inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_journeys.state import Journey, JourneyState, Run, RunState, draft_from_json, draft_to_json

_JOURNEY = (
    "project, journey_id, CAST(draft AS text) AS draft, revision, state, state_reason, create_time, update_time, "
    "publish_time"
)
_RUN = (
    "project, run_id, run_no, journey_id, CAST(draft AS text) AS draft, implicit_window_seconds, state, failure_reason, "
    "start_time, create_time, end_time, snapshot, member_count, cursor, entered, entry_done, lease_token, traceparent"
)


class JourneyStore:
    """What is known about journeys and their runs."""

    async def add(self, conn: AsyncConnection, journey: Journey, request_id: str, request_hash: str) -> bool:
        """Store a new journey; False, and nothing stored, when its request id was used before."""
        done = await conn.execute(
            text(
                "INSERT INTO journeys.journeys (project, journey_id, draft, revision, state, create_time, update_time, "
                "request_id, request_hash) VALUES (:project, :id, CAST(:draft AS jsonb), 1, :state, :now, :now, "
                ":request_id, :request_hash) ON CONFLICT (project, request_id) DO NOTHING"
            ),
            {
                "project": journey.project,
                "id": journey.id,
                "draft": draft_to_json(journey.draft),
                "state": journey.state,
                "now": journey.create_time,
                "request_id": request_id or None,
                "request_hash": request_hash or None,
            },
        )
        return done.rowcount == 1

    async def of_request(self, conn: AsyncConnection, project: str, request_id: str) -> tuple[Journey, str] | None:
        """Return the journey that a request id made, with the hash of the request."""
        row = (
            await conn.execute(
                text(
                    f"SELECT {_JOURNEY}, request_hash FROM journeys.journeys "  # noqa: S608
                    "WHERE project = :project AND request_id = :id"
                ),
                {"project": project, "id": request_id},
            )
        ).one_or_none()
        return None if row is None else (_journey(row), row.request_hash)

    async def get(self, conn: AsyncConnection, project: str, id_: str, *, lock: bool = False) -> Journey | None:
        """Return a journey; with `lock` nobody else changes it before the transaction ends."""
        row = (
            await conn.execute(
                text(
                    f"SELECT {_JOURNEY} FROM journeys.journeys WHERE project = :project AND journey_id = :id "  # noqa: S608
                    + ("FOR UPDATE" if lock else "")
                ),
                {"project": project, "id": id_},
            )
        ).one_or_none()
        return None if row is None else _journey(row)

    async def page(
        self, conn: AsyncConnection, project: str, after: tuple[datetime, str] | None, limit: int
    ) -> list[Journey]:
        """Return journeys of a project, newest first, behind a (create time, id)."""
        rows = await conn.execute(
            text(
                f"SELECT {_JOURNEY} FROM journeys.journeys WHERE project = :project "  # noqa: S608
                + ("AND (create_time, journey_id) < (:time, :id) " if after else "")
                + "ORDER BY create_time DESC, journey_id DESC LIMIT :limit"
            ),
            {"project": project, "limit": limit} | ({"time": after[0], "id": after[1]} if after else {}),
        )
        return [_journey(row) for row in rows]

    async def change(self, conn: AsyncConnection, journey: Journey) -> None:
        """Write a journey that was read under lock."""
        await conn.execute(
            text(
                "UPDATE journeys.journeys SET draft = CAST(:draft AS jsonb), revision = :revision, state = :state, "
                "state_reason = :reason, update_time = :update_time, publish_time = :publish_time "
                "WHERE project = :project AND journey_id = :id"
            ),
            {
                "draft": draft_to_json(journey.draft),
                "revision": journey.revision,
                "state": journey.state,
                "reason": journey.state_reason,
                "update_time": journey.update_time,
                "publish_time": journey.publish_time,
                "project": journey.project,
                "id": journey.id,
            },
        )

    async def delete(self, conn: AsyncConnection, project: str, id_: str) -> None:
        """Remove a journey with all that belongs to it."""
        await self._drop(conn, "project = :project AND journey_id = :id", {"project": project, "id": id_})

    async def drop_project(self, conn: AsyncConnection, project: str) -> None:
        """Remove everything of a project, whatever state it is in; safe to repeat."""
        # Waits for moves in progress: nobody writes rows of these runs after this.
        await conn.execute(
            text("SELECT 1 FROM journeys.runs WHERE project = :project ORDER BY run_id FOR UPDATE"),
            {"project": project},
        )
        await self._drop(conn, "project = :project", {"project": project})

    async def _drop(self, conn: AsyncConnection, condition: str, key: dict[str, str]) -> None:
        for table in ("participants", "members", "happened"):
            await conn.execute(
                text(
                    f"DELETE FROM journeys.{table} WHERE run_no IN "  # noqa: S608
                    f"(SELECT run_no FROM journeys.runs WHERE {condition})"
                ),
                key,
            )
        for table in ("chunks", "moves"):
            await conn.execute(
                text(
                    f"DELETE FROM journeys.{table} WHERE (project, run_id) IN "  # noqa: S608
                    f"(SELECT project, run_id FROM journeys.runs WHERE {condition})"
                ),
                key,
            )
        for table in ("runs", "journeys"):
            await conn.execute(text(f"DELETE FROM journeys.{table} WHERE {condition}"), key)  # noqa: S608

    async def add_run(self, conn: AsyncConnection, run: Run) -> None:
        """Store a new run."""
        await conn.execute(
            text(
                "INSERT INTO journeys.runs (project, run_id, journey_id, draft, implicit_window_seconds, state, start_time, "
                "create_time, traceparent) VALUES (:project, :id, :journey, CAST(:draft AS jsonb), :window, :state, "
                ":start, :create, :trace)"
            ),
            {
                "project": run.project,
                "id": run.id,
                "journey": run.journey_id,
                "draft": draft_to_json(run.draft),
                "window": round(run.implicit_window.total_seconds()),
                "state": run.state,
                "start": run.start_time,
                "create": run.create_time,
                "trace": run.traceparent,
            },
        )

    async def get_run(self, conn: AsyncConnection, project: str, id_: str) -> Run | None:
        """Return a run."""
        row = (
            await conn.execute(
                text(f"SELECT {_RUN} FROM journeys.runs WHERE project = :project AND run_id = :id"),  # noqa: S608
                {"project": project, "id": id_},
            )
        ).one_or_none()
        return None if row is None else _run(row)

    async def runs_of(
        self, conn: AsyncConnection, project: str, journey_id: str, after: tuple[datetime, str] | None, limit: int
    ) -> list[Run]:
        """Return the runs of a journey, newest first, behind a (create time, id)."""
        rows = await conn.execute(
            text(
                f"SELECT {_RUN} FROM journeys.runs WHERE project = :project AND journey_id = :journey "  # noqa: S608
                + ("AND (create_time, run_id) < (:time, :id) " if after else "")
                + "ORDER BY create_time DESC, run_id DESC LIMIT :limit"
            ),
            {"project": project, "journey": journey_id, "limit": limit}
            | ({"time": after[0], "id": after[1]} if after else {}),
        )
        return [_run(row) for row in rows]

    async def end_run(
        self, conn: AsyncConnection, run: Run | tuple[str, str], state: RunState, reason: str, now: datetime
    ) -> None:
        """End a run for good. Waits for every move in progress: none happens after the commit."""
        project, id_ = run if isinstance(run, tuple) else (run.project, run.id)
        key = {"project": project, "id": id_}
        # The strong lock is what movers, who hold the row FOR KEY SHARE, are in the way of.
        await conn.execute(
            text("SELECT 1 FROM journeys.runs WHERE project = :project AND run_id = :id FOR UPDATE"), key
        )
        await conn.execute(
            text(
                "UPDATE journeys.runs SET state = :state, failure_reason = :reason, end_time = :now, entry_done = true, "
                "lease_until = NULL WHERE project = :project AND run_id = :id"
            ),
            key | {"state": state, "reason": reason, "now": now},
        )

    async def open_runs(self, conn: AsyncConnection, journey: Journey) -> list[Run]:
        """Return the runs of a journey that did not end."""
        rows = await conn.execute(
            text(
                f"SELECT {_RUN} FROM journeys.runs WHERE project = :project AND journey_id = :id "  # noqa: S608
                "AND state IN ('SCHEDULED', 'RUNNING') ORDER BY run_id"
            ),
            {"project": journey.project, "id": journey.id},
        )
        return [_run(row) for row in rows]

    async def lease_entry(self, conn: AsyncConnection, now: datetime, lease: timedelta) -> Run | None:
        """Take a run whose participants are to enter and that nobody has; None when there is none."""
        row = (
            await conn.execute(
                text(
                    "UPDATE journeys.runs SET lease_token = lease_token + 1, attempts = attempts + 1, state = 'RUNNING', "  # noqa: S608
                    "lease_until = clock_timestamp() + make_interval(secs => :seconds) WHERE (project, run_id) = ("
                    "SELECT project, run_id FROM journeys.runs WHERE NOT swept AND NOT entry_done "
                    "AND state IN ('SCHEDULED', 'RUNNING') AND start_time <= :now "
                    "AND (lease_until IS NULL OR lease_until < clock_timestamp()) "
                    "ORDER BY start_time, run_id LIMIT 1 FOR UPDATE SKIP LOCKED) "
                    f"RETURNING {_RUN}"
                ),
                {"seconds": lease.total_seconds(), "now": now},
            )
        ).one_or_none()
        return None if row is None else _run(row)

    async def hold_entry(self, conn: AsyncConnection, run: Run, lease: timedelta, **changes: Any) -> bool:
        """Prolong the lease and write changes of the run; False, and nothing written, when it was lost."""
        sets = "".join(f", {column} = :{column}" for column in changes)
        done = await conn.execute(
            text(
                "UPDATE journeys.runs SET lease_until = clock_timestamp() + make_interval(secs => :seconds)"  # noqa: S608
                f"{sets} WHERE project = :project AND run_id = :id AND lease_token = :token AND state = 'RUNNING' "
                "AND NOT entry_done"
            ),
            changes
            | {"seconds": lease.total_seconds(), "project": run.project, "id": run.id, "token": run.lease_token},
        )
        return done.rowcount == 1

    async def give_back_entry(self, conn: AsyncConnection, run: Run, pause: timedelta) -> None:
        """Let another worker take the run after a pause; nothing happens when the lease was lost."""
        await conn.execute(
            text(
                "UPDATE journeys.runs SET lease_until = clock_timestamp() + make_interval(secs => :seconds) "
                "WHERE project = :project AND run_id = :id AND lease_token = :token"
            ),
            {"seconds": pause.total_seconds(), "project": run.project, "id": run.id, "token": run.lease_token},
        )

    async def with_work(self, conn: AsyncConnection, now: datetime) -> list[Run]:
        """Return running runs in which somebody is due."""
        return await self._open(
            conn,
            "state = 'RUNNING' AND EXISTS (SELECT 1 FROM journeys.participants AS p WHERE p.run_no = runs.run_no "
            "AND p.wake_at <= :now)",
            {"now": now},
        )

    async def with_chunks(self, conn: AsyncConnection) -> list[Run]:
        """Return running runs in which a message is to be handed over."""
        return await self._open(
            conn,
            "state = 'RUNNING' AND EXISTS (SELECT 1 FROM journeys.chunks AS c WHERE c.project = runs.project AND "
            "c.run_id = runs.run_id AND (c.lease_until IS NULL OR c.lease_until < clock_timestamp()))",
            {},
        )

    async def runs_with(self, conn: AsyncConnection, project: str, ordinals: Sequence[int]) -> list[Run]:
        """Return the runs of a project, ended ones too, in which some of these took part."""
        rows = await conn.execute(
            text(
                f"SELECT {_RUN} FROM journeys.runs WHERE project = :project AND EXISTS ("  # noqa: S608
                "SELECT 1 FROM journeys.participants AS p WHERE p.run_no = runs.run_no "
                "AND p.ordinal = ANY(CAST(:ordinals AS bigint[]))) ORDER BY run_id"
            ),
            {"project": project, "ordinals": list(ordinals)},
        )
        return [_run(row) for row in rows]

    async def to_sweep(self, conn: AsyncConnection) -> list[Run]:
        """Return cancelled runs whose participants did not leave yet."""
        return await self._open(conn, "state = 'CANCELLED'", {})

    async def swept(self, conn: AsyncConnection, run: Run) -> None:
        """Note that nobody is inside of a cancelled run."""
        await conn.execute(
            text("UPDATE journeys.runs SET swept = true WHERE project = :project AND run_id = :id"),
            {"project": run.project, "id": run.id},
        )

    async def complete_runs(self, conn: AsyncConnection, now: datetime) -> Sequence[tuple[str, str]]:
        """Complete runs whose participants all entered and left; return (project, journey) of each.

        Everybody inside either has a time to wake at or is in a chunk, so nobody being either means nobody is inside.
        """
        rows = await conn.execute(
            text(
                "UPDATE journeys.runs AS r SET state = 'COMPLETED', end_time = :now, swept = true "
                "WHERE NOT r.swept AND r.state = 'RUNNING' AND r.entry_done "
                "AND NOT EXISTS (SELECT 1 FROM journeys.participants AS p WHERE p.run_no = r.run_no "
                "AND p.wake_at IS NOT NULL) AND NOT EXISTS (SELECT 1 FROM journeys.chunks AS c "
                "WHERE c.project = r.project AND c.run_id = r.run_id) RETURNING r.project, r.journey_id"
            ),
            {"now": now},
        )
        return [(row.project, row.journey_id) for row in rows]

    async def _open(self, conn: AsyncConnection, condition: str, parameters: dict[str, Any]) -> list[Run]:
        rows = await conn.execute(
            text(f"SELECT {_RUN} FROM journeys.runs WHERE NOT swept AND {condition} ORDER BY run_id"),  # noqa: S608
            parameters,
        )
        return [_run(row) for row in rows]


def _journey(row: Row[Any]) -> Journey:
    return Journey(
        row.project,
        row.journey_id,
        draft_from_json(row.draft),
        row.revision,
        JourneyState(row.state),
        row.state_reason,
        row.create_time,
        row.update_time,
        row.publish_time,
    )


def _run(row: Row[Any]) -> Run:
    return Run(
        row.project,
        row.run_id,
        row.run_no,
        row.journey_id,
        draft_from_json(row.draft),
        timedelta(seconds=row.implicit_window_seconds),
        RunState(row.state),
        row.failure_reason,
        row.start_time,
        row.create_time,
        row.end_time,
        row.snapshot,
        row.member_count,
        row.cursor,
        row.entered,
        row.entry_done,
        row.lease_token,
        row.traceparent,
    )
