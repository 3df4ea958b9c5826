"""Journey transitions a second: the real mover against bare set-based SQL, in the same run on the same server.

200,000 participants stand at a yes/no split whose time has come, half of them with an opened message; each is moved to
one of two waits, with history and announcements, durably.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from datetime import timedelta
from pathlib import Path

from sqlalchemy import text

from benchmarks.figures import Figure, figure
from heliograph_journeys.crowd import Crowd
from heliograph_journeys.domain.journey import (
    EVENT_BITS,
    Activity,
    ConditionalSplit,
    Draft,
    Message,
    MessageEvent,
    Wait,
)
from heliograph_journeys.mover import Mover
from heliograph_journeys.state import Run, RunState
from heliograph_journeys.store import JourneyStore
from heliograph_journeys.tables import mail
from heliograph_journeys.working import Tables
from heliograph_kit import migrations
from heliograph_kit.clock import SystemClock
from heliograph_kit.database import Database
from heliograph_kit.embedded import EmbeddedPostgres
from heliograph_kit.ids import new_id
from heliograph_kit.outbox import Outbox
from heliograph_kit.working import Bell

PEOPLE = 200_000
TARGET = 30_000
CLAIM = 2_500

_BARE_TABLES = (
    (
        "CREATE TABLE bare (id bigint PRIMARY KEY, journey int, activity smallint, wake_at timestamptz, ep bigint, "
        "entered timestamptz, ctx jsonb) WITH (fillfactor = 80)"
    ),
    "INSERT INTO bare SELECT i, 1, 1, now() - interval '1 s', i, now(), '{}' FROM generate_series(1, :people) i",
    "CREATE INDEX bare_due ON bare (journey, activity, wake_at) WHERE wake_at IS NOT NULL",
    "CREATE TABLE bare_history (part bigint, activity smallint, at timestamptz)",
)
_BARE_STEP = (
    "WITH d AS (SELECT id FROM bare WHERE journey = 1 AND activity = 1 AND wake_at <= now() ORDER BY wake_at LIMIT 10000 "
    "FOR UPDATE SKIP LOCKED), u AS (UPDATE bare p SET activity = CASE WHEN p.ep % 2 = 0 THEN 2 ELSE 3 END, "
    "wake_at = now() + interval '1 hour' FROM d WHERE p.id = d.id RETURNING p.id, p.activity), "
    "h AS (INSERT INTO bare_history SELECT id, activity, now() FROM u) SELECT count(*) FROM u"
)


async def measure() -> list[Figure]:
    """Return the figures of this area."""
    folder = Path(tempfile.mkdtemp(prefix="heliograph-bench-"))
    folder.chmod(0o711)  # noqa: ASYNC240 - before anything else runs
    server = EmbeddedPostgres(folder / "postgres")
    server.start()
    try:
        url = server.dsn
        await asyncio.to_thread(migrations.upgrade, url, package="heliograph_journeys", schema="journeys")
        database = Database(url, application_name="bench", pool_size=4, statement_timeout=timedelta(minutes=5))
        try:
            bare = await _bare(database)
            ours = await _ours(database)
        finally:
            await database.close()
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return [
        figure(
            "journey transitions, durable, with history and announcements",
            ours,
            "1/s",
            bare=bare,
            against="set-based SQL alone",
            target=f"{TARGET:,}",
        )
    ]


async def _bare(database: Database) -> float:
    async with database.transaction() as conn:
        for statement in _BARE_TABLES:
            await conn.execute(text(statement), {"people": PEOPLE} if ":people" in statement else {})
    await _settle(database, "bare")
    done, began = 0, time.perf_counter()
    while True:
        async with database.transaction() as conn:
            count = (await conn.execute(text(_BARE_STEP))).scalar_one()
        if not count:
            return done / (time.perf_counter() - began)
        done += count


async def _ours(database: Database) -> float:
    store, crowd, clock = JourneyStore(), Crowd(), SystemClock()
    now = clock.now()
    draft = Draft(
        "Bench",
        activities={
            "hello": Activity(Message("EMAIL", next="asks")),
            "asks": Activity(
                ConditionalSplit(
                    (MessageEvent("hello", "OPENED"),), evaluation_wait_for=timedelta(0), yes="yes", no="no"
                )
            ),
            "yes": Activity(Wait(timedelta(days=1))),
            "no": Activity(Wait(timedelta(days=2))),
        },
        start_activity="hello",
        segment="projects/bench/segments/all",
    )
    run = Run(
        project="bench",
        id=new_id(),
        number=0,
        journey_id=new_id(),
        draft=draft,
        implicit_window=timedelta(hours=1),
        state=RunState.RUNNING,
        failure_reason="",
        start_time=now,
        create_time=now,
        end_time=None,
        snapshot="",
        member_count=PEOPLE,
        cursor=PEOPLE,
        entered=PEOPLE,
        entry_done=True,
        lease_token=0,
        traceparent="",
    )
    async with database.transaction() as conn:
        await store.add_run(conn, run)
        stored = await store.get_run(conn, run.project, run.id)
        if stored is None:
            raise RuntimeError("the run was not stored")
        run = stored
        key = {"run": run.number, "people": PEOPLE, "opened": EVENT_BITS["OPENED"]}
        await conn.execute(
            text(
                "INSERT INTO journeys.participants SELECT :run, i, md5(CAST(i AS text)), 1, 'ACTIVE', '', "
                "now() - interval '1 s', now(), now() - interval '1 s' FROM generate_series(1, :people) AS i"
            ),
            key,
        )
        await conn.execute(
            text("INSERT INTO journeys.happened SELECT :run, i, 0, :opened FROM generate_series(1, :people, 2) AS i"),
            key,
        )
    for table in ("participants", "happened"):
        await _settle(database, f"journeys.{table}")
    mover = Mover(
        database=database,
        store=store,
        crowd=crowd,
        outbox=Outbox(mail),
        clock=clock,
        tables=Tables(),
        bell=Bell(),
        claim_size=CLAIM,
        poll_seconds=1,
    )
    began, done = time.perf_counter(), 0
    while count := await mover.move(run):
        done += count
    seconds = time.perf_counter() - began
    if done != PEOPLE:
        raise RuntimeError(f"{done} of {PEOPLE} moved")
    return done / seconds


async def _settle(database: Database, table: str) -> None:
    async with database.engine.connect() as conn:
        loose = await conn.execution_options(isolation_level="AUTOCOMMIT")
        await loose.execute(text(f"VACUUM ANALYZE {table}"))
