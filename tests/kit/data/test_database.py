import asyncio
import random

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_kit import migrations
from heliograph_kit.database import MAIL_MARK, Database, driver_connection
from heliograph_kit.testing import eventually
from tests.kit.data.building import rows
from tests.kit.data.conftest import POST
from tests.kit.data.post.tables import metadata


async def test_a_transaction_commits_at_its_end_and_rolls_back_on_an_error(post: Database) -> None:
    async with post.transaction() as conn:
        await conn.execute(text("INSERT INTO post.letters VALUES ('shop', 'kept', 1)"))

    async def fail() -> None:
        async with post.transaction() as conn:
            await conn.execute(text("INSERT INTO post.letters VALUES ('shop', 'gone', 1)"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert [row.id for row in await rows(post, "SELECT id FROM post.letters")] == ["kept"]


async def test_a_share_leaves_connections_to_others_and_wakes_the_same_listeners(post: Database) -> None:
    bulk = post.share(0.2)
    woken: list[str] = []
    post.on_mail(lambda: woken.append("post"))
    holding, enough = asyncio.Semaphore(0), asyncio.Event()

    async def hold() -> None:
        async with bulk.transaction() as conn:
            await conn.execute(text("SELECT 1"))
            if conn.sync_connection is not None:
                conn.sync_connection.info[MAIL_MARK] = True
            holding.release()
            await enough.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(12):
            group.create_task(hold())
        for _ in range(2):
            await holding.acquire()
        # Ten connections there are: the others of the share wait, and this one finds a connection at once.
        async with post.statement() as conn:
            assert (await conn.execute(text("SELECT 1"))).scalar_one() == 1
        assert holding.locked()
        enough.set()
    assert woken == ["post"] * 12


async def test_every_connection_carries_its_limits_and_its_name(post: Database) -> None:
    settings = "statement_timeout lock_timeout idle_in_transaction_session_timeout application_name TimeZone".split()
    async with post.transaction() as conn:
        shown = [(await conn.execute(text(f"SHOW {name}"))).scalar_one() for name in settings]
    assert shown == ["1min", "20s", "1min", "post", "UTC"]


async def test_deadlocked_transactions_are_run_again_until_both_are_done(post: Database) -> None:
    async with post.transaction() as conn:
        await conn.execute(text("INSERT INTO post.letters VALUES ('shop', 'a', 0), ('shop', 'b', 0)"))
    meet = asyncio.Barrier(2)
    tries = 0

    async def swap(first: str, second: str) -> None:
        met = False

        async def work(conn: AsyncConnection) -> None:
            nonlocal tries, met
            tries += 1
            bump = text("UPDATE post.letters SET times = times + 1 WHERE id = :id")
            await conn.execute(bump, {"id": first})
            if not met:
                met = True
                await meet.wait()
            await conn.execute(bump, {"id": second})

        await post.run(work)

    await asyncio.gather(swap("a", "b"), swap("b", "a"))
    assert tries == 3
    assert [row.times for row in await rows(post, "SELECT times FROM post.letters")] == [2, 2]


async def test_an_error_that_is_no_lost_race_is_not_run_again(post: Database) -> None:
    tries = 0

    async def work(conn: AsyncConnection) -> None:
        nonlocal tries
        tries += 1
        await conn.execute(text("SELECT * FROM nowhere"))

    with pytest.raises(ProgrammingError):
        await post.run(work)
    assert tries == 1


async def test_three_hundred_cancellations_leave_no_connection_checked_out(post: Database) -> None:
    chance = random.Random(7)

    async def slow() -> None:
        async with post.transaction() as conn:
            await conn.execute(text("SELECT pg_sleep(0.02)"))
            await conn.execute(text("INSERT INTO post.letters VALUES ('shop', 'x', 1) ON CONFLICT DO NOTHING"))

    async def cancelled() -> None:
        task = asyncio.create_task(slow())
        await asyncio.sleep(chance.uniform(0, 0.05))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    gate = asyncio.Semaphore(8)

    async def one() -> None:
        async with gate:
            await cancelled()

    await asyncio.gather(*(one() for _ in range(300)))
    assert post.engine.pool.status().split("Current Checked out connections: ")[1] == "0"
    stuck = "SELECT pid FROM pg_stat_activity WHERE application_name = 'post' AND state LIKE 'idle in transaction%'"

    async def none_is_stuck() -> bool:
        return not await rows(post, stuck)

    await eventually(none_is_stuck)
    assert [row.one for row in await rows(post, "SELECT 1 AS one")] == [1]


async def test_a_connection_that_the_server_cut_is_replaced_before_use(post: Database) -> None:
    await post.ping()
    other = Database(str(post.engine.url.render_as_string(hide_password=False)), application_name="other")
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'post'"
    await rows(other, cut)
    await other.close()
    await post.ping()


async def test_copy_runs_inside_of_the_transaction(post: Database) -> None:
    async def fail() -> None:
        async with post.transaction() as conn:
            driver = await driver_connection(conn)
            async with driver.cursor() as cursor, cursor.copy("COPY post.letters FROM STDIN") as copy:
                await copy.write_row(("shop", "copied", 1))
            assert (await conn.execute(text("SELECT id FROM post.letters"))).scalars().all() == ["copied"]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await rows(post, "SELECT id FROM post.letters") == []


async def test_a_statement_over_its_limit_is_ended_by_the_server(post: Database) -> None:
    async def sleep() -> None:
        async with post.transaction() as conn:
            await conn.execute(text("SET LOCAL statement_timeout = 20"))
            await conn.execute(text("SELECT pg_sleep(5)"))

    with pytest.raises(DBAPIError):
        await sleep()
    await post.ping()


def test_migrations_build_what_the_tables_declare_and_can_run_twice_at_once(database_url: str) -> None:
    package, schema = POST
    assert migrations.differences(database_url, metadata) == [("missing_schema", "post")]

    async def both() -> None:
        run = asyncio.to_thread
        await asyncio.gather(*(run(migrations.upgrade, database_url, package=package, schema=schema) for _ in range(3)))

    asyncio.run(both())
    assert migrations.differences(database_url, metadata) == []
    assert migrations.is_current(database_url, package=package, schema=schema)
    migrations.upgrade(database_url, package=package, schema=schema)
